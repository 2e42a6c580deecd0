import { utf8Encode } from "../core/base/bytes.ts";
import type { Random } from "../core/base/random.ts";
import type { Op, RefusalReason } from "../core/wire/requests.ts";
import type { StarRecord } from "./cast.ts";
import { ClientDriver } from "./client_driver.ts";
import type { Client } from "./clients.ts";
import type { History, Recorded } from "./history.ts";
import type { Scenario } from "./scenario.ts";
import type { World } from "./world.ts";

export type WorkloadOptions = Scenario["workload"];

/** Keys that share a tag, and so a partition, for transactions. */
const KEYS_PER_TAG = 3;

/** Every how many keys one is of a tag. */
const TAGGED_SHARE = 4;

/** What one client process does: an operation, a pause, the next. */
class Worker implements Client {
  readonly #world: World;
  readonly #number: number;
  readonly driver: ClientDriver;
  readonly #act: (now: number) => void;

  constructor(world: World, driver: ClientDriver, act: (now: number) => void) {
    this.#world = world;
    this.driver = driver;
    this.#act = act;
    this.#number = world.addClient(this);
  }

  pause(us: number): void {
    this.#world.wakeClient(this.#number, this.#world.loop.now + us);
  }
  wake(now: number): void {
    this.#act(now);
  }
  received(): void {}
  lost(): void {}
}

/**
 * Clients that put, get, compare-and-set, delete, range over and transact rows of the star catalogue, and write down
 * all they see. Every value is written once in a run, so that a read tells which write it saw.
 */
export class Workload {
  readonly #world: World;
  readonly #history: History;
  readonly #options: WorkloadOptions;
  readonly #keys: readonly string[];
  readonly #rows: readonly StarRecord[];
  readonly #random: Random;
  readonly #workers: Worker[] = [];
  /** The value last seen of each key, by any client: what a compare-and-set expects. */
  readonly #seen = new Map<string, Uint8Array>();
  #values = 0;
  #running = false;
  completed = 0;
  /** Operations that ended without an answer, by reason. */
  readonly refusals = new Map<RefusalReason, number>();
  /** Microseconds from asking to answer, of what was answered. */
  readonly latenciesUs: number[] = [];

  constructor(options: {
    readonly world: World;
    readonly history: History;
    readonly workload: WorkloadOptions;
    readonly rows: readonly StarRecord[];
    readonly random: Random;
  }) {
    this.#world = options.world;
    this.#history = options.history;
    this.#options = options.workload;
    this.#rows = options.rows;
    this.#random = options.random;
    this.#keys = workKeys(options.workload.keys);
  }

  get attempts(): number {
    return this.#workers.reduce((sum, { driver }) => sum + driver.attempts, 0);
  }
  /** Whether every client has its answers. */
  get idle(): boolean {
    return this.#workers.every(({ driver }) => driver.idle);
  }

  /** Stores the catalogue's rows, several clients at once; `loaded` tells when all are stored. */
  load(): { readonly loaded: () => boolean } {
    let next = 0, stored = 0;
    const clients = Math.min(16, this.#rows.length);
    for (let i = 0; i < clients; i++) {
      const random = this.#random.fork(`loader ${i}`);
      const driver = new ClientDriver(this.#world, random);
      const worker = new Worker(this.#world, driver, () => {
        const row = this.#rows[next++];
        if (row === undefined) return;
        this.#submit(i, driver, { kind: "put", key: row.key, value: row.value }, () => {
          stored++;
          worker.pause(0);
        });
      });
      this.#workers.push(worker);
      worker.pause(random.below(1000));
    }
    return { loaded: () => stored === this.#rows.length };
  }

