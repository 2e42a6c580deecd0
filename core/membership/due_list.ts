import { type Instant, NEVER } from "../base/ids.ts";

/** Something that waits. Whoever changes `dueAt` of an item in a list calls the list's sooner() or refresh(). */
export interface Due {
  dueAt: Instant;
}

/**
 * A few waiting things and the earliest of their times. Calm networks keep none or one in it, so plain scans are
 * faster than a heap; the earliest time is cached because it is asked for after every step.
 */
export class DueList<T extends Due> {
  readonly items: T[] = [];
  due: Instant = NEVER;

  add(item: T): void {
    this.items.push(item);
    if (item.dueAt < this.due) this.due = item.dueAt;
  }

  remove(item: T): void {
    const i = this.items.indexOf(item);
    if (i < 0) return;
    this.items.splice(i, 1);
    if (item.dueAt === this.due) this.refresh();
  }

  /** Moves the time of one item to `dueAt`, which is no later than before. */
  sooner(item: T, dueAt: Instant): void {
    item.dueAt = dueAt;
    if (dueAt < this.due) this.due = dueAt;
  }

  /** Finds the earliest time anew. */
  refresh(): void {
    let due: Instant = NEVER;
    for (let i = 0; i < this.items.length; i++) {
      const dueAt = this.items[i]!.dueAt;
      if (dueAt < due) due = dueAt;
    }
    this.due = due;
  }

  /** The first item, by order of adding, that is due at `now`. */
  firstDue(now: Instant): T | null {
    if (now < this.due) return null;
    for (let i = 0; i < this.items.length; i++) {
      if (this.items[i]!.dueAt <= now) return this.items[i]!;
    }
    return null;
  }

  clear(): void {
    this.items.length = 0;
    this.due = NEVER;
  }
}
