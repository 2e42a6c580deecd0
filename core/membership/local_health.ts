/** Lifeguard's bound of the multiplier (the paper's S). */
const SCORE_MAX = 8;

/**
 * Lifeguard, section IV.A: how far this node should doubt itself. Failed probes, missing nacks and suspicions of
 * itself raise the score, answered probes lower it, and its own intervals and timeouts grow with it: a node that is
 * slow asks less and waits longer, so that it does not take its own slowness for the death of others.
 */
export class LocalHealth {
  /** 0 (healthy) to 8. */
  score = 0;

  change(delta: number): void {
    this.score = Math.min(SCORE_MAX, Math.max(0, this.score + delta));
  }

  scale(us: number): number {
    return us * (1 + this.score);
  }
}
