/**
 * What a leader knows of one follower, and what it has under way to it.
 *
 * P1. match < next, and match only grows within a term.
 * P2. probe: where the logs part is not known yet; one append at a time. replicate: appends are sent ahead of their
 *     acknowledgement, up to a window. snapshot: the entries it needs are gone; no appends until it is over.
 * P3. A lost append shows as a refused later one, or, where none follows, as a match that stands still while the
 *     follower answers beats; either ends in probe.
 */
import type { Instant, LogIndex, NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { OutgoingSnapshot } from "./snapshots.ts";

export class Progress {
  readonly node: NodeId;
  match = 0 as LogIndex;
  next: LogIndex;
  state: "probe" | "replicate" | "snapshot" = "probe";
  snapshot: OutgoingSnapshot | null = null;
  /** It cannot be served from the log, whatever the log holds: it asked for a snapshot at this index or later. */
  wanted: LogIndex | null = null;
  /** Last sign of life in this term, or when this leader began to listen. */
  heardAt: Instant;
  /** The last round of beats it has answered. */
  round = 0;
  /** When match last moved, or when appends were first under way again. */
  movedAt: Instant;
  /** Probe: one append is under way. */
  #paused = false;
  #probedAt: Instant;
  /** Replicate: the last index of each append under way, ascending. */
  #inFlight: LogIndex[] = [];

  constructor(node: NodeId, next: LogIndex, now: Instant) {
    this.node = node;
    this.next = next;
    this.heardAt = now;
    this.movedAt = now;
    this.#probedAt = now;
  }

  get mayAppend(): boolean {
    if (this.state === "probe") return !this.#paused;
    return this.state === "replicate" && this.#inFlight.length < LIMITS.appendsInFlightMax;
  }

  get inFlight(): number {
    return this.#inFlight.length;
  }

  /** An append with entries up to `last` (none: its prevIndex) has left. */
  sent(last: LogIndex, now: Instant): void {
    if (this.state === "probe") {
      this.#paused = true;
      this.#probedAt = now;
      return;
    }
    if (this.#inFlight.length === 0) this.movedAt = now;
    this.#inFlight.push(last);
    this.next = last + 1 as LogIndex;
  }

  /** Its log equals the leader's up to `index`, durably. */
  acknowledge(index: LogIndex, now: Instant): void {
    if (index > this.match) {
      this.match = index;
      this.movedAt = now;
    }
    if (this.next <= this.match) this.next = this.match + 1 as LogIndex;
    let done = 0;
    while (done < this.#inFlight.length && this.#inFlight[done]! <= index) done++;
    if (done > 0) this.#inFlight.splice(0, done);
  }

  becomeReplicate(): void {
    this.#endSnapshot();
    this.state = "replicate";
    this.next = this.match + 1 as LogIndex;
    this.#inFlight.length = 0;
  }

  becomeProbe(next: LogIndex): void {
    this.#endSnapshot();
    this.state = "probe";
    this.next = Math.max(next, this.match + 1) as LogIndex;
    this.#paused = false;
    this.#inFlight.length = 0;
  }

  becomeSnapshot(snapshot: OutgoingSnapshot): void {
    this.#endSnapshot();
    this.state = "snapshot";
    this.snapshot = snapshot;
    this.wanted = null;
    this.#inFlight.length = 0;
  }

  /** It answers beats, so what it has not acknowledged for `patienceUs` is taken for lost (P3). */
  suspectLoss(patienceUs: number, now: Instant): void {
    if (this.state === "replicate") {
      if (this.next > this.match + 1 && now - this.movedAt > patienceUs) {
        this.becomeProbe(this.match + 1 as LogIndex);
      }
    } else if (this.state === "probe" && this.#paused && now - this.#probedAt > patienceUs) {
      this.#paused = false;
    }
  }

  /** Membership lost sight of it: nothing more is sent ahead, and one append waits for a sign of life. */
  holdBack(): void {
    if (this.state !== "probe") this.becomeProbe(this.match + 1 as LogIndex);
    this.#paused = true;
  }

  end(): void {
    this.#endSnapshot();
  }

  #endSnapshot(): void {
    this.snapshot?.close();
    this.snapshot = null;
  }
}
