import { compareUtf8 } from "../../core/base/bytes.ts";
import { isWithin } from "../../core/catalog/event_ring.ts";
import type { KeyValue, Op, RangeOp, Response, TransactOp } from "../../core/wire/requests.ts";

/** The answer that each operation of a workload has where it is not refused. */
const ANSWERS: Partial<Record<Op["kind"], Response["kind"]>> = {
  "put": "written",
  "delete": "written",
  "grant": "written",
  "keep-alive": "written",
  "revoke": "written",
  "cas": "cas",
  "transact": "transacted",
  "get": "value",
  "range": "values",
};

/**
 * Why an answer is none that the operation can have, whatever the state; null where it may be one. The other checks look
 * only at answers that they understand: without this one, an answer of a wrong kind would be no answer at all.
 */
export function answerProblem(op: Op, response: Response): string | null {
  if (response.kind === "refused") return null;
  const expected = ANSWERS[op.kind];
  if (expected === undefined) return null;
  if (response.kind !== expected) {
    return `A "${op.kind}" was answered "${response.kind}" instead of "${expected}"`;
  }
  if (op.kind === "get" && response.kind === "value") return misnamed(op.key, response.found);
  if (op.kind === "range" && response.kind === "values") return misranged(op, response.items);
  if (op.kind === "transact" && response.kind === "transacted") return mismatched(op, response);
  return null;
}

function misnamed(key: string, found: KeyValue | null): string | null {
  return found === null || found.key === key ? null : `A get of "${key}" was answered with "${found.key}"`;
}

function misranged({ start, end, limit, reverse }: RangeOp, items: readonly KeyValue[]): string | null {
  const from = `A range from "${start}"`;
  if (items.length > limit) return `${from} of at most ${limit} was answered with ${items.length}`;
  for (const [i, { key }] of items.entries()) {
    if (!isWithin(key, start, end)) return `${from} to "${end ?? ""}" was answered with "${key}"`;
    const before = items[i - 1]?.key;
    if (before !== undefined && compareUtf8(before, key) * (reverse ? -1 : 1) >= 0) {
      return `${from} was answered with "${before}" before "${key}"`;
    }
  }
  return null;
}

function mismatched(
  op: TransactOp,
  { held, results }: Extract<Response, { kind: "transacted" }>,
): string | null {
  const branch = held ? op.then : op.otherwise;
  if (results.length !== branch.length) {
    return `A transaction of ${branch.length} steps was answered with ${results.length} results`;
  }
  for (const [i, item] of branch.entries()) {
    const found = results[i] ?? null;
    if (item.kind === "get") {
      const problem = misnamed(item.key, found);
      if (problem !== null) return problem;
    } else if (found !== null) return `A ${item.kind} in a transaction was answered with "${found.key}"`;
  }
  return null;
}
