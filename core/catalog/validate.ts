/**
 * What a request must keep to before it may enter a log or be read: run where it enters the network and once more at
 * the leader. Each refusal names the limit and what was given.
 */
import { compareUtf8, utf8Length } from "../base/bytes.ts";
import type { PartitionId } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import { refusal } from "../wire/ops.ts";
import { isRow, ROWS_END } from "../wire/rows.ts";
import type {
  Expectation,
  PutOptions,
  RangeOp,
  ReadOp,
  Refused,
  Session,
  TransactItem,
  TransactOp,
  WatchOp,
  WriteOp,
} from "../wire/requests.ts";

export interface DataRequest {
  readonly op: WriteOp | ReadOp | WatchOp;
  readonly session?: Session;
}

/** The partition of a key, as placement has it. */
export type PartitionOf = (key: string) => PartitionId;

/** Why a request on data is refused whatever the state, or null. */
export function validate(request: DataRequest, partitionOf: PartitionOf): Refused | null {
  const { op, session } = request;
  return (session === undefined ? null : sessionProblem(session)) ?? opProblem(op, partitionOf);
}

function opProblem(op: DataRequest["op"], partitionOf: PartitionOf): Refused | null {
  switch (op.kind) {
    case "put":
      return putProblem(op.key, op.value, op, partitionOf);
    case "delete":
    case "history":
      return nameProblem("key", op.key);
    case "get":
      return nameProblem("key", op.key) ?? (op.version === undefined ? null : versionProblem(op.version));
    case "cas":
      return casProblem(op, partitionOf);
    case "transact":
      return transactProblem(op, partitionOf);
    case "grant":
      return nameProblem("lease", op.lease) ?? ttlProblem(op.ttlMs);
    case "keep-alive":
    case "revoke":
      return nameProblem("lease", op.lease);
    case "range":
      return spanProblem(op.start, op.end) ?? limitProblem(op);
    case "watch":
      return spanProblem(op.start, op.end);
    default:
      return unreachable(op);
  }
}

function sessionProblem(session: Session): Refused | null {
  const { client, sequence, acknowledged } = session;
  if (!/^[0-9a-f]{32}$/.test(client)) {
    return invalid(`A session's client is 32 hexadecimal digits in lower case, not ${quote(client)}`);
  }
  if (!isCount(sequence) || !isCount(acknowledged)) {
    return invalid(
      `A session's sequence and acknowledged are integers from 0, not ${sequence} and ${acknowledged}`,
    );
  }
  if (acknowledged <= sequence) return null;
  return invalid(
    `A session acknowledges the answers below ${acknowledged}, which covers the write itself (sequence ${sequence}); ` +
      `acknowledge only what was answered`,
  );
}

function nameProblem(what: "key" | "lease", name: string): Refused | null {
  if (name.length === 0) return invalid(`A ${what} has at least 1 byte; name one`);
  if (!name.isWellFormed()) {
    return invalid(`A ${what} is well-formed Unicode, and ${quote(name)} holds half of a surrogate pair`);
  }
  const bytes = utf8Length(name);
  if (bytes <= LIMITS.keyBytesMax) return null;
  return tooLarge(
    `A ${what} has at most ${LIMITS.keyBytesMax} bytes in UTF-8 (keyBytesMax), not ${bytes}; shorten it`,
  );
}

function valueProblem(value: Uint8Array): Refused | null {
  if (value.length <= LIMITS.valueBytesMax) return null;
  return tooLarge(
    `A value has at most ${LIMITS.valueBytesMax} bytes (valueBytesMax), not ${value.length}; split it over several keys`,
  );
}

function putProblem(
  key: string,
  value: Uint8Array | null,
  options: PutOptions,
  partitionOf: PartitionOf,
): Refused | null {
  return nameProblem("key", key) ?? (value === null ? null : valueProblem(value)) ??
    optionsProblem(key, options, partitionOf);
}

function optionsProblem(key: string, options: PutOptions, partitionOf: PartitionOf): Refused | null {
  const { lease, ttlMs, history } = options;
  if (lease !== undefined && ttlMs !== undefined) {
    return invalid(
      `A put names a lease (${quote(lease)}) or a ttlMs of its own (${ttlMs}), not both; leave one out`,
    );
  }
  if (history !== undefined && !(isCount(history) && history <= LIMITS.historyVersionsMax)) {
    return invalid(
      `A history is 0 to ${LIMITS.historyVersionsMax} versions (historyVersionsMax), not ${history}`,
    );
  }
  if (ttlMs !== undefined) return ttlProblem(ttlMs);
  if (lease === undefined) return null;
  const problem = nameProblem("lease", lease);
  if (problem !== null || partitionOf(lease) === partitionOf(key)) return problem;
  return invalid(
    `The lease ${quote(lease)} lies in partition ${partitionOf(lease)} and the key ${quote(key)} in ` +
      `${partitionOf(key)}; give both the same {tag}`,
  );
}

function ttlProblem(ttlMs: number): Refused | null {
  if (isCount(ttlMs) && ttlMs >= LIMITS.leaseTtlMsMin && ttlMs <= LIMITS.leaseTtlMsMax) return null;
  return invalid(
    `A ttlMs is ${LIMITS.leaseTtlMsMin} to ${LIMITS.leaseTtlMsMax} milliseconds (leaseTtlMsMin, leaseTtlMsMax), ` +
      `not ${ttlMs}`,
  );
}

function expectProblem(expect: Expectation): Refused | null {
  if (expect.kind === "version") return versionProblem(expect.version);
  return expect.kind === "value" ? valueProblem(expect.value) : null;
}

