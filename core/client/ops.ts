/** How each operation of a client travels: where it goes and whether sending it twice is safe. */
import type { PartitionId } from "../base/ids.ts";
import type { Op, RefusalReason, WriteOp } from "../wire/requests.ts";

/**
 * write: to the partition's leader, with a session, so that a retry is applied once. read: harmless to repeat.
 * watch: goes on until it is ended. change: of the network's own state, without a session: never sent again once
 * it may have been applied. unwatch: ends a watch.
 */
export type OpClass = "write" | "read" | "watch" | "change" | "unwatch";

export function classOf(op: Op): OpClass {
  switch (op.kind) {
    case "put":
    case "delete":
    case "cas":
    case "transact":
    case "grant":
    case "keep-alive":
    case "revoke":
      return "write";
    case "join":
    case "set-state":
    case "set-address":
      return "change";
    case "watch":
    case "unwatch":
      return op.kind;
    default:
      return "read";
  }
}

/** The key that decides an operation's partition; null where any node will do. */
export function keyOf(op: Op): string | null {
  switch (op.kind) {
    case "put":
    case "delete":
    case "cas":
    case "get":
    case "history":
      return op.key;
    case "transact":
      return (op.conditions[0] ?? op.then[0] ?? op.otherwise[0])?.key ?? null;
    case "grant":
    case "keep-alive":
    case "revoke":
      return op.lease;
    default:
      return null;
  }
}

/** The partition that an operation names itself. */
export function namedPartition(op: Op): PartitionId | null {
  return op.kind === "range" && op.partition !== undefined ? op.partition : null;
}

export function isStale(op: Op): boolean {
  return "read" in op && op.read === "stale";
}

export function isWrite(op: Op): op is WriteOp {
  return classOf(op) === "write";
}

/**
 * What a refusal says. final: the answer. again: not applied, ask again. elsewhere: not applied, ask another node.
 * unknown: it may have been applied. expired: the partition does not know the session.
 */
export type Verdict = "final" | "again" | "elsewhere" | "unknown" | "expired";

export function verdictOf(reason: RefusalReason): Verdict {
  switch (reason) {
    case "busy":
      return "again";
    case "no-leader":
    case "moved":
    case "closing":
      return "elsewhere";
    case "timeout":
    case "unsure":
      return "unknown";
    case "session-expired":
      return "expired";
    default:
      return "final";
  }
}
