import { utf8Length } from "../base/bytes.ts";
import type { NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { Update } from "../wire/messages.ts";

/** What every message carries in a calm network: one shared list, so that calm costs no memory. */
export const NO_UPDATES: readonly Update[] = Object.freeze([]);

/** SWIM's and memberlist's λ: each piece of news leaves a node λ·ceil(log10(n + 1)) times. */
const RETRANSMIT_MULTIPLIER = 4;
/** Kind, incarnation and framing of one update, generously. */
const UPDATE_OVERHEAD_BYTES = 20;

/** λ·ceil(log10(n + 1)) for a network of `n` members: ceil(log10(n + 1)) is the number of digits of n. */
export function retransmitLimit(n: number): number {
  let digits = 1;
  for (let power = 10; power <= n; power *= 10) digits++;
  return RETRANSMIT_MULTIPLIER * digits;
}

/** An upper estimate of an update's bytes on the wire. */
export function updateBytes(update: Update): number {
  return update.node.length + utf8Length(update.address) + update.by.length + UPDATE_OVERHEAD_BYTES;
}

interface Entry {
  readonly update: Update;
  readonly bytes: number;
  /** Times sent, plus one unless urgent: so what is urgent goes before all else, once more than the rest. */
  sent: number;
  /** False once newer news of the same member took its place. */
  live: boolean;
}

/**
 * News on its way out, the least sent first and among those the longest waiting (SWIM, section 4.1). There is one
 * update for each member, but for a suspect one for each that suspects it: Lifeguard needs to hear them all.
 * Entries stand in one line per number of sendings, so taking some costs what is taken.
 */
export class GossipQueue {
  readonly #byNode = new Map<NodeId, Entry[]>();
  readonly #lines: Entry[][] = [];
  readonly #heads: number[] = [];
  readonly #taken: Entry[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds news of a member in place of older news. Urgent news leaves before all that is waiting. */
  put(update: Update, urgent = false): void {
    this.remove(update.node);
    this.#add(update, urgent);
  }

  /** Adds news of a member beside what is waiting. */
  putBeside(update: Update): void {
    this.#add(update, false);
  }

  remove(node: NodeId): void {
    const entries = this.#byNode.get(node);
    if (entries === undefined) return;
    for (const entry of entries) entry.live = false;
    this.#size -= entries.length;
    this.#byNode.delete(node);
  }

  /**
   * The updates for one message, `first` before all others, within LIMITS.gossipUpdatesMax and gossipBytesMax.
   * Each counts as sent; what was sent `limit` times is dropped.
   */
  take(first: Update | null, limit: number): readonly Update[] {
    if (this.#size === 0) return first === null ? NO_UPDATES : [first];
    const out: Update[] = first === null ? [] : [first];
    this.#select(out, first, limit + 1);
    for (const entry of this.#taken) {
      entry.sent++;
      if (entry.sent > limit) this.#drop(entry);
      else this.#enqueue(entry);
    }
    this.#taken.length = 0;
    return out;
  }

  /** Moves entries from the lines to `out` and #taken until a limit of one message is met. */
  #select(out: Update[], first: Update | null, end: number): void {
    let bytes = first === null ? 0 : updateBytes(first);
    for (let sent = 0; sent < this.#lines.length; sent++) {
      const line = this.#lines[sent]!;
      let head = this.#heads[sent]!;
      let full = false;
      for (; head < line.length; head++) {
        const entry = line[head]!;
        if (!entry.live) continue;
        if (sent >= end) {
          this.#drop(entry);
          continue;
        }
        if (entry.update !== first) {
          full = out.length >= LIMITS.gossipUpdatesMax || bytes + entry.bytes > LIMITS.gossipBytesMax;
          if (full) break;
          out.push(entry.update);
          bytes += entry.bytes;
        }
        this.#taken.push(entry);
      }
      this.#advance(sent, line, head);
      if (full) return;
    }
  }

  /** Forgets the part of a line that was taken; it is cut off only when it outgrows what is left. */
  #advance(sent: number, line: Entry[], head: number): void {
    if (head * 2 >= line.length) {
      line.splice(0, head);
      head = 0;
    }
    this.#heads[sent] = head;
  }

  #add(update: Update, urgent: boolean): void {
    const entry = { update, bytes: updateBytes(update), sent: urgent ? 0 : 1, live: true };
    const beside = this.#byNode.get(update.node);
    if (beside === undefined) this.#byNode.set(update.node, [entry]);
    else beside.push(entry);
    this.#size++;
    this.#enqueue(entry);
  }

  /** Ends an entry that was sent often enough. */
  #drop(entry: Entry): void {
    const { node } = entry.update;
    const entries = this.#byNode.get(node)!;
    if (entries.length === 1) this.#byNode.delete(node);
    else entries.splice(entries.indexOf(entry), 1);
    entry.live = false;
    this.#size--;
  }

  #enqueue(entry: Entry): void {
    while (this.#lines.length <= entry.sent) {
      this.#lines.push([]);
      this.#heads.push(0);
    }
    this.#lines[entry.sent]!.push(entry);
  }
}
