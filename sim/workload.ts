import { utf8Encode } from "../core/base/bytes.ts";
import type { Random } from "../core/base/random.ts";
import type { PartitionId } from "../core/base/ids.ts";
import type { Op, RefusalReason, Response } from "../core/wire/requests.ts";
import type { StarRecord } from "./cast.ts";
import { answerProblem } from "./checkers/answers.ts";
import { WatchChecker } from "./checkers/watch.ts";
import { ClientDriver } from "./client_driver.ts";
import type { Client } from "./clients.ts";
import type { History, Recorded } from "./history.ts";
import { happens } from "./network.ts";
import type { Scenario } from "./scenario.ts";
import type { AccessBook } from "./security/access.ts";
import type { Sometimes } from "./sometimes.ts";
import type { World } from "./world.ts";

export type WorkloadOptions = Scenario["workload"];

/** Keys that share a tag, and so a partition, for transactions. */
const KEYS_PER_TAG = 3;

/** Every how many keys one is of a tag. */
const TAGGED_SHARE = 4;

/** Leases that the clients work on. */
const LEASES = 6;
/** A value this long counts as large. */
const LARGE_BYTES = 64 * 1024;
const WATCH_AGAIN_US = 100_000;

/** A client that watches all keys, and what it is told. */
interface Watcher {
  readonly driver: ClientDriver;
  readonly checker: WatchChecker;
  lossesSeen: number;
}

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
  readonly #sometimes: Sometimes;
  readonly #partitionOf: (key: string) => PartitionId;
  /** Of a private network. */
  readonly #access: AccessBook | null;
  readonly #workers: Worker[] = [];
  readonly #watchers: Watcher[] = [];
  /** The value last seen of each key, by any client: what a compare-and-set expects. */
  readonly #seen = new Map<string, Uint8Array>();
  #values = 0;
  /** Transactions whose condition held, and whose did not. */
  #held = 0;
  #notHeld = 0;
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
    readonly sometimes: Sometimes;
    readonly partitionOf: (key: string) => PartitionId;
    readonly access: AccessBook | null;
  }) {
    this.#access = options.access;
    this.#world = options.world;
    this.#history = options.history;
    this.#options = options.workload;
    this.#rows = options.rows;
    this.#random = options.random;
    this.#sometimes = options.sometimes;
    this.#partitionOf = options.partitionOf;
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
      const driver = new ClientDriver(this.#world, random, this.#access?.everything);
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
    for (let i = 0; i < this.#options.watchers; i++) this.#startWatcher(i);
    for (let i = 0; i < this.#options.clients; i++) {
      const random = this.#random.fork(`client ${i}`);
      const driver = this.#newDriver(random, "worker", i);
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

  #newDriver(random: Random, kind: "worker" | "watcher", number: number): ClientDriver {
    if (this.#access === null) return new ClientDriver(this.#world, random);
    const driver = new ClientDriver(this.#world, random, this.#access.loginOf(kind, number));
    this.#access.assign(kind, number, driver);
    return driver;
  }

  // ---- watchers

  /** A watcher goes on after the clients have stopped, until it has been told everything. */
  #startWatcher(number: number): void {
    const random = this.#random.fork(`watcher ${number}`);
    const driver = this.#newDriver(random, "watcher", number);
    const watcher: Watcher = { driver, checker: new WatchChecker(this.#partitionOf), lossesSeen: 0 };
    this.#watchers.push(watcher);
    const worker = new Worker(this.#world, driver, () => {
      const from = watcher.checker.positions;
      driver.watch({ kind: "watch", start: "", end: null, from }, (response, final) => {
        this.#told(watcher, response);
        // Refused for good, for example because no node answered in time: it begins anew where it was.
        if (final) worker.pause(WATCH_AGAIN_US);
      });
    });
    worker.pause(random.below(1000));
  }

  #told(watcher: Watcher, response: Response): void {
    watcher.checker.told(response);
    if (response.kind === "refused" && response.reason === "denied" && watcher.checker.events > 0) {
      this.#sometimes.fire("watch closed by revocation");
    }
    if (response.kind !== "events") return;
    if (response.gap) this.#sometimes.fire("watch was told of a gap");
    if (watcher.driver.losses > watcher.lossesSeen) this.#sometimes.fire("watch resumed after a reconnect");
    watcher.lossesSeen = watcher.driver.losses;
  }

  /** Events that watchers were told. */
  get eventsTold(): number {
    return this.#watchers.reduce((sum, { checker }) => sum + checker.events, 0);
  }

  /** What watchers were told wrongly, or not at all. */
  watchProblems(): readonly string[] {
    return this.#watchers.flatMap(({ checker }, i) =>
      checker.compare(this.#history.operations).map((problem) => `watcher ${i}: ${problem}`)
    );
  }

  /** Reads every key that was ever written to; `found` fills with what is there. */
  readAll(): {
    readonly found: ReadonlyMap<string, { readonly index: number } | null>;
    readonly done: () => boolean;
  } {
    const keys = [...this.#keys, ...this.#rows.map(({ key }) => key), ...this.#history.keysWritten()];
    return this.#readKeys([...new Set(keys)]);
  }

  #readKeys(keys: readonly string[]): ReturnType<Workload["readAll"]> {
    const found = new Map<string, { readonly index: number } | null>();
    let next = 0;
    for (let i = 0; i < Math.min(32, keys.length); i++) {
      const random = this.#random.fork(`reader ${i}`);
      const driver = new ClientDriver(this.#world, random, this.#access?.everything);
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
      const wrong = answerProblem(op, response);
      if (wrong !== null) this.#world.violate("answers fit their questions", wrong);
      if (response.kind === "refused") {
        if (response.reason === "denied") this.#sometimes.fire("access beyond rights denied");
        if (response.reason === "unsure") this.#sometimes.fire("client was left unsure");
        this.refusals.set(response.reason, 1 + (this.refusals.get(response.reason) ?? 0));
      } else {
        this.completed++;
        this.latenciesUs.push(now - recorded.invoke);
        this.#sight(op, response);
        const found = response.kind === "value" ? response.found : null;
        if (found !== null && found.value !== null) this.#seen.set(found.key, found.value);
      }
      if (driver.busy > 0) this.#sometimes.fire("client was told busy");
      then(recorded);
    }, this.#running ? this.#options.patience : undefined);
  }

  #sight(op: Op, response: Response): void {
    const sometimes = this.#sometimes;
    if (response.kind === "value" && response.ageUs > 0) sometimes.fire("stale read served");
    if (response.kind === "transacted") {
      if (response.held) this.#held++;
      else this.#notHeld++;
      if (this.#held > 0 && this.#notHeld > 0) sometimes.fire("transaction took both branches");
    }
    if (response.kind !== "written") return;
    if (op.kind === "keep-alive") sometimes.fire("lease kept alive");
    if (op.kind === "revoke" && response.existed) sometimes.fire("lease revoked");
    if (op.kind === "put" && op.value.length > LARGE_BYTES) sometimes.fire("large value stored");
  }

  #operation(client: number, random: Random): Op {
    const { percent } = this.#options;
    let draw = random.below(100);
    const among = (share: number) => (draw -= share) < 0;
    const key = this.#key(random);
    if (among(percent.get)) return { kind: "get", key, read: "linearizable" };
    if (among(percent.stale)) return { kind: "get", key, read: "stale" };
    if (among(percent.lease)) return this.#lease(client, random);
    if (among(percent.cas)) return this.#cas(client, key, random);
    if (among(percent.delete)) return { kind: "delete", key };
    if (among(percent.range)) return this.#range(key);
    if (among(percent.transact)) return this.#transact(client, random);
    if (among(percent.ttl)) {
      return { kind: "put", key, value: this.#value(client, random), ttlMs: this.#ttlMs };
    }
    if (among(percent.history)) return { kind: "put", key, value: this.#value(client, random), history: 4 };
    return { kind: "put", key, value: this.#value(client, random) };
  }

  #cas(client: number, key: string, random: Random): Op {
    const seen = this.#seen.get(key);
    const expect = seen === undefined || random.chance(1, 8)
      ? { kind: "absent" } as const
      : { kind: "value", value: seen } as const;
    return { kind: "cas", key, expect, value: random.chance(1, 8) ? null : this.#value(client, random) };
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
        { kind: "put", key: first, value: this.#value(client, random) },
        { kind: "put", key: second, value: this.#value(client, random) },
        { kind: "get", key: third },
      ],
      otherwise: [
        { kind: "put", key: first, value: this.#value(client, random) },
        { kind: "delete", key: third },
      ],
    };
  }

  #key(random: Random): string {
    const { skew } = this.#options, keys = this.#keys;
    const hot = random.chance(skew.numerator, skew.denominator);
    return keys[random.below(hot ? Math.max(1, Math.ceil(keys.length / 10)) : keys.length)]!;
  }

  get #ttlMs(): number {
    return Math.ceil(this.#options.ttl / 1000);
  }

  /** Grants, refreshes or ends a lease, or writes or reads the key under it. */
  #lease(client: number, random: Random): Op {
    const number = random.below(LEASES), lease = `lease/{l${number}}`, key = `leased/{l${number}}`;
    switch (random.below(6)) {
      case 0:
        return { kind: "grant", lease, ttlMs: this.#ttlMs };
      case 1:
        return { kind: "keep-alive", lease };
      case 2:
        // A key with a time of its own has a lease of its own name.
        return { kind: "keep-alive", lease: this.#key(random) };
      case 3:
        return random.chance(1, 3) ? { kind: "revoke", lease } : { kind: "get", key, read: "linearizable" };
      default:
        return { kind: "put", key, value: this.#value(client, random), lease };
    }
  }

  /** Unique, and as long as the options say. */
  #value(client: number, random: Random): Uint8Array {
    const { valueBytes, large, largeBytes } = this.#options, text = `${this.#values++} by ${client} `;
    const length = happens(random, large) ? largeBytes : valueBytes === 0 ? 0 : random.below(valueBytes + 1);
    return utf8Encode(text.padEnd(length, "."));
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
