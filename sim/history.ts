import { crc32 } from "../core/base/hash.ts";
import type { Op, Response, TransactItem, TransactOp } from "../core/wire/requests.ts";
import { linearizable, type Verdict } from "./checkers/linearizability.ts";
import {
  ABSENT,
  type Action,
  type Guard,
  type Item,
  registerModel,
  type RegisterOperation,
  registersModel,
} from "./checkers/register_model.ts";
import { settleUnknown } from "./checkers/unknown.ts";

/** One operation of one client, as the client saw it. Times are virtual microseconds. */
export interface Recorded {
  readonly client: number;
  readonly op: Op;
  readonly invoke: number;
  /** Infinity while, or for good if, the outcome is not known. */
  complete: number;
  response: Response | null;
}

/** A value that no client ever wrote: no history explains it. */
const FOREIGN = -1;
/** Nodes count a lease in their own time, so it may end this much of its time early. */
const LEASE_EARLY_SHARE = 4;

export interface LinearizabilityResult {
  readonly keys: number;
  readonly operations: number;
  readonly problems: readonly string[];
}

/** What all clients did, kept outside of the nodes. Values must be unique in a run. */
export class History {
  readonly operations: Recorded[] = [];
  readonly #clocksJump: boolean;
  readonly #ids = new Map<string, number>();

  /** `clocksJump`: leaders' clocks may jump, so a lease may end at any time after it was granted. */
  constructor(options: { readonly clocksJump: boolean }) {
    this.#clocksJump = options.clocksJump;
  }

  invoked(client: number, op: Op, now: number): Recorded {
    const recorded: Recorded = { client, op, invoke: now, complete: Infinity, response: null };
    this.operations.push(recorded);
    for (const value of valuesOf(op)) this.#id(value);
    return recorded;
  }

  /** Every key that some operation was to write. */
  keysWritten(): Set<string> {
    return new Set(this.operations.flatMap((recorded) => writesOf(recorded).map(({ key }) => key)));
  }

  /** Takes an answer down. A refusal as "unsure" leaves open whether, and when, the operation happens. */
  completed(recorded: Recorded, response: Response, now: number): void {
    recorded.response = response;
    if (response.kind !== "refused" || response.reason !== "unsure") recorded.complete = now;
  }

  /** Searches each key, and each group of keys that share a transaction, for a linearization. */
  checkLinearizable(): LinearizabilityResult {
    const groups = new Map<string, Keyed[]>();
    for (const recorded of this.operations) {
      for (const keyed of this.#keyed(recorded)) {
        const group = groups.get(keyed.group);
        if (group === undefined) groups.set(keyed.group, [keyed]);
        else group.push(keyed);
      }
    }
    const problems: string[] = [];
    let operations = 0;
    for (const [name, group] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
      operations += group.length;
      const problem = checkGroup(name, group);
      if (problem !== null) problems.push(problem);
    }
    return { keys: groups.size, operations, problems };
  }

  /**
   * Acknowledged writes that the final values do not account for: each key's value must have been written at, or
   * after, the last acknowledged write of it, by the partition's own order.
   */
  lostWrites(
    final: ReadonlyMap<string, { readonly index: number } | null>,
    { answeredOnly = false }: { readonly answeredOnly?: boolean } = {},
  ): string[] {
    const last = new Map<string, { index: number; recorded: Recorded; deletes: boolean }>();
    const mayDelete = new Set<string>();
    for (const recorded of this.operations) {
      if (neverHappened(recorded.response)) continue;
      for (const { key, value } of writesOf(recorded)) {
        const deletes = value === null;
        const index = writtenIndex(recorded.response);
        if (index === null) {
          if (deletes && recorded.complete === Infinity) mayDelete.add(key);
          continue;
        }
        const known = last.get(key);
        if (known === undefined || index > known.index) last.set(key, { index, recorded, deletes });
      }
      const { op } = recorded;
      if (op.kind === "put" && (op.ttlMs ?? op.lease) !== undefined) mayDelete.add(op.key);
    }
    const problems: string[] = [];
    for (const [key, { index, deletes }] of last) {
      const found = final.get(key);
      if (found === undefined) {
        if (!answeredOnly) problems.push(`${key} was not read at the end`);
      } else if (found === null && !deletes && !mayDelete.has(key)) {
        problems.push(`${key} is gone; it was written at ${index}`);
      } else if (found !== null && (found.index < index || (found.index === index && deletes))) {
        problems.push(`${key} is of ${found.index}; it was last written at ${index}`);
      }
    }
    return problems;
  }

