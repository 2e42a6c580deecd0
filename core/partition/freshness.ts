import { type Instant, type LogIndex, NEVER } from "../base/ids.ts";
import { AGE_UNKNOWN_US } from "../wire/requests.ts";

/** Above every log index: nothing is awaited. */
const NOTHING = Number.MAX_SAFE_INTEGER;

/**
 * How long a follower's applied state may have been out of date: what a stale read says of its age. To have heard the
 * leader is not enough, for a follower may lag behind it, or have been away.
 *
 * F1. Once all that an append told to be committed is applied, the state is no older than that append's arrival. Beats do
 *     not count: they speak of no more than what the leader knows to be here. Nor does an append whose commit index is of
 *     an earlier term: a leader that has committed nothing of its own term yet does not know how far others were (6.4).
 * F2. A replica that knows nothing of the kind since it began says so.
 */
export class Freshness {
  #freshAt: Instant = NEVER;
  /** Of the oldest append whose commit is not applied yet, and of the newest: under load there is always one more. */
  #awaitedCommit = NOTHING;
  #awaitedAt = 0 as Instant;
  #newestCommit = NOTHING;
  #newestAt = 0 as Instant;

  /** An append of the leader came, with a commit index of its own term. */
  heard(commit: LogIndex, applied: LogIndex, now: Instant): void {
    this.#settle(applied);
    if (this.#awaitedCommit === NOTHING) {
      this.#awaitedCommit = commit;
      this.#awaitedAt = now;
    } else {
      this.#newestCommit = commit;
      this.#newestAt = now;
    }
  }

  /** AGE_UNKNOWN_US where it is not known. */
  ageUs(applied: LogIndex, now: Instant): number {
    this.#settle(applied);
    return this.#freshAt === NEVER ? AGE_UNKNOWN_US : now - this.#freshAt;
  }

  #settle(applied: LogIndex): void {
    while (applied >= this.#awaitedCommit) {
      this.#freshAt = this.#awaitedAt;
      this.#awaitedCommit = this.#newestCommit;
      this.#awaitedAt = this.#newestAt;
      this.#newestCommit = NOTHING;
    }
  }
}
