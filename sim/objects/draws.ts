/** What the workload of objects draws, and how small everything is made for it. */
import type { Random } from "../../core/base/random.ts";
import { PAGES_MAX } from "../../core/objects/records_version.ts";
import type { Sizes } from "../../core/objects/programs/world.ts";
import type { ByteRange } from "../../core/objects/types.ts";
import type { ObjectsOptions } from "./options.ts";
import { randomBytes } from "./program_run.ts";

/** Of an object that is written in parts. */
export const PARTS_MAX = 4;

/** Sizes and times of programs, as small as the scenario says. */
export function sizesOf(options: ObjectsOptions): Sizes {
  const { chunk, segment, inline, unregistered, rows, segmentsPerRow, expiry, bytes } = options;
  const segmentsMax = PARTS_MAX * (Math.ceil(bytes / (chunk * segment)) + 1);
  return {
    chunkBytes: chunk,
    segmentBytes: chunk * segment,
    inlineBytes: inline,
    unregisteredChunks: unregistered,
    rowsPerTransaction: rows,
    segmentsPerRow,
    // A version has so many pages at most, whatever their size.
    segmentsPerPage: Math.max(segmentsPerRow + 1, Math.ceil(segmentsMax / PAGES_MAX)),
    putsUnderWay: 4,
    getsUnderWay: 3,
    rowsPerPage: 7,
    partBytesMin: 1,
    ...timesOf(expiry),
  };
}

/** In milliseconds, of how long what is registered lives unless it is kept alive, in microseconds. */
function timesOf(expiry: number) {
  const registeredMs = Math.ceil(expiry / 1000);
  return {
    registeredMs,
    claimMs: registeredMs,
    unregisteredMs: Math.ceil(registeredMs / 2),
    keepAliveMs: Math.ceil(registeredMs / 6),
  };
}

/** Empty, inline, just at the border between chunks, or anything. */
export function drawBody(random: Random, { bytes, inline, chunk }: ObjectsOptions): Uint8Array {
  switch (random.below(8)) {
    case 0:
      return new Uint8Array(0);
    case 1:
      return randomBytes(random, random.between(1, Math.max(1, inline)));
    case 2:
      return randomBytes(random, Math.min(bytes, chunk * random.between(1, 4) + random.between(-1, 1)));
    default:
      return randomBytes(random, random.between(1, bytes));
  }
}

export function drawRange(random: Random, bytes: number): ByteRange {
  const start = random.below(bytes);
  switch (random.below(3)) {
    case 0:
      return { kind: "from", start, end: null };
    case 1:
      return { kind: "from", start, end: start + random.below(bytes) };
    default:
      return { kind: "last", bytes: 1 + random.below(bytes) };
  }
}

export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
