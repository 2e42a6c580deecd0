import { unreachable } from "../../core/base/invariant.ts";
import {
  ABSENT,
  type Action,
  type Guard,
  type Item,
  type RegisterOperation,
  UNSEEN,
} from "./register_model.ts";

/**
 * A write of unknown outcome whose value was seen did happen, and no later than the first that saw it ended. One whose
 * value was never seen is of no use for explaining the others (but for what it may have deleted), and where nothing else
 * names that value, it is as good as any other such.
 */
export function settleUnknown(
  operations: readonly RegisterOperation[],
): { readonly operation: RegisterOperation; readonly useful: boolean }[] {
  const seen = new Map<number, number>();
  const see = (value: number | null, complete: number) => {
    if (value !== null && value !== ABSENT) seen.set(value, Math.min(complete, seen.get(value) ?? Infinity));
  };
  for (const { action, complete } of operations) {
    if (action.kind === "read") see(action.value, complete);
    if (action.kind === "cas" && action.applied === true && action.guard.kind === "value") {
      see(action.guard.value, complete);
    }
    if (action.kind === "cas") see(action.found, complete);
    if (action.kind === "transact") { for (const value of action.results ?? []) see(value, complete); }
  }
  const named = new Set(operations.flatMap(({ action }) => valuesNamed(action)));
  return operations.map((operation) => {
    if (operation.complete !== Infinity) return { operation, useful: true };
    const values = valuesWritten(operation.action);
    if (values.length === 0) return { operation, useful: true };
    const complete = Math.min(...values.map((value) => seen.get(value) ?? Infinity));
    if (complete === Infinity) return { operation: withoutValues(operation, named), useful: false };
    return { operation: { ...operation, complete: Math.max(complete, operation.invoke) }, useful: true };
  });
}

/** The operation with UNSEEN for each value it writes that is not `named`. */
function withoutValues(operation: RegisterOperation, named: ReadonlySet<number>): RegisterOperation {
  const { action } = operation;
  const plain = (value: number) => value === ABSENT || named.has(value) ? value : UNSEEN;
  const items = (list: readonly Item[]) =>
    list.map((item) => item.kind === "write" ? { ...item, value: plain(item.value) } : item);
  switch (action.kind) {
    case "write":
    case "cas":
      return { ...operation, action: { ...action, value: plain(action.value) } };
    case "transact":
      return {
        ...operation,
        action: { ...action, then: items(action.then), otherwise: items(action.otherwise) },
      };
    case "read":
    case "expire":
      return operation;
    default:
      return unreachable(action);
  }
}

/** Values that an action compares with, or deletes. */
function valuesNamed(action: Action): number[] {
  const compared = (guard: Guard) => guard.kind === "value" ? [guard.value] : [];
  switch (action.kind) {
    case "cas":
      return compared(action.guard);
    case "transact":
      return action.conditions.flatMap(({ guard }) => compared(guard));
    case "expire":
      return [action.value];
    case "read":
    case "write":
      return [];
    default:
      return unreachable(action);
  }
}

/** What an action may leave behind that tells it from all others. */
function valuesWritten(action: Action): number[] {
  switch (action.kind) {
    case "write":
    case "cas":
      return action.value === ABSENT ? [] : [action.value];
    case "transact":
      return [...action.then, ...action.otherwise].flatMap((item) =>
        item.kind === "write" && item.value !== ABSENT ? [item.value] : []
      );
    case "read":
    case "expire":
      return [];
    default:
      return unreachable(action);
  }
}
