/**
 * The clients of a run: each does one operation after the other and writes down what it asked and what it was told.
 *
 * Keys belong to generations that follow one another every few seconds, so that the history of one key stays short
 * enough to be searched for an order; reads go back to older generations too. Every value is written once in a run.
 */
import { utf8Decode, utf8Encode } from "../../core/base/bytes.ts";
import { unreachable } from "../../core/base/invariant.ts";
import type { Random } from "../../core/base/random.ts";
import type { KeyValue, Op, Refused, Response, TransactItem, TransactOp } from "../../core/wire/requests.ts";
import type { ClientDriver } from "../../cli/client/driver.ts";
import type { HistoryWriter, Invoke, Ok, Transaction } from "./history_file.ts";
import type { Reach } from "./reach.ts";

export interface WorkloadOptions {
  readonly reach: Reach;
  readonly clients: number;
  readonly random: Random;
  readonly history: HistoryWriter;
  /** Operations begun at most; clients rest when it is reached. */
  readonly operationsMax: number;
}

const GENERATION_MS = 4000;
const PLAIN_KEYS = 8;
const TAGS = 2;
const KEYS_PER_TAG = 3;
/** Clients pause up to twice as long as this between operations. */
const PAUSE_MS = 12;
const TIMEOUTS_MS = [2000, 5000, 10_000];
/** One value in so many is long, up to so many bytes. */
const LONG_SHARE = 8;
const LONG_BYTES_MAX = 30_000;
const READ_MS_MAX = 30_000;

