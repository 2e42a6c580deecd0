/** How each operation of a client travels: where it goes and whether sending it twice is safe. */
import { LIMITS } from "../base/limits.ts";
import type { PartitionId } from "../base/ids.ts";
import { isSystemOp, isWriteOp } from "../wire/ops.ts";
import type { Op, RefusalReason } from "../wire/requests.ts";

/**
 * write: to the partition's leader, with a session, so that a retry is applied once. read: harmless to repeat.
 * watch: goes on until it is ended. change: of the network's own state, without a session: never sent again once
 * it may have been applied. unwatch: ends a watch.
 */
export type OpClass = "write" | "read" | "watch" | "change" | "unwatch";

export function classOf(op: Op): OpClass {
  if (isWriteOp(op)) return "write";
  if (isSystemOp(op)) return "change";
  return op.kind === "watch" || op.kind === "unwatch" ? op.kind : "read";
}

/** The partition that an operation names itself. */
export function namedPartition(op: Op): PartitionId | null {
  return op.kind === "range" && op.partition !== undefined ? op.partition : null;
}

/**
 * How long an attempt may go without an answer, in microseconds. A chunk is spread over several nodes and their disks, and the
 * node asked answers for all of them in the time that it has: asking again before that would move every byte twice.
 */
export function patienceUs(op: Op, attemptUs: number): number {
  return op.kind === "chunk-put" || op.kind === "chunk-get"
    ? Math.max(attemptUs, LIMITS.requestUs)
    : attemptUs;
}

export function isStale(op: Op): boolean {
  return "read" in op && op.read === "stale";
}

/**
 * What a refusal says. final: the answer. again: not applied, ask again. elsewhere: not applied, ask another node.
 * unknown: it may have been applied. expired: the partition does not know the session. no-space: this attempt was not
 * applied, and the next will hardly be.
 */
export type Verdict = "final" | "again" | "elsewhere" | "unknown" | "expired" | "no-space";

export function verdictOf(reason: RefusalReason): Verdict {
  switch (reason) {
    case "busy":
      return "again";
    case "no-leader":
    case "moved":
    case "closing":
    case "down":
      return "elsewhere";
    case "timeout":
    case "unsure":
      return "unknown";
    case "session-expired":
      return "expired";
    case "no-space":
      return "no-space";
    default:
      return "final";
  }
}
