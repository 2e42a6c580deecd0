/**
 * Answers kept for retries, as bytes. A session's row holds what its client acknowledged and its short answers; each
 * long answer has a row of its own.
 *
 *     session   seal u32, acknowledged u64, last index u64, then for each kept answer: form u8, sequence u64 and
 *               of a plain answer term u64, index u64; of a short one length u16, CBOR; of a long one nothing
 *     answer    seal u32, CBOR
 */
import { unreachable } from "../base/invariant.ts";
import type { LogIndex, Term } from "../base/ids.ts";
import { encode, Reader, type Wire } from "../wire/cbor.ts";
import type { KeyValue, RefusalReason, Response } from "../wire/requests.ts";
import { readUint64, SEAL_BYTES, writeUint64 } from "./rows.ts";
import type { Slab } from "./slab.ts";

/** The answers that a write can have. */
export type WriteResponse = Extract<Response, { kind: "written" | "cas" | "transacted" | "refused" }>;
type Written = Extract<Response, { kind: "written" }>;

/** A kept answer: the plain one as it is, any other as CBOR. */
export type Kept = Written | Uint8Array;

/** A longer answer gets a row of its own, as a session's row is written anew with each write. */
const SHORT_BYTES = 256;

const ACKNOWLEDGED_AT = SEAL_BYTES, LAST_INDEX_AT = ACKNOWLEDGED_AT + 8, ANSWERS_AT = LAST_INDEX_AT + 8;
const WRITTEN_NEW = 0, WRITTEN_OVER = 1, SHORT = 2, LONG = 3;
const WRITTEN_BYTES = 25, SHORT_HEAD_BYTES = 11, LONG_BYTES = 9;

const CAS = 1, TRANSACTED = 2, REFUSED = 3;

/** What a write can be refused for when it is applied. Numbers are positions: append only. */
const REASONS: readonly RefusalReason[] = ["invalid", "too-large", "not-found", "conflict"];

export function keptOf(response: WriteResponse): Kept {
  return response.kind === "written" ? response : encode(answerWire(response)).slice();
}

/** The answer that keptOf() was given. */
export function responseOf(kept: Kept): WriteResponse {
  if (!(kept instanceof Uint8Array)) return kept;
  const reader = new Reader(kept);
  const response = readAnswer(reader);
  reader.end();
  return response;
}

/** What a kept answer counts against LIMITS.sessionAnswerBytesMax. */
export function bytesOf(kept: Kept): number {
  return kept instanceof Uint8Array ? SHORT_HEAD_BYTES + kept.length : WRITTEN_BYTES;
}

/** True where the answer has a row of its own. */
export function isLong(kept: Kept): boolean {
  return kept instanceof Uint8Array && kept.length > SHORT_BYTES;
}

/** The row of a long answer, not sealed yet. */
export function encodeLong(kept: Uint8Array): Uint8Array {
  const row = new Uint8Array(SEAL_BYTES + kept.length);
  row.set(kept, SEAL_BYTES);
  return row;
}

export function decodeLong(row: Uint8Array): Uint8Array {
  return row.subarray(SEAL_BYTES);
}

/** The row of a session, not sealed yet. */
export function encodeSession(
  acknowledged: number,
  lastIndex: LogIndex,
  answers: ReadonlyMap<number, Kept>,
  slab: Slab,
): Uint8Array {
  let length = ANSWERS_AT;
  for (const kept of answers.values()) length += isLong(kept) ? LONG_BYTES : bytesOf(kept);
  const row = slab.take(length);
  writeUint64(row, ACKNOWLEDGED_AT, acknowledged);
  writeUint64(row, LAST_INDEX_AT, lastIndex);
  let at = ANSWERS_AT;
  for (const [sequence, kept] of answers) at = writeKept(row, at, sequence, kept);
  return row;
}

/** Reads a session's row. `long` finds the row of a long answer. */
export function decodeSession(
  row: Uint8Array,
  long: (sequence: number) => Uint8Array,
): { acknowledged: number; lastIndex: LogIndex; answers: Map<number, Kept> } {
  const answers = new Map<number, Kept>();
  for (let at = ANSWERS_AT; at < row.length;) {
    const form = row[at]!, sequence = readUint64(row, at + 1);
    if (form === LONG) {
      answers.set(sequence, long(sequence));
      at += LONG_BYTES;
    } else if (form === SHORT) {
      const start = at + SHORT_HEAD_BYTES;
      at = start + (row[start - 2]! << 8 | row[start - 1]!);
      answers.set(sequence, row.slice(start, at));
    } else {
      const version = { term: readUint64(row, at + 9) as Term, index: readUint64(row, at + 17) as LogIndex };
      answers.set(sequence, { kind: "written", version, existed: form === WRITTEN_OVER });
      at += WRITTEN_BYTES;
    }
  }
  return {
    acknowledged: readUint64(row, ACKNOWLEDGED_AT),
    lastIndex: readUint64(row, LAST_INDEX_AT) as LogIndex,
    answers,
  };
}

function writeKept(row: Uint8Array, at: number, sequence: number, kept: Kept): number {
  writeUint64(row, at + 1, sequence);
  if (!(kept instanceof Uint8Array)) {
    row[at] = kept.existed ? WRITTEN_OVER : WRITTEN_NEW;
    writeUint64(row, at + 9, kept.version.term);
    writeUint64(row, at + 17, kept.version.index);
    return at + WRITTEN_BYTES;
  }
  if (isLong(kept)) {
    row[at] = LONG;
    return at + LONG_BYTES;
  }
  row[at] = SHORT;
  row[at + 9] = kept.length >> 8;
  row[at + 10] = kept.length;
  row.set(kept, at + SHORT_HEAD_BYTES);
  return at + SHORT_HEAD_BYTES + kept.length;
}

function answerWire(response: Exclude<WriteResponse, Written>): Wire {
  switch (response.kind) {
    case "cas":
      return [
        CAS,
        response.applied,
        response.version.term,
        response.version.index,
        foundWire(response.found),
      ];
    case "transacted": {
      const { held, version, results } = response;
      return [TRANSACTED, held, version.term, version.index, results.map(foundWire)];
    }
    case "refused":
      return [REFUSED, REASONS.indexOf(response.reason), response.message];
    default:
      return unreachable(response);
  }
}

function readAnswer(reader: Reader): WriteResponse {
  reader.array(5);
  const code = reader.integer();
  switch (code) {
    case CAS: {
      const applied = reader.boolean();
      return { kind: "cas", applied, version: readVersion(reader), found: readFound(reader) };
    }
    case TRANSACTED: {
      const held = reader.boolean(), version = readVersion(reader);
      const results: (KeyValue | null)[] = [];
      for (let left = reader.array(); left > 0; left--) results.push(readFound(reader));
      return { kind: "transacted", held, version, results };
    }
    case REFUSED:
      return { kind: "refused", reason: reader.choice(REASONS), message: reader.text() };
    default:
      return reader.fail("kind", `No kept answer has the code ${code}`);
  }
}

function readVersion(reader: Reader): { term: Term; index: LogIndex } {
  return { term: reader.term(), index: reader.index() };
}

function foundWire(found: KeyValue | null): Wire {
  return found === null ? null : [found.key, found.value, found.version.term, found.version.index];
}

function readFound(reader: Reader): KeyValue | null {
  if (reader.skipNull()) return null;
  reader.tuple(4);
  const key = reader.text(), value = reader.skipNull() ? null : reader.bytes();
  return { key, value, version: readVersion(reader) };
}
