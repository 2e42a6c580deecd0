/**
 * What must hold of a history file: each group of keys linearizable, no acknowledged write lost, all replicas equal,
 * and no problem written down by the run itself. It knows nothing but the file.
 */
import { unreachable } from "../../core/base/invariant.ts";
import type { KeyValue, Op, Response, TransactItem } from "../../core/wire/requests.ts";
import { History, type Recorded } from "../../sim/history.ts";
import {
  type Fail,
  type Final,
  type Header,
  HistoryError,
  type Invoke,
  type Ok,
  readHistory,
  type Replica,
  type Transaction,
} from "./history_file.ts";

export interface CheckResult {
  readonly header: Header;
  readonly operations: number;
  readonly ok: number;
  readonly failed: number;
  readonly unknown: number;
  readonly keys: number;
  /** Faults begun, by kind. */
  readonly faults: ReadonlyMap<string, number>;
  /** Why operations failed or stayed unknown. */
  readonly errors: ReadonlyMap<string, number>;
  /** Replicas compared; 0 where the run broke off before. */
  readonly replicas: number;
  /** Nothing: all is well. */
  readonly problems: readonly string[];
  readonly complete: boolean;
}

/** @throws {HistoryError} when the file is no history */
export async function checkHistory(path: string): Promise<CheckResult> {
  const reading = new Reading();
  for await (const line of readHistory(path)) {
    switch (line.type) {
      case "header":
        reading.header = line;
        break;
      case "invoke":
        reading.invoked(line);
        break;
      case "ok":
        reading.ended(line.process, line.time, (op) => responseOf(line, op));
        reading.ok++;
        if (line.f === "range") reading.ranged(line);
        break;
      case "fail":
        reading.ended(line.process, line.time, () => failureOf(line));
        reading.failed++;
        count(reading.errors, `${line.f} failed: ${line.error}`);
        break;
      case "info":
        if (line.process === "nemesis") {
          count(reading.faults, line.f);
          break;
        }
        reading.ended(line.process, line.time, () => UNSURE);
        reading.unknown++;
        if ("error" in line) count(reading.errors, `${line.f} unknown: ${line.error}`);
        break;
      case "final":
        reading.final.push(line);
        break;
      case "replica":
        reading.replicas.push(line);
        break;
      case "problem":
        reading.problems.push(line.what);
        break;
      case "end":
        reading.complete = true;
        break;
      default:
        unreachable(line);
    }
  }
  return reading.judge(path);
}

const UNSURE: Response = { kind: "refused", reason: "unsure", message: "" };

/** What has been read of a file, gathered for the checkers. */
class Reading {
  readonly history = new History({ clocksJump: false });
  readonly open = new Map<number, Recorded>();
  readonly ranges: { readonly recorded: Recorded; readonly line: Extract<Ok, { f: "range" }> }[] = [];
  readonly faults = new Map<string, number>();
  readonly errors = new Map<string, number>();
  readonly final: Final[] = [];
  readonly replicas: Replica[] = [];
  readonly problems: string[] = [];
  header: Header | null = null;
  ok = 0;
  failed = 0;
  unknown = 0;
  complete = false;
  #last: Recorded | null = null;

  invoked(line: Invoke): void {
    if (this.open.has(line.process)) {
      throw new HistoryError(
        `Process ${line.process} invokes at ${line.time} ns before its last operation ended`,
      );
    }
    this.open.set(line.process, this.history.invoked(line.process, opOf(line), microseconds(line.time)));
  }

  ended(process: number, time: number, respond: (op: Op) => Response): void {
    const recorded = this.open.get(process);
    if (recorded === undefined) {
      throw new HistoryError(`Process ${process} ends an operation at ${time} ns that it has not invoked`);
    }
    this.open.delete(process);
    this.history.completed(recorded, respond(recorded.op), microseconds(time));
    this.#last = recorded;
  }

