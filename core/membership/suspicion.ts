import { after, type Instant, type NodeId } from "../base/ids.ts";
import { type Due, DueList } from "./due_list.ts";

/** Lifeguard's K: confirmations by this many others bring a suspicion down to its shortest. */
export const CONFIRMATIONS_MAX = 3;
/** Lifeguard's β: an unconfirmed suspicion lasts this many times its shortest. */
const TIMEOUT_RATIO_MAX = 6;

/** 1000·log(c + 1) / log(k + 1), indexed by k, then c. */
const CONFIRMED_PERMILLE: readonly (readonly number[])[] = [[1000], [0, 1000], [0, 631, 1000], [
  0,
  500,
  792,
  1000,
]];

/**
 * Lifeguard, section IV.B: how long a suspicion with `c` of `k` confirmations lasts, between `minUs` and
 * TIMEOUT_RATIO_MAX times that: max − (max − min)·log(c + 1) / log(k + 1).
 */
export function suspicionTimeoutUs(minUs: number, k: number, c: number): number {
  const spreadUs = minUs * (TIMEOUT_RATIO_MAX - 1);
  return minUs + spreadUs - Math.floor((spreadUs * CONFIRMED_PERMILLE[k]![Math.min(c, k)]!) / 1000);
}

/** The shortest suspicion in a network of `n`: multiplier·max(1, log10 n) protocol periods. */
export function suspicionUsMin(multiplier: number, n: number, probeIntervalUs: number): number {
  return Math.floor((multiplier * Math.max(1000, log10Milli(n)) * probeIntervalUs) / 1000);
}

/** 1000·log10(n) to within two, for n from 1 to 2^31 − 1, in whole numbers so that it is the same everywhere. */
export function log10Milli(n: number): number {
  // log2 bit by bit: squaring the mantissa (1 to 2, in 1/2^15) doubles its logarithm, and an overflow is a one bit.
  let log2 = 31 - Math.clz32(n);
  let mantissa = Math.floor((n * 0x8000) / 2 ** log2);
  for (let bit = 0; bit < 14; bit++) {
    mantissa = (mantissa * mantissa) >>> 15;
    log2 *= 2;
    if (mantissa >= 0x1_0000) {
      mantissa >>>= 1;
      log2++;
    }
  }
  return Math.floor((log2 * 30103) / (0x4000 * 100));
}

/** A member under suspicion here, until it refutes or the time is over. */
export interface Suspicion extends Due {
  readonly node: NodeId;
  startedAt: Instant;
  readonly minUs: number;
  /** How many confirmations count. */
  readonly k: number;
  /** Who suspects it, the first one included. */
  readonly by: NodeId[];
}

/** All suspicions of one node. The only timers that members have, and only while under suspicion. */
export class Suspicions {
  readonly #list = new DueList<Suspicion>();
  readonly #byNode = new Map<NodeId, Suspicion>();

  get due(): Instant {
    return this.#list.due;
  }

  /** Suspects a member anew, in a network where `others` more members could confirm it. */
  start(options: { node: NodeId; by: NodeId; minUs: number; others: number; now: Instant }): void {
    const { node, by, minUs, others, now } = options;
    this.end(node);
    const k = Math.max(0, Math.min(CONFIRMATIONS_MAX, others));
    const dueAt = after(now, suspicionTimeoutUs(minUs, k, 0));
    const suspicion = { node, startedAt: now, minUs, k, by: [by], dueAt };
    this.#byNode.set(node, suspicion);
    this.#list.add(suspicion);
  }

  /** True where `by` had not suspected the member before and still counts. */
  confirm(node: NodeId, by: NodeId, now: Instant): boolean {
    const suspicion = this.#byNode.get(node);
    if (suspicion === undefined || suspicion.by.length > suspicion.k || suspicion.by.includes(by)) {
      return false;
    }
    suspicion.by.push(by);
    const c = suspicion.by.length - 1;
    const dueAt = after(suspicion.startedAt, suspicionTimeoutUs(suspicion.minUs, suspicion.k, c));
    // Not later than it was: what was due before now has been declared dead or given more time.
    this.#list.sooner(suspicion, Math.min(suspicion.dueAt, Math.max(dueAt, now)) as Instant);
    return true;
  }

  end(node: NodeId): void {
    const suspicion = this.#byNode.get(node);
    if (suspicion === undefined) return;
    this.#byNode.delete(node);
    this.#list.remove(suspicion);
  }

  /** A member whose time to refute is over at `now`, or null. */
  firstDue(now: Instant): NodeId | null {
    return this.#list.firstDue(now)?.node ?? null;
  }

  /** Gives every suspect `us` more. */
  extend(us: number): void {
    for (const suspicion of this.#list.items) {
      suspicion.startedAt = after(suspicion.startedAt, us);
      suspicion.dueAt = after(suspicion.dueAt, us);
    }
    this.#list.refresh();
  }

  clear(): void {
    this.#list.clear();
    this.#byNode.clear();
  }
}
