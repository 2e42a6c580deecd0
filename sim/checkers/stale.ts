import { neverHappened, type Recorded, writesOf, writtenIndex } from "../history.ts";

/** Problems listed at most: more say nothing new. */
const PROBLEMS_MAX = 8;

/** A write of one key that certainly happened, and when that was certain. */
interface Known {
  readonly index: number;
  readonly complete: number;
}

interface KeyHistory {
  /** Acknowledged writes that left a value. */
  readonly puts: Known[];
  /** Acknowledged writes, deletions included. */
  readonly all: Known[];
  /** When something began that may have deleted the key, and its index where it is known. */
  readonly deletes: { readonly invoke: number; readonly index: number }[];
}

/**
 * Stale reads that were older than they said. An answer of age A to a request of time T must show the key as it was at some
 * time not before T - A - `slackUs`; the slack is for what no replica can know: how long messages were under way, and how
 * long a leader that was cut off believed that it still led.
 */
export function staleProblems(
  operations: readonly Recorded[],
  slackUs: number,
): { readonly checked: number; readonly problems: readonly string[] } {
  const keys = historyByKey(operations), problems: string[] = [];
  let checked = 0;
  for (const { op, response, invoke, complete, client } of operations) {
    if (op.kind !== "get" || op.read !== "stale" || response?.kind !== "value") continue;
    checked++;
    const history = keys.get(op.key), { found, ageUs } = response;
    if (history === undefined || problems.length >= PROBLEMS_MAX) continue;
    const asOf = invoke - ageUs - slackUs;
    const missed = found === null
      ? missedPut(history, asOf, complete)
      : history.all.find(({ index, complete }) => index > found.version.index && complete < asOf);
    if (missed === undefined) continue;
    problems.push(
      `${op.key}: client ${client} asked at ${invoke} us and was shown ${
        found === null ? "nothing" : `version ${found.version.index}`
      }, said to be ${ageUs} us old, but version ${missed.index} was acknowledged at ${missed.complete} us`,
    );
  }
  return { checked, problems };
}

/** A value that was there for certain by `asOf`, and that nothing which began before `until` can have taken away. */
function missedPut({ puts, deletes }: KeyHistory, asOf: number, until: number): Known | undefined {
  return puts.find(({ index, complete }) =>
    complete < asOf && !deletes.some((other) => other.invoke <= until && other.index > index)
  );
}

function historyByKey(operations: readonly Recorded[]): Map<string, KeyHistory> {
  const keys = new Map<string, KeyHistory>();
  for (const recorded of operations) {
    const { op, response, invoke, complete } = recorded;
    if (neverHappened(response)) continue;
    const index = writtenIndex(response);
    for (const { key, value } of writesOf(recorded)) {
      let history = keys.get(key);
      if (history === undefined) keys.set(key, history = { puts: [], all: [], deletes: [] });
      const leased = op.kind === "put" && (op.ttlMs ?? op.lease) !== undefined;
      if (value === null || leased) {
        history.deletes.push({ invoke, index: leased ? Infinity : index ?? Infinity });
      }
      if (index === null) continue;
      history.all.push({ index, complete });
      if (value !== null) history.puts.push({ index, complete });
    }
  }
  return keys;
}
