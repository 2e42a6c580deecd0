/**
 * The row of an answer kept for a client's retry:
 *
 *     seal u32, acknowledged u64, index u64, answer (canonical CBOR)
 *
 * The answer is that of a write; the plain one takes three integers.
 */
import { unreachable } from "../base/invariant.ts";
import type { LogIndex, Term } from "../base/ids.ts";
import { encode, Reader, type Wire } from "../wire/cbor.ts";
import type { KeyValue, RefusalReason, Response } from "../wire/requests.ts";
import { readUint64, SEAL_BYTES, writeUint64 } from "./rows.ts";

/** The answers that a write can have. */
export type WriteResponse = Extract<Response, { kind: "written" | "cas" | "transacted" | "refused" }>;

const ACKNOWLEDGED_AT = SEAL_BYTES, INDEX_AT = ACKNOWLEDGED_AT + 8, ANSWER_AT = INDEX_AT + 8;
const WRITTEN_BYTES = ANSWER_AT + 1 + 8;

/** `written` of the row's own index: the common case, by hand. Distinct from CBOR arrays, which begin with 0x80 to 0x9f. */
const WRITTEN_NEW = 0x00, WRITTEN_OVER = 0x01;
const CAS = 1, TRANSACTED = 2, REFUSED = 3;

/** What a write can be refused for when it is applied. Numbers are positions: append only. */
const REASONS: readonly RefusalReason[] = ["invalid", "too-large", "not-found", "conflict"];

/** The row, not sealed yet. `index` is the log position that gave the answer. */
export function encodeAnswer(acknowledged: number, index: LogIndex, response: WriteResponse): Uint8Array {
  if (response.kind === "written") {
    const row = new Uint8Array(WRITTEN_BYTES);
    row[ANSWER_AT] = response.existed ? WRITTEN_OVER : WRITTEN_NEW;
    writeUint64(row, ANSWER_AT + 1, response.version.term);
    return withHead(row, acknowledged, index);
  }
  const answer = encode(answerWire(response));
  const row = new Uint8Array(ANSWER_AT + answer.length);
  row.set(answer, ANSWER_AT);
  return withHead(row, acknowledged, index);
}

/** The answer that encodeAnswer() was given. */
export function decodeAnswer(row: Uint8Array): WriteResponse {
  const first = row[ANSWER_AT]!;
  if (first === WRITTEN_NEW || first === WRITTEN_OVER) {
    const version = { term: readUint64(row, ANSWER_AT + 1) as Term, index: indexOfAnswer(row) };
    return { kind: "written", version, existed: first === WRITTEN_OVER };
  }
  const reader = new Reader(row.subarray(ANSWER_AT));
  const response = readAnswer(reader);
  reader.end();
  return response;
}

export function acknowledgedOf(row: Uint8Array): number {
  return readUint64(row, ACKNOWLEDGED_AT);
}

export function indexOfAnswer(row: Uint8Array): LogIndex {
  return readUint64(row, INDEX_AT) as LogIndex;
}

function withHead(row: Uint8Array, acknowledged: number, index: LogIndex): Uint8Array {
  writeUint64(row, ACKNOWLEDGED_AT, acknowledged);
  writeUint64(row, INDEX_AT, index);
  return row;
}

function answerWire(response: Exclude<WriteResponse, { kind: "written" }>): Wire {
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