function versionProblem(version: { readonly term: number; readonly index: number }): Refused | null {
  if (isCount(version.term) && isCount(version.index)) return null;
  return invalid(`A version is a term and an index, integers from 0, not ${version.term}.${version.index}`);
}

function casProblem(op: Extract<WriteOp, { kind: "cas" }>, partitionOf: PartitionOf): Refused | null {
  const problem = putProblem(op.key, op.value, op, partitionOf) ?? expectProblem(op.expect);
  if (problem !== null || op.value !== null) return problem;
  const { lease, ttlMs } = op;
  if (lease === undefined && ttlMs === undefined) return null;
  return invalid(
    `A cas that deletes ${quote(op.key)} takes no ${lease === undefined ? "ttlMs" : "lease"}; leave it out`,
  );
}

function transactProblem(op: TransactOp, partitionOf: PartitionOf): Refused | null {
  return countProblem("conditions", op.conditions.length) ?? countProblem("then", op.then.length) ??
    countProblem("otherwise", op.otherwise.length) ?? emptyProblem(op) ??
    branchProblem("then", op.then, partitionOf) ?? branchProblem("otherwise", op.otherwise, partitionOf) ??
    conditionsProblem(op) ?? partitionProblem(op, partitionOf) ?? bytesProblem(op);
}

function countProblem(what: "conditions" | "then" | "otherwise", count: number): Refused | null {
  if (count <= LIMITS.transactionItemsMax) return null;
  return tooLarge(
    `A transaction has at most ${LIMITS.transactionItemsMax} items in "${what}" (transactionItemsMax), not ${count}; ` +
      `split it`,
  );
}

function emptyProblem(op: TransactOp): Refused | null {
  if (op.conditions.length + op.then.length + op.otherwise.length > 0) return null;
  return invalid("A transaction names at least one key, and this one has no conditions and no items");
}

function branchProblem(
  what: "then" | "otherwise",
  items: readonly TransactItem[],
  partitionOf: PartitionOf,
): Refused | null {
  const seen = new Set<string>();
  for (const item of items) {
    const problem = item.kind === "put"
      ? putProblem(item.key, item.value, item, partitionOf)
      : nameProblem("key", item.key);
    if (problem !== null) return problem;
    if (seen.has(item.key)) {
      return invalid(
        `A transaction names each key once in a branch, and "${what}" names ${quote(item.key)} twice`,
      );
    }
    seen.add(item.key);
  }
  return null;
}

function conditionsProblem(op: TransactOp): Refused | null {
  for (const { key, expect } of op.conditions) {
    const problem = nameProblem("key", key) ?? expectProblem(expect);
    if (problem !== null) return problem;
  }
  return null;
}

function partitionProblem(op: TransactOp, partitionOf: PartitionOf): Refused | null {
  const keys = [...op.conditions, ...op.then, ...op.otherwise].map((item) => item.key);
  const first = keys[0]!, partition = partitionOf(first);
  const stray = keys.find((key) => partitionOf(key) !== partition);
  if (stray === undefined) return null;
  return invalid(
    `A transaction keeps to one partition: ${quote(first)} lies in ${partition} and ${quote(stray)} in ` +
      `${partitionOf(stray)}; give all keys the same {tag}`,
  );
}

function bytesProblem(op: TransactOp): Refused | null {
  let bytes = 0;
  for (const { key, expect } of op.conditions) {
    bytes += key.length + (expect.kind === "value" ? expect.value.length : 0);
  }
  for (const item of [...op.then, ...op.otherwise]) {
    bytes += item.key.length + (item.kind === "put" ? item.value.length : 0);
  }
  if (bytes <= LIMITS.commandBytesMax) return null;
  return tooLarge(
    `A transaction's keys and values have at most ${LIMITS.commandBytesMax} bytes together (commandBytesMax), ` +
      `not ${bytes}; split it`,
  );
}

function spanProblem(start: string, end: string | null): Refused | null {
  for (const bound of end === null ? [start] : [start, end]) {
    if (!bound.isWellFormed()) {
      return invalid(
        `A bound of a range is well-formed Unicode, and ${quote(bound)} holds half of a surrogate pair`,
      );
    }
    // One more than a key has: U+0000 after the longest key bounds that key alone.
    const bytes = utf8Length(bound);
    if (bytes > LIMITS.keyBytesMax + 1) {
      return tooLarge(
        `A bound of a range has at most ${
          LIMITS.keyBytesMax + 1
        } bytes in UTF-8 (keyBytesMax + 1), not ${bytes}`,
      );
    }
  }
  if (!isRow(start) || (end !== null && compareUtf8(end, ROWS_END) <= 0)) return null;
  return invalid(
    `A range that begins with U+0001, among the rows of objects, ends at "\\u0002" at the latest, not ${
      end === null ? "at the last key" : `at ${quote(end)}`
    }`,
  );
}

function limitProblem(op: RangeOp): Refused | null {
  if (isCount(op.limit) && op.limit >= 1 && op.limit <= LIMITS.rangeItemsMax) return null;
  return invalid(
    `A range's limit is 1 to ${LIMITS.rangeItemsMax} items (rangeItemsMax), not ${op.limit}; page on with next`,
  );
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Enough of a name to know it again. */
function quote(name: string): string {
  return JSON.stringify(name.length <= 64 ? name : `${name.slice(0, 61)}…`);
}

function invalid(message: string): Refused {
  return refusal("invalid", message);
}

function tooLarge(message: string): Refused {
  return refusal("too-large", message);
}
