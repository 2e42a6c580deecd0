/**
 * What to merge next. Leveled: a level may hold ten times as much as the one above; the one that exceeds its share most
 * gives a file to the next (O'Neil and others, "The log-structured merge-tree", 1996; as LevelDB does it).
 */
import { compareBytes } from "../base/bytes.ts";
import { type FileInfo, firstEndingAfter, LEVELS, overlaps, type Version } from "./version.ts";

export interface Shape {
  /** So many files of level 0 are merged into level 1. */
  readonly level0Files: number;
  readonly level1Bytes: number;
  readonly levelFactor: number;
  /** A file that merging writes ends past this. */
  readonly fileBytes: number;
  readonly blockBytes: number;
}

export const DEFAULT_SHAPE: Shape = {
  level0Files: 4,
  level1Bytes: 16 * 1024 * 1024,
  levelFactor: 10,
  fileBytes: 4 * 1024 * 1024,
  blockBytes: 4 * 1024,
};

export interface Plan {
  /** Newest first; the files of one level from 1 on are one group, sorted. */
  readonly groups: readonly (readonly FileInfo[])[];
  readonly into: number;
  /** Nothing to merge with: the file only changes its level. */
  readonly move: boolean;
  /** Nothing older lies below: what is deleted need not be remembered. */
  readonly bottom: boolean;
  /** Written again where it is, for its key generation's sake. */
  readonly again: boolean;
}

/** What the shape asks for; null: nothing. */
export function planMerge(version: Version, shape: Shape, generation: number): Plan | null {
  let worst = -1, score = 0;
  for (let level = 0; level < LEVELS - 1; level++) {
    const now = scoreOf(version, level, shape);
    if (now < 1 || now <= score) continue;
    worst = level;
    score = now;
  }
  if (worst < 0) return null;
  return worst === 0 ? planLevel0(version, generation) : planLevel(version, worst, generation);
}

/** A file of another key generation than the current one, to be written again; null: none. */
export function planRewrite(version: Version, generation: number): Plan | null {
  for (const file of version.files()) {
    if (file.generation === generation) continue;
    // Within level 0 the file is not the oldest, and below level 0 it hides what lies deeper: it keeps what it deletes.
    return { groups: [[file]], into: file.level, move: false, bottom: false, again: true };
  }
  return null;
}

function scoreOf(version: Version, level: number, shape: Shape): number {
  const files = version.levels[level]!;
  if (level === 0) return files.length / shape.level0Files;
  let share = shape.level1Bytes;
  for (let above = 1; above < level; above++) share *= shape.levelFactor;
  return files.reduce((sum, { bytes }) => sum + bytes, 0) / share;
}

function planLevel0(version: Version, generation: number): Plan {
  const files = version.levels[0]!, oldest = files[files.length - 1]!;
  const alone = !files.some((file) => file !== oldest && overlaps(file, oldest.first, oldest.end)) &&
    overlapping(version.levels[1]!, oldest.first, oldest.end).length === 0;
  if (alone && oldest.generation === generation) return moved(oldest, 1);
  const { first, end } = rangeOf(files);
  const below = overlapping(version.levels[1]!, first, end);
  return planned(version, [...files.map((file) => [file]), below], 1);
}

function planLevel(version: Version, level: number, generation: number): Plan {
  const next = version.levels[level + 1]!;
  // The one that drags least with it: bytes are rewritten fewer times.
  let best: FileInfo | null = null, below: readonly FileInfo[] = [], cost = Infinity;
  for (const file of version.levels[level]!) {
    const others = overlapping(next, file.first, file.end),
      now = others.reduce((sum, { bytes }) => sum + bytes, 0) / file.bytes;
    if (now >= cost) continue;
    best = file;
    below = others;
    cost = now;
  }
  if (below.length === 0 && best!.generation === generation) return moved(best!, level + 1);
  return planned(version, [[best!], below], level + 1);
}

function moved(file: FileInfo, into: number): Plan {
  return { groups: [[file]], into, move: true, bottom: false, again: false };
}

function planned(version: Version, groups: readonly (readonly FileInfo[])[], into: number): Plan {
  const { first, end } = rangeOf(groups.flat());
  const bottom = !version.levels.slice(into + 1).some((level) => overlapping(level, first, end).length > 0);
  return { groups: groups.filter((group) => group.length > 0), into, move: false, bottom, again: false };
}

/** Of a level from 1 on. */
function overlapping(files: readonly FileInfo[], first: Uint8Array, end: Uint8Array): readonly FileInfo[] {
  const from = firstEndingAfter(files, first);
  let to = from;
  while (to < files.length && compareBytes(files[to]!.first, end) < 0) to++;
  return files.slice(from, to);
}

function rangeOf(files: readonly FileInfo[]): { first: Uint8Array; end: Uint8Array } {
  let { first, end } = files[0]!;
  for (const file of files) {
    if (compareBytes(file.first, first) < 0) first = file.first;
    if (compareBytes(file.end, end) > 0) end = file.end;
  }
  return { first, end };
}
