/**
 * What a stop leaves of a journal's files, and what a second stop leaves of them while the host repairs them. Which items
 * are durable, which were written and which a seal guards is the journal's affair (journal_disk.ts).
 */
import { unreachable } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import { SEGMENT_HEADER_BYTES } from "../core/wire/journal.ts";
import type { JournalRecovery, JournalSegment } from "../core/wire/journal_recovery.ts";
import {
  cachedBytes,
  crashedBytes,
  crashedHeader,
  type Scar,
  scarred,
  segmentName,
  staleSegment,
  type WrittenSegment,
} from "./journal_bytes.ts";

/**
 * How a process ends. in-order: it was asked to. process: it is killed, and its machine runs on with what it had written in
 * the page cache. power: of what was not synced each sector is on the disk or not.
 */
export type StopKind = "in-order" | "process" | "power";

/** A journal at the moment of a stop. */
export interface Stopped {
  /** The segments that exist, as they were meant. */
  readonly written: readonly WrittenSegment[];
  /** The last sequence whose bytes even power loss leaves alone. */
  readonly spared: number;
  /** The last sequence that was handed to the machine. */
  readonly writtenUpTo: number;
  readonly scars: readonly Scar[];
}

/** The files as a stop left them. `cached`: much of them is in memory alone. */
export interface Image {
  readonly segments: readonly JournalSegment[];
  readonly cached: boolean;
}

export function imageAfter(kind: StopKind, stopped: Stopped, random: Random): Image {
  switch (kind) {
    case "in-order":
      return { segments: damagedNow(stopped.written.map(whole), stopped), cached: false };
    case "process":
      return { segments: damagedNow(killed(stopped, random), stopped), cached: true };
    case "power":
      return { segments: damagedNow(crashed(stopped, random), stopped), cached: false };
    default:
      return unreachable(kind);
  }
}

/** The process or the power goes again while the host repairs what it found. */
export function interruptedRepair(
  image: Image,
  { tail }: JournalRecovery,
  stopped: Stopped,
  random: Random,
): Image {
  // What the host writes again is what it has read, so all that power loss can undo is what never was on the disk.
  if (image.cached && random.chance(1, 2)) return imageAfter("power", stopped, random);
  if (tail === null || random.chance(1, 2)) return image;
  const segments = image.segments
    .map(({ name, bytes }) => ({ name, bytes: name === tail.segment ? bytes.slice(0, tail.cutAt) : bytes }))
    .filter(({ bytes }) => bytes.length > 0);
  return { ...image, segments };
}

/** The last sequence of the segments that exist. */
export function endOf(written: readonly WrittenSegment[]): number {
  const last = written[written.length - 1];
  return last === undefined ? 0 : last.firstSequence + last.starts.length - 2;
}

function killed({ written, writtenUpTo }: Stopped, random: Random): JournalSegment[] {
  return written.map((segment, i) => {
    // A segment is cut to its length before the next is created.
    if (i < written.length - 1) return whole(segment);
    const { number, bytes } = segment;
    return {
      name: segmentName(number),
      bytes: cachedBytes(bytes, offsetAfter(segment, writtenUpTo), random),
    };
  });
}

function crashed({ written, spared, writtenUpTo }: Stopped, random: Random): JournalSegment[] {
  const segments: JournalSegment[] = [];
  for (const segment of written) {
    const name = segmentName(segment.number), durable = offsetAfter(segment, spared);
    if (durable === SEGMENT_HEADER_BYTES && random.chance(1, 3)) {
      const header = crashedHeader(segment.bytes, random);
      if (header !== null) segments.push({ name, bytes: header });
      break;
    }
    const stale = durable === segment.bytes.length || random.chance(3, 4) ? null : staleSegment(segment);
    const meant = segment.bytes.subarray(0, offsetAfter(segment, writtenUpTo));
    const bytes = durable === segment.bytes.length
      ? segment.bytes.slice()
      : crashedBytes(meant, { durable, random, stale });
    segments.push({ name, bytes });
  }
  return segments;
}

/** Where the record with `sequence` ends, or the segment. */
function offsetAfter({ firstSequence, starts }: WrittenSegment, sequence: number): number {
  return starts[Math.min(sequence - firstSequence + 1, starts.length - 1)]!;
}

function whole({ number, bytes }: WrittenSegment): JournalSegment {
  return { name: segmentName(number), bytes: bytes.slice() };
}

function damagedNow(segments: JournalSegment[], { written, scars }: Stopped): JournalSegment[] {
  for (const [i, { bytes }] of segments.entries()) scarred(bytes, written[i]!.number, scars);
  return segments;
}
