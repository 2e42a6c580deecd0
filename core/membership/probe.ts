import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import type { Update } from "../wire/messages.ts";
import { type Due, DueList } from "./due_list.ts";

/** SWIM's k: how many others are asked to probe a member that did not answer. */
export const HELPERS = 3;
/** Probes and relays under way at one node; what is past them is left to the next rounds. */
const PROBES_MAX = 64;
const RELAYS_MAX = 256;

/** One member being probed. `dueAt` is the end of the direct stage, then of the whole probe. */
export interface Probe extends Due {
  readonly target: NodeId;
  readonly sequence: number;
  endAt: Instant;
  /** Asked for out of turn because something is amiss: fails sooner, and says nothing about this node's health. */
  readonly urgent: boolean;
  /** What another says of the target, and what will be believed if it does not answer. */
  claim: Update | null;
  /** Null while only the member itself was asked. */
  helpers: readonly NodeId[] | null;
  /** Helpers that said they are well but the target does not answer them either. */
  nackedBy: NodeId[];
}

/** A probe on behalf of another node. `dueAt` is when to send a nack, NEVER once that was sent. */
export interface Relay extends Due {
  readonly origin: NodeId;
  readonly originSequence: number;
  readonly target: NodeId;
  readonly sequence: number;
  /** An answer is passed on until then. */
  endAt: Instant;
}

export class Probes extends DueList<Probe> {
  get isFull(): boolean {
    return this.items.length >= PROBES_MAX;
  }

  of(target: NodeId): Probe | null {
    for (let i = 0; i < this.items.length; i++) {
      if (this.items[i]!.target === target) return this.items[i]!;
    }
    return null;
  }

  withSequence(sequence: number): Probe | null {
    for (let i = 0; i < this.items.length; i++) {
      if (this.items[i]!.sequence === sequence) return this.items[i]!;
    }
    return null;
  }

  extend(us: number): void {
    for (const probe of this.items) {
      probe.dueAt = after(probe.dueAt, us);
      probe.endAt = after(probe.endAt, us);
    }
    this.refresh();
  }
}

export class Relays extends DueList<Relay> {
  get isFull(): boolean {
    return this.items.length >= RELAYS_MAX;
  }

  withSequence(sequence: number): Relay | null {
    for (let i = 0; i < this.items.length; i++) {
      if (this.items[i]!.sequence === sequence) return this.items[i]!;
    }
    return null;
  }

  nacked(relay: Relay): void {
    relay.dueAt = NEVER;
    this.refresh();
  }

  extend(us: number): void {
    for (const relay of this.items) {
      relay.dueAt = after(relay.dueAt, us);
      relay.endAt = after(relay.endAt, us);
    }
    this.refresh();
  }

  /** Drops what nobody waits for any more. */
  expire(now: Instant): void {
    for (let i = this.items.length - 1; i >= 0; i--) {
      if (this.items[i]!.endAt <= now) this.items.splice(i, 1);
    }
    this.refresh();
  }
}
