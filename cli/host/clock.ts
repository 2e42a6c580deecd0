import type { Instant } from "../../core/base/ids.ts";

/** Integer microseconds since this process began. Never goes back, whatever the wall clock does. */
export function now(): Instant {
  return Math.floor(performance.now() * 1000) as Instant;
}
