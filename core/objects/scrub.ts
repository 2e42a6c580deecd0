/**
 * A node's own fragments are read round and round, to find those that rotted where nobody reads them.
 *
 * U1. It keeps to a rate, reads one fragment at a time, and rests between rounds. Where it is survives within a life only.
 * U2. What is not whole is removed and told to who repairs, by who proves it; what the disk cannot read is told as well.
 */
import { after, type Instant, NEVER, type PartitionId } from "../base/ids.ts";
import type { FragmentId, ListedFragment } from "../wire/objects.ts";
import type { ChunkDisk } from "./disk.ts";
import type { Fragment } from "./fragment.ts";
import { Bucket } from "./pace.ts";

const PAGE_MAX = 100;

export interface ScrubOptions {
  readonly disk: Pick<ChunkDisk, "list" | "read">;
  readonly prove: (fragment: FragmentId, bytes: Uint8Array, now: Instant) => Fragment | null;
  readonly partitions: () => number;
  readonly busy: () => boolean;
  /** 0: nothing is scrubbed. */
  readonly bytesPerSecond: number;
  readonly restUs: number;
  readonly unreadable: (fragment: FragmentId, now: Instant) => void;
}

export class Scrub {
  readonly #options: ScrubOptions;
  readonly #bucket: Bucket;
  #partition = 1;
  #after: FragmentId | null = null;
  #page: readonly ListedFragment[] = [];
  #at = 0;
  /** No page follows in this partition. */
  #last = false;
  /** The disk was asked and has not answered. */
  #asked = false;
  #wakeAt: Instant = NEVER;
  #scrubbed = 0;
  #rounds = 0;

  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#bucket = new Bucket(Math.max(1, options.bytesPerSecond));
  }

  /** Fragments in the round under way, and whole rounds. */
  get figures(): { scrubbed: number; scrubs: number } {
    return { scrubbed: this.#scrubbed, scrubs: this.#rounds };
  }

  begin(at: Instant): void {
    if (this.#options.bytesPerSecond > 0) this.#wakeAt = at;
  }

  nextWake(): Instant {
    return this.#wakeAt;
  }

  evaluate(now: Instant): void {
    if (now < this.#wakeAt || this.#asked) return;
    this.#wakeAt = NEVER;
    const { disk, busy } = this.#options;
    const next = this.#page[this.#at];
    if (next === undefined) return this.#turn(now);
    if (!this.#bucket.mayBegin(now, busy())) return void (this.#wakeAt = this.#bucket.readyAt(now));
    this.#bucket.pay(Math.max(1, next.bytes));
    this.#at++;
    this.#asked = true;
    disk.read(next.fragment, (bytes, failed, at) => this.#read(next.fragment, bytes, { failed, now: at }));
  }

  #read(
    fragment: FragmentId,
    bytes: Uint8Array | null,
    { failed, now }: { failed: boolean; now: Instant },
  ): void {
    this.#goOn(now);
    this.#scrubbed++;
    if (failed) this.#options.unreadable(fragment, now);
    else if (bytes !== null) this.#options.prove(fragment, bytes, now); // else it was removed meanwhile
  }

  /** The next page, of the next partition where this one is through. */
  #turn(now: Instant): void {
    const { disk, partitions, restUs } = this.#options;
    if (this.#last) {
      this.#last = false;
      this.#after = null;
      if (++this.#partition > partitions()) {
        this.#partition = 1;
        this.#rounds++;
        this.#scrubbed = 0;
        this.#wakeAt = after(now, restUs);
        return;
      }
    }
    this.#asked = true;
    disk.list(this.#partition as PartitionId, this.#after, PAGE_MAX, (page, at) => {
      this.#goOn(at);
      this.#page = page?.fragments ?? [];
      this.#at = 0;
      this.#after = this.#page.at(-1)?.fragment ?? this.#after;
      this.#last = page === null || page.done || page.fragments.length === 0;
    });
  }

  #goOn(now: Instant): void {
    this.#asked = false;
    this.#wakeAt = now;
  }
}
