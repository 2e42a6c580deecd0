import { compareUtf8 } from "../../core/base/bytes.ts";
import type { PartitionId } from "../../core/base/ids.ts";
import { LIMITS } from "../../core/base/limits.ts";
import type { KeyValue, RangeOp, Response } from "../../core/wire/requests.ts";

type Values = Extract<Response, { kind: "values" }>;
/** Asks for one page. Rejects where it is refused. */
export type AskRange = (op: RangeOp) => Promise<Values>;

/** What is wanted of each partition. */
export type RangeWanted = Omit<RangeOp, "limit" | "partition">;

/** Pages of a few partitions at once, so that a range over many of them does not bring a page of each at one time. */
const PAGE_ITEMS = 500;

/**
 * All keys of a range in order, merged from a cursor in each partition. Each key is read once, where a page of the
 * whole network is put together by a node from what many partitions send for it: for long ranges.
 */
export async function* mergedRange(
  ask: AskRange,
  wanted: RangeWanted,
  partitions: number,
): AsyncGenerator<KeyValue> {
  const order = wanted.reverse ? -1 : 1;
  const cursors = Array.from({ length: partitions }, (_, i) => new Cursor(ask, wanted, i + 1 as PartitionId));
  await Promise.all(cursors.map((cursor) => cursor.settle()));
  const heap = new CursorHeap(cursors.filter((cursor) => cursor.head !== null), order);
  for (let least = heap.least; least !== undefined; least = heap.least) {
    yield least.head!;
    least.advance();
    if (least.dry) await least.settle();
    if (least.head === null) heap.removeLeast();
    else heap.moveLeast();
  }
}

/** Where a range is in one partition. The page that follows is on its way while the one before it is read. */
class Cursor {
  readonly #ask: AskRange;
  readonly #wanted: RangeWanted;
  readonly #partition: PartitionId;
  #items: readonly KeyValue[] = [];
  #at = 0;
  #coming: Promise<Values> | null;

  constructor(ask: AskRange, wanted: RangeWanted, partition: PartitionId) {
    this.#ask = ask;
    this.#wanted = wanted;
    this.#partition = partition;
    this.#coming = this.#page(wanted.start, wanted.end);
  }

  /** The next key; null at the end. */
  get head(): KeyValue | null {
    return this.#items[this.#at] ?? null;
  }

  /** True when the next key has yet to come: settle() is due. */
  get dry(): boolean {
    return this.#at >= this.#items.length && this.#coming !== null;
  }

  advance(): void {
    this.#at++;
  }

  async settle(): Promise<void> {
    while (this.#coming !== null && this.#at >= this.#items.length) {
      const { items, next } = await this.#coming;
      this.#items = items;
      this.#at = 0;
      const { start, end, reverse } = this.#wanted;
      this.#coming = next === null ? null : reverse ? this.#page(start, next) : this.#page(next, end);
    }
  }

  #page(start: string, end: string | null): Promise<Values> {
    const limit = Math.min(PAGE_ITEMS, LIMITS.rangeItemsMax);
    const page = this.#ask({ ...this.#wanted, start, end, limit, partition: this.#partition });
    // Whoever leaves the range early never asks how this one ended.
    page.catch(() => {});
    return page;
  }
}

/** A binary heap of cursors by their next key. */
class CursorHeap {
  readonly #cursors: Cursor[];
  readonly #order: number;

  constructor(cursors: Cursor[], order: number) {
    this.#cursors = cursors;
    this.#order = order;
    for (let i = (cursors.length >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  get least(): Cursor | undefined {
    return this.#cursors[0];
  }

  /** The least cursor went on. */
  moveLeast(): void {
    this.#sink(0);
  }

  removeLeast(): void {
    const last = this.#cursors.pop()!;
    if (this.#cursors.length === 0) return;
    this.#cursors[0] = last;
    this.#sink(0);
  }

  #sink(i: number): void {
    const cursors = this.#cursors;
    const sinking = cursors[i]!;
    for (let child = 2 * i + 1; child < cursors.length; child = 2 * i + 1) {
      if (child + 1 < cursors.length && this.#before(cursors[child + 1]!, cursors[child]!)) child++;
      if (!this.#before(cursors[child]!, sinking)) break;
      cursors[i] = cursors[child]!;
      i = child;
    }
    cursors[i] = sinking;
  }

  #before(a: Cursor, b: Cursor): boolean {
    return compareUtf8(a.head!.key, b.head!.key) * this.#order < 0;
  }
}