export class Workload {
  readonly #options: WorkloadOptions;
  readonly #began = performance.now();
  /** The text of the value last seen of each key of late, by any client: what a compare-and-set expects. */
  readonly #seen = new Map<string, string>();
  readonly #keys = new Set<string>();
  #workers: Promise<void>[] = [];
  #running = false;
  #nextProcess: number;
  #values = 0;
  operations = 0;
  answered = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#nextProcess = options.clients;
  }

  /** Nanoseconds of the run. */
  now(): number {
    return Math.floor((performance.now() - this.#began) * 1e6);
  }

  start(): void {
    this.#running = true;
    const { clients } = this.#options;
    this.#workers = Array.from({ length: clients }, (_, client) => this.#work(client));
  }

  /** Resolves when every client has its last answer. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers);
  }

  /**
   * Reads every key that was ever written. The last word on each goes into the history as its final state; keys that
   * could not be read are returned.
   */
  async readAll(): Promise<string[]> {
    const { reach, history } = this.#options;
    const keys = [...this.#keys].sort();
    const unread: string[] = [];
    const driver = reach.driver({ timeoutMs: READ_MS_MAX });
    await driver.ready();
    let next = 0;
    await Promise.all(Array.from({ length: 16 }, async () => {
      const process = this.#nextProcess++;
      for (let key = keys[next++]; key !== undefined; key = keys[next++]) {
        const { response } = await this.#do(driver, process, { kind: "get", key, read: "linearizable" });
        if (response.kind !== "value") {
          unread.push(key);
          continue;
        }
        const { found } = response;
        history.write({
          type: "final",
          key,
          value: found === null ? null : idOf(found.value),
          version: found === null ? null : [found.version.term, found.version.index],
        });
      }
    }));
    driver.close();
    return unread;
  }

  async #work(client: number): Promise<void> {
    const { reach, random, operationsMax } = this.#options;
    const { addresses } = reach;
    const draw = random.fork(`client ${client}`);
    const from = client % addresses.length;
    const driver = reach.driver({
      addresses: [...addresses.slice(from), ...addresses.slice(0, from)],
      timeoutMs: TIMEOUTS_MS[client % TIMEOUTS_MS.length]!,
    });
    let process = client;
    while (this.#running && this.operations < operationsMax) {
      const { known } = await this.#do(driver, process, this.#draw(draw));
      // What is not known to have ended may still happen: by custom its process does nothing more.
      if (!known) process = this.#nextProcess++;
      await new Promise((done) => setTimeout(done, draw.below(2 * PAUSE_MS + 1)));
    }
    driver.close();
  }

  /** One operation from its call to its answer, both written down. */
  async #do(driver: ClientDriver, process: number, op: Op): Promise<{ response: Response; known: boolean }> {
    const { history } = this.#options;
    this.operations++;
    const invoke = invokeOf(process, this.now(), op);
    history.write(invoke);
    const response = await new Promise<Response>((resolve) => driver.submit(op, resolve));
    const time = this.now();
    if (response.kind !== "refused") {
      this.answered++;
      this.#learn(op, response);
      history.write(endOf(invoke, time, response));
      return { response, known: true };
    }
    const known = response.reason !== "unsure";
    const { f } = invoke;
    history.write({ type: known ? "fail" : "info", process, time, f, error: response.reason });
    return { response, known };
  }

  #learn(op: Op, response: Response): void {
    const learn = (key: string, found: KeyValue | null) => {
      if (found === null) this.#seen.delete(key);
      else this.#seen.set(key, utf8Decode(found.value!));
    };
    if (op.kind === "get" && response.kind === "value") learn(op.key, response.found);
    else if (op.kind === "put") this.#seen.set(op.key, utf8Decode(op.value));
    else if (op.kind === "cas" && response.kind === "cas" && !response.applied) learn(op.key, response.found);
  }

  // ---- what is asked

  get #generation(): number {
    return Math.floor((performance.now() - this.#began) / GENERATION_MS);
  }

  #draw(random: Random): Op {
    const now = this.#generation;
    let draw = random.below(100);
    const among = (share: number) => (draw -= share) < 0;
    if (among(28)) return { kind: "get", key: this.#key(random, now), read: "linearizable" };
    if (among(6)) {
      return { kind: "get", key: this.#key(random, random.below(now + 1)), read: "linearizable" };
    }
    if (among(16)) return this.#cas(this.#key(random, now), random);
    if (among(7)) return { kind: "delete", key: this.#touched(this.#key(random, now)) };
    if (among(5)) return rangeOf(now);
    if (among(10)) return this.#transact(now, random);
    return { kind: "put", key: this.#touched(this.#key(random, now)), value: this.#value(random) };
  }

  #key(random: Random, generation: number): string {
    const n = random.below(PLAIN_KEYS + TAGS * KEYS_PER_TAG);
    if (n < PLAIN_KEYS) return `${prefixOf(generation)}${n}`;
    const tagged = n - PLAIN_KEYS;
    return taggedKey(generation, Math.floor(tagged / KEYS_PER_TAG), tagged % KEYS_PER_TAG);
  }

  #touched(key: string): string {
    this.#keys.add(key);
    return key;
  }

  #cas(key: string, random: Random): Op {
    const seen = this.#seen.get(this.#touched(key));
    return {
      kind: "cas",
      key,
      expect: seen === undefined || random.chance(1, 8)
        ? { kind: "absent" }
        : { kind: "value", value: utf8Encode(seen) },
      value: random.chance(1, 8) ? null : this.#value(random),
    };
  }

  /** Moves two keys of one tag on together, if the first is there, and reads the third. */
  #transact(generation: number, random: Random): Op {
    const tag = random.below(TAGS);
    const [first, second, third] = [0, 1, 2].map((i) => this.#touched(taggedKey(generation, tag, i))) as [
      string,
      string,
      string,
    ];
    const put = (key: string): TransactItem => ({ kind: "put", key, value: this.#value(random) });
    return {
      kind: "transact",
      conditions: [{ key: first, expect: { kind: "present" } }],
      then: [put(first), put(second), { kind: "get", key: third }],
      otherwise: [put(first), { kind: "delete", key: third }, { kind: "get", key: second }],
    };
  }

  #value(random: Random): Uint8Array {
    const bytes = random.chance(1, LONG_SHARE) ? random.between(100, LONG_BYTES_MAX) : random.between(20, 60);
    return valueOf(++this.#values, bytes);
  }
}

/** Sorted as they follow each other. */
function prefixOf(generation: number): string {
  return `g${String(generation).padStart(5, "0")}/`;
}

function taggedKey(generation: number, tag: number, i: number): string {
  return `${prefixOf(generation)}{${generation}.${tag}}${i}`;
}

function rangeOf(generation: number): Op {
  return {
    kind: "range",
    start: prefixOf(generation),
    end: prefixOf(generation + 1),
    limit: 100,
    reverse: false,
    keysOnly: false,
    read: "linearizable",
  };
}

// ---- values: an id, and filler that follows from it

/** The value of this number: "v17/40 ....": its id, then dots up to 40 bytes. */
export function valueOf(number: number, bytes: number): Uint8Array {
  const id = `v${number}/${bytes} `;
  return utf8Encode(id.padEnd(bytes, "."));
}

/** The id of a stored value; the whole value where it is none that valueOf() made. */
export function idOf(value: Uint8Array | null): string {
  const text = value === null ? "" : utf8Decode(value);
  const [id, number, bytes] = /^v(\d+)\/(\d+)(?= )/.exec(text) ?? [];
  if (id === undefined) return `damaged: ${text}`;
  const whole = utf8Decode(valueOf(Number(number), Number(bytes)));
  return whole === text ? id : `damaged: ${text}`;
}

// ---- what is written down

function invokeOf(process: number, time: number, op: Op): Invoke {
  const event = { type: "invoke", process, time } as const;
  switch (op.kind) {
    case "get":
      return { ...event, f: "read", key: op.key, value: null };
    case "put":
      return { ...event, f: "write", key: op.key, value: idOf(op.value) };
    case "delete":
      return { ...event, f: "delete", key: op.key, value: null };
    case "cas": {
      const expected = op.expect.kind === "value" ? idOf(op.expect.value) : null;
      return {
        ...event,
        f: "cas",
        key: op.key,
        value: [expected, op.value === null ? null : idOf(op.value)],
      };
    }
    case "transact":
      return { ...event, f: "transact", value: transactionOf(op) };
    case "range":
      return { ...event, f: "range", value: { start: op.start, end: op.end ?? "", limit: op.limit } };
    default:
      throw new TypeError(`A workload does not ask for "${op.kind}"`);
  }
}

function transactionOf({ conditions, then, otherwise }: TransactOp): Transaction {
  const items = (list: readonly TransactItem[]): Transaction["then"] =>
    list.map((item) => {
      switch (item.kind) {
        case "get":
          return ["r", item.key];
        case "put":
          return ["w", item.key, idOf(item.value)];
        case "delete":
          return ["w", item.key, null];
        default:
          return unreachable(item);
      }
    });
  return {
    if: conditions.map(({ key, expect }) => {
      if (expect.kind === "version") throw new TypeError("A workload compares with values, not versions");
      return [key, expect.kind === "value" ? { value: idOf(expect.value) } : expect.kind];
    }),
    then: items(then),
    else: items(otherwise),
  };
}

type Answer = Exclude<Response, Refused>;

/** "ok", or "fail" where a compare-and-set was not applied. */
function endOf(invoke: Invoke, time: number, response: Answer): Parameters<HistoryWriter["write"]>[0] {
  const { process, f } = invoke;
  const found = (item: KeyValue | null) => item === null ? null : idOf(item.value);
  const ended = { type: "ok", process, time } as const;
  switch (response.kind) {
    case "value": {
      const { found: item } = response;
      const version: Extract<Ok, { f: "read" }>["version"] = item === null
        ? null
        : [item.version.term, item.version.index];
      return { ...ended, f: "read", key: keyOf(invoke), value: found(item), version };
    }
    case "written": {
      const { existed } = response, version = pair(response);
      if (invoke.f === "write") {
        return { ...ended, f: "write", key: invoke.key, value: invoke.value, version, existed };
      }
      return { ...ended, f: "delete", key: keyOf(invoke), value: null, version, existed };
    }
    case "cas":
      if (invoke.f !== "cas") break;
      if (!response.applied) {
        return { type: "fail", process, time, f, error: "not as expected", found: found(response.found) };
      }
      return { ...ended, f: "cas", key: invoke.key, value: invoke.value, version: pair(response) };
    case "transacted": {
      if (invoke.f !== "transact") break;
      const { held } = response, results = response.results.map(found);
      return { ...ended, f: "transact", value: invoke.value, version: pair(response), held, results };
    }
    case "values": {
      if (invoke.f !== "range") break;
      const items = response.items.map((item): [string, string] => [item.key, idOf(item.value)]);
      return { ...ended, f: "range", value: invoke.value, items, more: response.next !== null };
    }
  }
  throw new TypeError(`A "${f}" was answered with "${response.kind}"`);
}

function keyOf(invoke: Invoke): string {
  return "key" in invoke ? invoke.key : "";
}

function pair({ version }: { readonly version: KeyValue["version"] }): [number, number] {
  return [version.term, version.index];
}
