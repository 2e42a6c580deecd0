import { LIMITS } from "./limits.ts";

/**
 * Limits that are a node's own affair: they decide how often it makes checkpoints, compacts and pages, and are part of no
 * format. Nodes of one network may differ in them. The defaults are those of LIMITS; the simulator draws small ones, so
 * that what is rare in life happens often.
 */
export interface Tuning {
  readonly journalBytesPerCheckpoint: number;
  readonly checkpointEntriesKept: number;
  readonly checkpointBytesKept: number;
  readonly logEntriesMax: number;
  readonly logBytesMax: number;
  readonly logEntriesKept: number;
  readonly logBytesKept: number;
  readonly snapshotChunkBytesMax: number;
  readonly appendEntriesMax: number;
  readonly proposalsPendingMax: number;
  readonly watchEventsKept: number;
  readonly hedgeUs: number;
  readonly putPatienceUs: number;
  readonly orphanAgeUs: number;
  readonly lookUs: number;
  readonly lookDelayUs: number;
  /** From twice LIMITS.stripeMax: a page always holds all fragments of one chunk. */
  readonly lookPageMax: number;
  readonly lookBudget: number;
  readonly repairQueueMax: number;
  readonly repairsMax: number;
  readonly repairBytesPerSecond: number;
  /** From 0: no scrubbing. */
  readonly scrubBytesPerSecond: number;
  readonly scrubRestUs: number;
}

/** From 1 up to the limit of the same name. @throws {RangeError} naming the first value that is not */
export function tuningOf(given: Partial<Tuning> = {}): Tuning {
  const pick = (name: keyof Tuning, least = 1): number => {
    const value = given[name] ?? LIMITS[name];
    if (!Number.isSafeInteger(value) || value < least || value > LIMITS[name]) {
      throw new RangeError(`Tuning ${name} is an integer from ${least} to ${LIMITS[name]}, not ${value}`);
    }
    return value;
  };
  const tuning: Tuning = {
    journalBytesPerCheckpoint: pick("journalBytesPerCheckpoint"),
    checkpointEntriesKept: pick("checkpointEntriesKept"),
    checkpointBytesKept: pick("checkpointBytesKept"),
    logEntriesMax: pick("logEntriesMax"),
    logBytesMax: pick("logBytesMax"),
    logEntriesKept: pick("logEntriesKept"),
    logBytesKept: pick("logBytesKept"),
    snapshotChunkBytesMax: pick("snapshotChunkBytesMax"),
    appendEntriesMax: pick("appendEntriesMax"),
    proposalsPendingMax: pick("proposalsPendingMax"),
    watchEventsKept: pick("watchEventsKept"),
    hedgeUs: pick("hedgeUs"),
    putPatienceUs: pick("putPatienceUs"),
    orphanAgeUs: pick("orphanAgeUs"),
    lookUs: pick("lookUs"),
    lookDelayUs: pick("lookDelayUs"),
    lookPageMax: pick("lookPageMax", 2 * LIMITS.stripeMax),
    lookBudget: pick("lookBudget"),
    repairQueueMax: pick("repairQueueMax"),
    repairsMax: pick("repairsMax"),
    repairBytesPerSecond: pick("repairBytesPerSecond"),
    scrubBytesPerSecond: pick("scrubBytesPerSecond", 0),
    scrubRestUs: pick("scrubRestUs"),
  };
  if (tuning.logEntriesKept >= tuning.logEntriesMax || tuning.logBytesKept >= tuning.logBytesMax) {
    throw new RangeError(
      `Compaction must free something: logEntriesKept ${tuning.logEntriesKept} is below logEntriesMax ` +
        `${tuning.logEntriesMax}, and logBytesKept ${tuning.logBytesKept} below logBytesMax ${tuning.logBytesMax}`,
    );
  }
  return tuning;
}

export const DEFAULT_TUNING: Tuning = tuningOf();