  /** Sets all clients to work until stop(). */
  start(): void {
    this.#running = true;
    for (let i = 0; i < this.#options.clients; i++) {
      const random = this.#random.fork(`client ${i}`);
      const driver = new ClientDriver(this.#world, random);
      const worker: Worker = new Worker(this.#world, driver, () => {
        if (!this.#running) return;
        this.#submit(
          i,
          driver,
          this.#operation(i, random),
          () => worker.pause(random.below(2 * this.#options.every + 1)),
        );
      });
      this.#workers.push(worker);
      worker.pause(random.below(2 * this.#options.every + 1));
    }
  }

  stop(): void {
    this.#running = false;
  }

  /** Reads every key that was ever written to; `found` fills with what is there. */
  readAll(): {
    readonly found: ReadonlyMap<string, { readonly index: number } | null>;
    readonly done: () => boolean;
  } {
    const keys = [...new Set([...this.#keys, ...this.#rows.map(({ key }) => key)])];
    const found = new Map<string, { readonly index: number } | null>();
    let next = 0;
    for (let i = 0; i < Math.min(32, keys.length); i++) {
      const random = this.#random.fork(`reader ${i}`);
      const driver = new ClientDriver(this.#world, random);
      const worker: Worker = new Worker(this.#world, driver, () => {
        const key = keys[next++];
        if (key === undefined) return;
        this.#submit(i, driver, { kind: "get", key, read: "linearizable" }, (recorded) => {
          if (recorded.response?.kind === "value") found.set(key, recorded.response.found?.version ?? null);
          worker.pause(0);
        });
      });
      this.#workers.push(worker);
      worker.pause(0);
    }
    return { found, done: () => next > keys.length && this.idle };
  }

  #submit(client: number, driver: ClientDriver, op: Op, then: (recorded: Recorded) => void): void {
    const recorded = this.#history.invoked(client, op, this.#world.loop.now);
    driver.submit(op, (response, now) => {
      this.#history.completed(recorded, response, now);
      if (response.kind === "refused") {
        this.refusals.set(response.reason, 1 + (this.refusals.get(response.reason) ?? 0));
      } else {
        this.completed++;
        this.latenciesUs.push(now - recorded.invoke);
        const found = response.kind === "value" ? response.found : null;
        if (found !== null && found.value !== null) this.#seen.set(found.key, found.value);
      }
      then(recorded);
    });
  }

  #operation(client: number, random: Random): Op {
    const { percent } = this.#options;
    let draw = random.below(100);
    const among = (share: number) => (draw -= share) < 0;
    const key = this.#key(random);
    if (among(percent.get)) return { kind: "get", key, read: "linearizable" };
    if (among(percent.cas)) return this.#cas(client, key, random);
    if (among(percent.delete)) return { kind: "delete", key };
    if (among(percent.range)) return this.#range(key);
    if (among(percent.transact)) return this.#transact(client, random);
    if (among(percent.ttl)) {
      return { kind: "put", key, value: this.#value(client), ttlMs: Math.ceil(this.#options.ttl / 1000) };
    }
    if (among(percent.history)) return { kind: "put", key, value: this.#value(client), history: 4 };
    return { kind: "put", key, value: this.#value(client) };
  }

  #cas(client: number, key: string, random: Random): Op {
    const seen = this.#seen.get(key);
    const expect = seen === undefined || random.chance(1, 8)
      ? { kind: "absent" } as const
      : { kind: "value", value: seen } as const;
    return { kind: "cas", key, expect, value: random.chance(1, 8) ? null : this.#value(client) };
  }

  #range(key: string): Op {
    return {
      kind: "range",
      start: key,
      end: null,
      limit: 10,
      reverse: false,
      keysOnly: false,
      read: "linearizable",
    };
  }

  /** Moves two keys of one tag on together, if the first is there. */
  #transact(client: number, random: Random): Op {
    const tags = Math.max(1, Math.floor(this.#options.keys / TAGGED_SHARE / KEYS_PER_TAG)),
      tag = random.below(tags);
    const [first, second, third] = [0, 1, 2].map((i) => taggedKey(tag, i)) as [string, string, string];
    return {
      kind: "transact",
      conditions: [{ key: first, expect: { kind: "present" } }],
      then: [
        { kind: "put", key: first, value: this.#value(client) },
        { kind: "put", key: second, value: this.#value(client) },
        { kind: "get", key: third },
      ],
      otherwise: [{ kind: "put", key: first, value: this.#value(client) }, { kind: "delete", key: third }],
    };
  }

  #key(random: Random): string {
    const { skew } = this.#options, keys = this.#keys;
    const hot = random.chance(skew.numerator, skew.denominator);
    return keys[random.below(hot ? Math.max(1, Math.ceil(keys.length / 10)) : keys.length)]!;
  }

  /** A row of the catalogue, made unique. */
  #value(client: number): Uint8Array {
    return utf8Encode(`${this.#values++} by ${client}`);
  }
}

/** Keys the clients work on: some share a tag, so that transactions meet other operations. */
function workKeys(count: number): string[] {
  const tagged = Math.floor(count / TAGGED_SHARE);
  return Array.from(
    { length: count },
    (_, i) => i < tagged ? taggedKey(Math.floor(i / KEYS_PER_TAG), i % KEYS_PER_TAG) : `work/${i}`,
  );
}

function taggedKey(tag: number, index: number): string {
  return `work/{${tag}}/${index}`;
}
