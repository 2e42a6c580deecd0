/** Opens the journal's files after a stop of any kind, so that what was read back can be built upon (J5, J6, J9). */
import type { NodeId } from "../../core/base/ids.ts";
import { invariant } from "../../core/base/invariant.ts";
import type { Vault } from "../../core/base/vault.ts";
import { JOURNAL_VERSION, sealBytes, SEGMENT_HEADER_BYTES } from "../../core/wire/journal.ts";
import { recordCipher } from "../../core/wire/journal_cipher.ts";
import { isCheckpointed, type JournalRecovery, JournalReplay } from "../../core/wire/journal_recovery.ts";
import type { Recovered } from "../../core/wire/kernel.ts";
import {
  createSegment,
  drawnOpening,
  type JournalFile,
  type JournalFileSystem,
  JournalWriteError,
  type Segment,
  segmentName,
  segmentNumbers,
  segmentPath,
  writeAll,
} from "./journal_segments.ts";

export interface OpenedJournal {
  /** null: there was none. */
  readonly recovered: Recovered | null;
  /** To go on with; its file stands at its end. */
  readonly segment: Segment;
  readonly offset: number;
  /** The last record, durable like all before it. */
  readonly sequence: number;
  /** That record is a seal. */
  readonly sealed: boolean;
  /** Key generations by the number of the segment, for all that are left before this one; 0: none. */
  readonly generations: ReadonlyMap<number, number>;
}

export interface OpeningOptions {
  readonly directory: string;
  readonly node: NodeId;
  readonly vault: Vault;
}

/**
 * Recovers from the segments in `directory`, cuts a torn end, writes again what nothing proves to be on the disk, and
 * removes what a checkpoint has made needless. Where it fails, no file stays open.
 * @throws {JournalError} when the journal is damaged, another node's, or of another version
 * @throws {JournalWriteError}
 */
export function openJournal(files: JournalFileSystem, options: OpeningOptions): OpenedJournal {
  const { directory } = options;
  const numbers = segmentNumbers(files.list(directory));
  const { recovery, older } = recover(files, numbers, options);
  const { recovered, lastSequence, append, tail } = recovery;
  if (tail !== null && tail.cutAt === 0) files.remove(segmentPath(directory, numbers[numbers.length - 1]!));
  const segment = segmentToGoOnWith(files, recovery, options);
  try {
    for (const number of older) files.remove(segmentPath(directory, number));
    files.syncDirectory(directory);
    const offset = segment.file.seekSync(0, Deno.SeekMode.End);
    const sealed = append !== null && append.offset - append.unproven === sealBytes(append.key !== null);
    return {
      recovered: append === null ? null : recovered,
      segment,
      offset,
      sequence: lastSequence,
      sealed,
      generations: new Map(recovery.generations.map(({ segment, generation }) => [segment, generation])),
    };
  } catch (error) {
    segment.file.close();
    throw new JournalWriteError(directory, error);
  }
}

/** `older`: segments that recovery has no need of. Reads one file at a time. */
function recover(
  files: JournalFileSystem,
  numbers: readonly number[],
  { directory, node, vault }: OpeningOptions,
): { recovery: JournalRecovery; older: readonly number[] } {
  const segmentAt = (i: number) => ({
    name: segmentName(numbers[i]!),
    number: numbers[i]!,
    bytes: files.read(segmentPath(directory, numbers[i]!)),
  });
  const last = numbers.length - 1;
  let first = last;
  while (first > 0 && !isCheckpointed(segmentAt(first))) first--;
  const replay = new JournalReplay(node, vault);
  for (let i = Math.max(0, first); i <= last; i++) replay.add(segmentAt(i), i === last);
  return { recovery: replay.finish(), older: numbers.slice(0, Math.max(0, first)) };
}

/** A segment of an older version, or of another key generation than the current one, is left as it is, behind a new one. */
function segmentToGoOnWith(
  files: JournalFileSystem,
  { append, lastSequence }: JournalRecovery,
  options: OpeningOptions,
): Segment {
  const { directory, node, vault } = options;
  const firstSequence = lastSequence + 1;
  if (append === null) return createSegment(files, directory, { node, vault, number: 1, firstSequence });
  const segment = openSegment(files, append, options);
  if (append.version === JOURNAL_VERSION && segment.generation === vault.current) return segment;
  segment.file.close();
  return createSegment(files, directory, { node, vault, number: append.segment + 1, firstSequence });
}

/** Cuts the torn end and writes what is unproven again (J5, J9). */
function openSegment(
  files: JournalFileSystem,
  { segment: number, salt, key, offset, unproven }: NonNullable<JournalRecovery["append"]>,
  { directory, vault }: OpeningOptions,
): Segment {
  const path = segmentPath(directory, number);
  const file = files.open(path, { read: true, write: true });
  let header: Uint8Array;
  try {
    header = readAt(file, 0, SEGMENT_HEADER_BYTES);
    const bytes = readAt(file, unproven, offset - unproven);
    file.seekSync(unproven, Deno.SeekMode.Start);
    writeAll(file, bytes);
    file.truncateSync(offset);
    file.syncSync();
  } catch (error) {
    file.close();
    throw new JournalWriteError(path, error);
  }
  const cipher = recordCipher(vault, { key, header, opening: drawnOpening() });
  return { number, salt, generation: key?.generation ?? 0, cipher, file };
}

function readAt(file: JournalFile, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  file.seekSync(from, Deno.SeekMode.Start);
  for (let at = 0; at < length;) {
    const read = file.readSync(bytes.subarray(at));
    invariant(read !== null, "What recovery has read is there");
    at += read;
  }
  return bytes;
}
