/** What is asked by clients, sorted: which operations write, which read, and which key they are about. */
import type { Op, ReadOp, RefusalReason, Refused, SystemOp, WriteOp } from "./requests.ts";

/** It goes through the log of a data partition. */
export function isWriteOp(op: Op): op is WriteOp {
  switch (op.kind) {
    case "put":
    case "delete":
    case "cas":
    case "transact":
    case "grant":
    case "keep-alive":
    case "revoke":
      return true;
    default:
      return false;
  }
}

/** It is answered from a data partition's state, and harmless to repeat. */
export function isReadOp(op: Op): op is ReadOp {
  return op.kind === "get" || op.kind === "history" || op.kind === "range";
}

/** It goes through the log of the system partition. */
export function isSystemOp(op: Op): op is SystemOp {
  switch (op.kind) {
    case "join":
    case "set-state":
    case "set-address":
    case "evict":
    case "invite-add":
    case "invite-drop":
    case "access-set":
    case "access-drop":
    case "keys-rotate":
    case "key-made":
    case "key-status":
      return true;
    default:
      return false;
  }
}

/** The key, or the lease's name, that decides an operation's partition; null where none does. */
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

export function refusal(reason: RefusalReason, message: string): Refused {
  return { kind: "refused", reason, message };
}
