/**
 * One key of a bucket as a single copy of it would behave: the stack of its versions, newest first. Each version has a
 * number of its own in a run (the number of the operation that made it); delete markers have none.
 */
import { unreachable } from "../../core/base/invariant.ts";
import type { Versioning } from "../../core/objects/types.ts";
import type { Interval, SequentialModel } from "../checkers/linearizability.ts";

/** absent: markers count as absent. etag: the newest version has this one. */
export type ObjectGuard =
  | { readonly kind: "absent" }
  | { readonly kind: "etag"; readonly etag: string };

/** What an operation did and was told. What is null is not known. */
export type ObjectAction =
  | {
    readonly kind: "put";
    readonly value: number;
    readonly guard: ObjectGuard | null;
    /** Whether the guard held. */
    readonly made: boolean | null;
  }
  | { readonly kind: "delete" }
  /** One version is removed for good. */
  | { readonly kind: "remove"; readonly value: number }
  /** none: no such key; marker: it is deleted; gone: one of both; or the newest version. */
  | { readonly kind: "get"; readonly top: number | "none" | "marker" | "gone" }
  | { readonly kind: "find"; readonly value: number; readonly there: boolean }
  /** All versions, newest first. */
  | { readonly kind: "all"; readonly entries: readonly (number | "marker")[] };

export interface ObjectOperation extends Interval {
  readonly action: ObjectAction;
}

/** An entry of the stack: `12`, a marker `m`, and of the null version `n12` or `nm`. */
const MARKER = "m", NULL = "n";

/** `etagOf`: null where nobody ever saw it, and it cannot be known. */
export function objectModel(
  versioning: Versioning,
  etagOf: (value: number) => string | null,
): SequentialModel<ObjectOperation, string> {
  const push = (state: string, entry: string): string => {
    if (versioning === "off") return entry === MARKER ? "" : entry;
    if (versioning === "enabled") return joined([entry, ...entriesOf(state)]);
    return joined([NULL + entry, ...entriesOf(state).filter((each) => !each.startsWith(NULL))]);
  };
  /** null: it may, or it may not. */
  const holds = (state: string, guard: ObjectGuard): boolean | null => {
    const top = valueOf(entriesOf(state)[0] ?? MARKER);
    if (guard.kind === "absent") return top === "marker";
    if (top === "marker") return false;
    const etag = etagOf(top);
    return etag === null ? null : etag === guard.etag;
  };
  return {
    initial: "",
    step(state, { action }) {
      switch (action.kind) {
        case "put": {
          const { guard, made } = action, held = guard === null ? true : holds(state, guard) ?? made ?? true;
          if (made !== null && made !== held) return undefined;
          return held ? push(state, String(action.value)) : state;
        }
        case "delete":
          return push(state, MARKER);
        case "remove":
          return joined(entriesOf(state).filter((entry) => valueOf(entry) !== action.value));
        case "get": {
          const [first] = entriesOf(state), top = first === undefined ? "none" : valueOf(first);
          const fits = action.top === "gone" ? top === "none" || top === "marker" : top === action.top;
          return fits ? state : undefined;
        }
        case "find":
          return entriesOf(state).some((entry) => valueOf(entry) === action.value) === action.there
            ? state
            : undefined;
        case "all":
          return entriesOf(state).map(valueOf).join() === action.entries.join() ? state : undefined;
        default:
          return unreachable(action);
      }
    },
    nameOf: ({ action }) => JSON.stringify(action),
  };
}

function entriesOf(state: string): string[] {
  return state === "" ? [] : state.split(",");
}
function joined(entries: readonly string[]): string {
  return entries.join();
}
function valueOf(entry: string): number | "marker" {
  const plain = entry.startsWith(NULL) ? entry.slice(1) : entry;
  return plain === MARKER ? "marker" : Number(plain);
}