  /** The operation as it bears on each object it touches. */
  #keyed(recorded: Recorded): Keyed[] {
    const { op, response, invoke, complete } = recorded;
    if (neverHappened(response)) return [];
    const one = (key: string, action: Action): Keyed => ({
      group: groupOf(key),
      keys: [key],
      operation: { invoke, complete, action },
      recorded,
    });
    switch (op.kind) {
      case "put": {
        const value = this.#id(op.value);
        const put = one(op.key, { kind: "write", register: 0, value, existed: existedOf(response) });
        if (op.ttlMs === undefined && op.lease === undefined) return [put];
        // A lease with a name may have been about to end, or be revoked.
        const early = op.ttlMs === undefined || this.#clocksJump
          ? invoke
          : invoke + op.ttlMs * 1000 * (1 - 1 / LEASE_EARLY_SHARE);
        const expire: Action = { kind: "expire", register: 0, value };
        return [put, { ...put, operation: { invoke: early, complete: Infinity, action: expire } }];
      }
      case "delete":
        return [one(op.key, { kind: "write", register: 0, value: ABSENT, existed: existedOf(response) })];
      case "cas": {
        const known = response?.kind === "cas";
        const found = known && !response.applied ? this.#found(response.found?.value ?? null) : null;
        const action: Action = {
          kind: "cas",
          register: 0,
          guard: this.#guard(op.expect),
          value: op.value === null ? ABSENT : this.#id(op.value),
          applied: known ? response.applied : null,
          found,
        };
        return [one(op.key, action)];
      }
      case "get":
        if (op.read !== "linearizable" || response?.kind !== "value") return [];
        return [
          one(op.key, { kind: "read", register: 0, value: this.#found(response.found?.value ?? null) }),
        ];
      case "range":
        if (op.read !== "linearizable" || op.keysOnly || response?.kind !== "values") return [];
        return response.items.map(({ key, value }) =>
          one(key, { kind: "read", register: 0, value: this.#found(value) })
        );
      case "transact":
        return [this.#transaction(recorded, op)];
      default:
        return [];
    }
  }

  #transaction(recorded: Recorded, op: TransactOp): Keyed {
    const { response, invoke, complete } = recorded;
    const keys = [...new Set([...op.conditions, ...op.then, ...op.otherwise].map(({ key }) => key))];
    const items = (list: readonly TransactItem[]): Item[] =>
      list.map((item) => {
        const register = keys.indexOf(item.key);
        if (item.kind === "get") return { kind: "read", register };
        return { kind: "write", register, value: item.kind === "put" ? this.#id(item.value) : ABSENT };
      });
    const known = response?.kind === "transacted";
    const branch = known ? (response.held ? op.then : op.otherwise) : [];
    const action: Action = {
      kind: "transact",
      conditions: op.conditions.map(({ key, expect }) => ({
        register: keys.indexOf(key),
        guard: this.#guard(expect),
      })),
      then: items(op.then),
      otherwise: items(op.otherwise),
      held: known ? response.held : null,
      results: known
        ? response.results.map((found, i) =>
          branch[i]?.kind === "get" ? this.#found(found?.value ?? null) : null
        )
        : null,
    };
    return { group: groupOf(keys[0] ?? ""), keys, operation: { invoke, complete, action }, recorded };
  }

  #guard(expect: Extract<Op, { kind: "cas" }>["expect"]): Guard {
    switch (expect.kind) {
      case "value":
        return { kind: "value", value: this.#id(expect.value) };
      case "absent":
      case "present":
        return expect;
      case "version":
        throw new TypeError(
          "Workloads compare with values, which tell the same as versions where values are unique",
        );
    }
  }

  /** The number of a value that some client wrote. */
  #id(value: Uint8Array): number {
    const text = nameOf(value);
    let id = this.#ids.get(text);
    if (id === undefined) this.#ids.set(text, id = this.#ids.size + 1);
    return id;
  }

  #found(value: Uint8Array | null): number {
    return value === null ? ABSENT : this.#ids.get(nameOf(value)) ?? FOREIGN;
  }
}

/** `value` null: deletes. */
export interface Written {
  readonly key: string;
  readonly value: Uint8Array | null;
}

interface Keyed {
  readonly group: string;
  /** By register. */
  readonly keys: readonly string[];
  readonly operation: RegisterOperation;
  readonly recorded: Recorded;
}

/** Keys with the same tag may be in one transaction. */
function groupOf(key: string): string {
  const tag = /\{([^}]+)\}/.exec(key);
  return tag === null ? key : `{${tag[1]}}`;
}

function checkGroup(name: string, group: readonly Keyed[]): string | null {
  const keys = [...new Set(group.flatMap((keyed) => keyed.keys))].sort();
  const numbered = group.map((keyed) => ({ ...keyed, operation: renumbered(keyed, keys) }));
  const settled = settleUnknown(numbered.map(({ operation }) => operation));
  // First without the writes of which nothing was ever seen: they only make the search wider, and if it succeeds
  // without them, it does so with them not having happened.
  const lean = settled.filter(({ useful }) => useful).map(({ operation }) => operation);
  let verdict = search(lean, keys.length);
  if (verdict.kind !== "linearizable" && lean.length < settled.length) {
    verdict = search(settled.map(({ operation }) => operation), keys.length);
    if (verdict.kind === "broken") return describeBroken(name, numbered[verdict.stuck]!);
  } else if (verdict.kind === "broken") {
    const stuck = settled.findIndex(({ operation }) =>
      operation === lean[verdict.kind === "broken" ? verdict.stuck : 0]
    );
    return describeBroken(name, numbered[stuck]!);
  }
  return verdict.kind === "undecided"
    ? `${name}: no answer after ${verdict.configurations} configurations`
    : null;
}

function search(operations: readonly RegisterOperation[], registers: number): Verdict {
  return registers === 1
    ? linearizable(operations, registerModel)
    : linearizable(operations, registersModel(registers));
}

function describeBroken(name: string, { recorded, operation }: Keyed): string {
  const { client, op, invoke, complete } = recorded;
  return `${name}: no order explains the ${op.kind} of client ${client} from ${invoke} to ${complete} us: ` +
    JSON.stringify(operation.action);
}

function renumbered({ keys, operation }: Keyed, all: readonly string[]): RegisterOperation {
  const at = (register: number) => all.indexOf(keys[register]!);
  const { action } = operation;
  if (action.kind !== "transact") {
    return { ...operation, action: { ...action, register: at(action.register) } };
  }
  const items = (list: readonly Item[]) => list.map((item) => ({ ...item, register: at(item.register) }));
  const conditions = action.conditions.map(({ register, guard }) => ({ register: at(register), guard }));
  return {
    ...operation,
    action: { ...action, conditions, then: items(action.then), otherwise: items(action.otherwise) },
  };
}

/** Every refusal but "unsure" says that nothing was changed. */
export function neverHappened(response: Response | null): boolean {
  return response?.kind === "refused" && response.reason !== "unsure";
}

function existedOf(response: Response | null): boolean | null {
  return response?.kind === "written" ? response.existed : null;
}

export function writtenIndex(response: Response | null): number | null {
  if (response?.kind === "written" || response?.kind === "transacted") return response.version.index;
  return response?.kind === "cas" && response.applied ? response.version.index : null;
}

/** What an operation writes, or would if it happens; of a transaction whose branch is not known, both. */
export function writesOf({ op, response }: Recorded): readonly Written[] {
  switch (op.kind) {
    case "put":
      return [op];
    case "delete":
      return [{ key: op.key, value: null }];
    case "cas":
      return [op];
    case "transact": {
      const both = [...op.then, ...op.otherwise];
      const branch = response?.kind === "transacted" ? (response.held ? op.then : op.otherwise) : both;
      return branch.flatMap((item) =>
        item.kind === "get" ? [] : [{ key: item.key, value: item.kind === "put" ? item.value : null }]
      );
    }
    default:
      return [];
  }
}

function valuesOf(op: Op): Uint8Array[] {
  switch (op.kind) {
    case "put":
      return [op.value];
    case "cas":
      return op.value === null ? [] : [op.value];
    case "transact":
      return [...op.then, ...op.otherwise].flatMap((item) => item.kind === "put" ? [item.value] : []);
    default:
      return [];
  }
}

/** Values are unique in a run, and long ones for the most part padding: their beginning, length and sum tell them apart. */
const WHOLE_BYTES = 64;

function nameOf(value: Uint8Array): string {
  if (value.length <= WHOLE_BYTES) return hexOf(value);
  return `${hexOf(value.subarray(0, WHOLE_BYTES))} ${value.length} ${crc32(value)}`;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}