  ranged(line: Extract<Ok, { f: "range" }>): void {
    this.ranges.push({ recorded: this.#last!, line });
  }

  judge(path: string): CheckResult {
    if (this.header === null) throw new HistoryError(`"${path}" has no header: it is no history of a run`);
    const operations = this.history.operations.length;
    this.#addAbsences();
    const { keys, problems } = this.history.checkLinearizable();
    const lost = this.complete ? this.history.lostWrites(this.#found()) : [];
    const incomplete = this.complete
      ? []
      : ["The run broke off before its end: nothing is known of its final state"];
    return {
      header: this.header,
      operations,
      ok: this.ok,
      failed: this.failed,
      unknown: this.unknown + this.open.size,
      keys,
      faults: this.faults,
      errors: this.errors,
      replicas: this.replicas.length,
      problems: [
        ...incomplete,
        ...this.problems,
        ...problems.map((problem) => `Not linearizable: ${problem}`),
        ...lost.map((problem) => `Acknowledged write lost: ${problem}`),
        ...unequalReplicas(this.replicas),
      ],
      complete: this.complete,
    };
  }

  /** A range that left a key out has read that it is absent. */
  #addAbsences(): void {
    const keys = [...new Set(this.history.operations.flatMap(({ op }) => keysOf(op)))].sort();
    for (const { recorded, line } of this.ranges) {
      const found = new Set(line.items.map(([key]) => key));
      const { start, end } = line.value;
      // A page that is not the last says nothing of what comes after it.
      const last = line.more ? line.items.at(-1)?.[0] : undefined;
      for (let i = lowerBound(keys, start); i < keys.length && keys[i]! < end; i++) {
        const key = keys[i]!;
        if (line.more && (last === undefined || key > last)) break;
        if (found.has(key)) continue;
        const get = this.history.invoked(recorded.client, getOf(key), recorded.invoke);
        this.history.completed(get, { kind: "value", found: null, ageUs: 0 }, recorded.complete);
      }
    }
  }

  #found(): Map<string, { readonly index: number } | null> {
    return new Map(
      this.final.map(({ key, version }) => [key, version === null ? null : { index: version[1] }]),
    );
  }
}

/** What sim/history counts in; nothing of the order is lost. */
function microseconds(nanoseconds: number): number {
  return nanoseconds / 1000;
}

function lowerBound(keys: readonly string[], least: string): number {
  let low = 0, high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The replicas of a partition that were read when nothing was under way any more hold the same. */
function unequalReplicas(replicas: readonly Replica[]): string[] {
  const first = new Map<number, Replica>();
  const problems: string[] = [];
  for (const replica of replicas) {
    const { partition, node, keys, hash } = replica;
    const other = first.get(partition);
    if (other === undefined) first.set(partition, replica);
    else if (other.hash !== hash) {
      problems.push(
        `Replicas differ: partition ${partition} has ${other.keys} keys (${other.hash}) at ${other.node}, ` +
          `${keys} keys (${hash}) at ${node}`,
      );
    }
  }
  return problems;
}

const encoder = new TextEncoder();
const bytes = (text: string) => encoder.encode(text);
const getOf = (key: string): Op => ({ kind: "get", key, read: "linearizable" });

function opOf(line: Invoke): Op {
  switch (line.f) {
    case "read":
      return getOf(line.key);
    case "write":
      return { kind: "put", key: line.key, value: bytes(line.value) };
    case "delete":
      return { kind: "delete", key: line.key };
    case "cas": {
      const [expected, wanted] = line.value;
      return {
        kind: "cas",
        key: line.key,
        expect: expected === null ? { kind: "absent" } : { kind: "value", value: bytes(expected) },
        value: wanted === null ? null : bytes(wanted),
      };
    }
    case "transact":
      return transactOf(line.value);
    case "range":
      return { kind: "range", ...line.value, reverse: false, keysOnly: false, read: "linearizable" };
    default:
      return unreachable(line);
  }
}

function transactOf(transaction: Transaction): Op {
  const items = (list: Transaction["then"]): TransactItem[] =>
    list.map((item) => {
      if (item[0] === "r") return { kind: "get", key: item[1] };
      return item[2] === null
        ? { kind: "delete", key: item[1] }
        : { kind: "put", key: item[1], value: bytes(item[2]) };
    });
  return {
    kind: "transact",
    conditions: transaction.if.map(([key, is]) => ({
      key,
      expect: typeof is === "string" ? { kind: is } : { kind: "value", value: bytes(is.value) },
    })),
    then: items(transaction.then),
    otherwise: items(transaction.else),
  };
}

function responseOf(line: Ok, op: Op): Response {
  switch (line.f) {
    case "read":
      return { kind: "value", found: keyValue(line.key, line.value, line.version), ageUs: 0 };
    case "write":
    case "delete":
      return { kind: "written", version: versionOf(line.version), existed: line.existed };
    case "cas":
      return { kind: "cas", applied: true, version: versionOf(line.version), found: null };
    case "transact": {
      const branch = op.kind !== "transact" ? [] : line.held ? op.then : op.otherwise;
      return {
        kind: "transacted",
        held: line.held,
        version: versionOf(line.version),
        results: line.results.map((value, i) => keyValue(branch[i]?.key ?? "", value, line.version)),
      };
    }
    case "range":
      return {
        kind: "values",
        items: line.items.map(([key, value]) => keyValue(key, value, NO_VERSION)!),
        next: line.more ? "" : null,
        ageUs: 0,
      };
    default:
      return unreachable(line);
  }
}

type Pair = readonly [term: number, index: number];
const NO_VERSION: Pair = [0, 0];

function versionOf([term, index]: Pair): KeyValue["version"] {
  return { term, index } as KeyValue["version"];
}

function keyValue(key: string, value: string | null, version: Pair | null): KeyValue | null {
  return value === null ? null : { key, value: bytes(value), version: versionOf(version ?? NO_VERSION) };
}

/** What failed did not happen, but a compare-and-set that found something else has read it. */
function failureOf({ f, found, error }: Fail): Response {
  if (f !== "cas" || found === undefined) return { kind: "refused", reason: "timeout", message: error };
  return {
    kind: "cas",
    applied: false,
    version: versionOf(NO_VERSION),
    found: keyValue("", found, NO_VERSION),
  };
}

function keysOf(op: Op): string[] {
  switch (op.kind) {
    case "put":
    case "delete":
    case "cas":
      return [op.key];
    case "transact":
      return [...op.then, ...op.otherwise].map(({ key }) => key);
    default:
      return [];
  }
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}
