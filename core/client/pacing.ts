import { after, type Instant, type NodeId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";

const SECOND_US = 1_000_000;
/** Requests a second to a node that is busy, at first and at least. */
const RATE_FIRST = 200;
const RATE_MIN = 4;
/** Answers "busy" within this time are of one and the same overload. */
const EPISODE_US = 100_000;
/** What the rate has gained a second after the last of them, and what it gains by the square of the seconds. */
const GAIN = 20, GAIN_SQUARED = 10;

/** How long a node may have a client keep silent: no lie of one is believed for longer. */
const RETRY_AFTER_US_MAX = 5 * SECOND_US;

/** No request takes a time later than this from now. */
const HORIZON_US = 200_000;

export interface Turn {
  readonly at: Instant;
  readonly granted: boolean;
}

interface Pace {
  /** When the last answer "busy" came that counted, and the rate from then on. */
  since: Instant;
  rate: number;
  /** The next request may go then. */
  next: Instant;
}

/**
 * Holds back what a client sends to nodes that have answered "busy". A pause for each request alone would not do: the
 * more a client has to ask, the more it would go on asking. So the requests to one node leave one after the other, at a
 * rate that halves with each episode of overload and grows with time. It grows by the same for everyone, so that clients
 * of one node come to equal rates (additive increase, multiplicative decrease: Chiu and Jain 1989).
 */
export class Pacing {
  readonly #random: Random;
  readonly #paces = new Map<NodeId, Pace>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** The node answered "busy". `retryAfterMs`: for so long asking again is not worth it, it said. */
  busy(node: NodeId, now: Instant, retryAfterMs = 0): void {
    let pace = this.#paces.get(node);
    if (pace === undefined) this.#paces.set(node, pace = { rate: RATE_FIRST, since: now, next: now });
    else if (now - pace.since >= EPISODE_US) {
      pace.rate = Math.max(RATE_MIN, rateOf(pace, now) >> 1);
      pace.since = now;
    }
    const pause = Math.min(RETRY_AFTER_US_MAX, Math.max(0, retryAfterMs) * 1000);
    // At random after it, so that clients that were refused together do not come back together.
    if (after(now, pause) > pace.next) {
      pace.next = after(now, pause + (pause === 0 ? 0 : this.#random.between(0, pause >> 2)));
    }
  }

  /**
   * When the next request to the node may leave. `granted`: whoever asks takes that time, and others come later. Else all
   * times soon are taken, and it is to ask again then: the rate may have grown.
   */
  next(node: NodeId, now: Instant): Turn {
    const pace = this.#paces.get(node);
    if (pace === undefined) return { at: now, granted: true };
    const rate = rateOf(pace, now);
    if (rate > RATE_FIRST && now >= pace.next) {
      this.#paces.delete(node);
      return { at: now, granted: true };
    }
    if (pace.next - now > HORIZON_US) {
      return { at: after(now, this.#random.between(HORIZON_US >> 1, HORIZON_US)), granted: false };
    }
    const at = Math.max(now, pace.next) as Instant;
    const interval = Math.floor(SECOND_US / rate);
    // At random around it, so that clients that were refused together do not come back together.
    pace.next = after(at, this.#random.between(interval >> 1, interval + (interval >> 1)));
    return { at, granted: true };
  }
}

function rateOf({ rate, since }: Pace, now: Instant): number {
  const ms = Math.min(60_000, Math.floor((now - since) / 1000));
  return rate + Math.floor((ms * GAIN) / 1000 + (ms * ms * GAIN_SQUARED) / 1_000_000);
}
