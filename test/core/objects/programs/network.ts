/**
 * A network for programs: the catalog's own state machine for each partition, chunks in a map, and a scheduler that takes one step of
 * one program at a time, in an order drawn from a seed. What is asked for happens between being begun and being answered; answers may
 * come late, be refused, or be lost ("unsure") whether or not it happened, now or later; programs may be abandoned at any ask.
 */
import assert from "node:assert/strict";
import type { Instant, LogIndex, PartitionId, Term } from "../../../../core/base/ids.ts";
import { Random } from "../../../../core/base/random.ts";
import { DEFAULT_SETTINGS } from "../../../../core/base/limits.ts";
import { Catalog } from "../../../../core/catalog/catalog.ts";
import { encodeCommand } from "../../../../core/catalog/command.ts";
import { validate } from "../../../../core/catalog/validate.ts";
import { mergeRanges } from "../../../../core/node/merge.ts";
import { type Sizes, World } from "../../../../core/objects/programs/programs.ts";
import { segmentRows, segmentRowsEnd } from "../../../../core/objects/rows.ts";
import { segmentOfToken } from "../../../../core/objects/segment_id.ts";
import { type Answer, type Ask, ObjectError, type Program } from "../../../../core/objects/types.ts";
import { partitionOf } from "../../../../core/placement/key.ts";
import { isReadOp, isWriteOp } from "../../../../core/wire/ops.ts";
import type { KeyValue, Op, ReadOp, Response, WriteOp } from "../../../../core/wire/requests.ts";
import { MemoryTables } from "../../../../sim/tables.ts";

export const SMALL: Partial<Sizes> = {
  chunkBytes: 16,
  segmentBytes: 64,
  inlineBytes: 4,
  putsUnderWay: 3,
  getsUnderWay: 3,
  unregisteredChunks: 2,
  segmentsPerRow: 4,
  segmentsPerPage: 3,
  rowsPerTransaction: 12,
  rowsPerPage: 7,
  partBytesMin: 20,
};

export interface NetworkOptions {
  readonly seed?: number;
  readonly partitions?: number;
  readonly members?: number;
  readonly sizes?: Partial<Sizes>;
  /** Of 1000 asks of the catalog and of chunks. */
  readonly refused?: number;
  readonly unsure?: number;
}

interface Ticket {
  /** null: it has not happened yet. */
  answer: Response | null;
  readonly op: Op;
}

export class Network {
  readonly world: World;
  readonly random: Random;
  readonly partitions: number;
  readonly catalogs: Catalog[] = [];
  readonly chunks = new Map<string, Uint8Array>();
  members: number;
  nowMs = Date.UTC(2026, 0, 1);
  /** Operations that nobody knows the end of: they may happen at any time, or never. */
  readonly ghosts: WriteOp[] = [];
  refused: number;
  unsure: number;
  asked = 0;
  /** What a test wants to happen instead: the answer, or null for what would have been. */
  intercept: (op: Op) => Response | null = () => null;

  constructor(options: NetworkOptions = {}) {
    this.random = Random.fromSeed(options.seed ?? 1);
    this.partitions = options.partitions ?? 3;
    this.members = options.members ?? 3;
    this.refused = options.refused ?? 0;
    this.unsure = options.unsure ?? 0;
    this.world = new World({ partitionOf, sizes: { ...SMALL, ...options.sizes } });
    for (let p = 1; p <= this.partitions; p++) {
      this.catalogs.push(new Catalog({ partition: p as PartitionId, tables: new MemoryTables() }));
    }
  }

  /** Runs one program to its end. @throws what it throws */
  run<T>(program: Program<T>, body: Uint8Array = new Uint8Array(0)): T {
    const run = new Run(this, program, body);
    while (!run.over) run.step();
    return run.value();
  }

  /** What a program that reads hands out. */
  read(program: Program<void>): Uint8Array {
    const run = new Run(this, program, new Uint8Array(0));
    while (!run.over) run.step();
    run.value();
    return Uint8Array.from(run.written);
  }

  /** All of them, step by step in an order that the seed draws. */
  interleave(runs: readonly Run<unknown>[]): void {
    for (let open = [...runs]; open.length > 0; open = open.filter((run) => !run.over)) {
      this.haunt();
      this.random.pick(open).step();
    }
  }

  /** Lets what nobody knows the end of happen, or not. */
  haunt(): void {
    if (this.ghosts.length === 0 || this.random.below(20) > 0) return;
    const [op] = this.ghosts.splice(this.random.below(this.ghosts.length), 1);
    if (this.random.below(2) === 0) this.#write(op!);
  }

  /** All that was begun has ended by now: whoever waits longer than a client does, need not fear it any more. */
  settle(): void {
    for (const op of this.ghosts.splice(0)) if (this.random.below(2) === 0) this.#write(op);
  }

  /** Time goes by, and what has an end comes to it. */
  pass(ms: number): void {
    this.settle();
    for (let left = ms; left > 0; left -= 60_000) {
      this.nowMs += Math.min(left, 60_000);
      this.expire();
    }
  }

  expire(): void {
    const now = this.nowMs * 1000 as Instant;
    for (const catalog of this.catalogs) {
      for (let data = catalog.expired(now); data !== null; data = catalog.expired(now)) {
        this.#apply(catalog, data);
      }
    }
  }

  /** All rows that begin so, of all partitions. */
  rows(prefix: string): KeyValue[] {
    const found: KeyValue[] = [];
    for (const catalog of this.catalogs) {
      for (let start: string | null = prefix; start !== null;) {
        const page: Response = catalog.read(
          {
            kind: "range",
            start,
            end: null,
            limit: 1000,
            reverse: false,
            keysOnly: false,
            read: "linearizable",
          },
          0,
        );
        assert.equal(page.kind, "values");
        if (page.kind !== "values") break;
        found.push(...page.items.filter(({ key }) => key.startsWith(prefix)));
        start = page.next;
      }
    }
    return found;
  }

  answer(op: Op): Response {
    this.asked++;
    const instead = this.intercept(op);
    if (instead !== null) return instead;
    if (this.random.below(1000) < this.refused) {
      return refused(isWriteOp(op) ? "no-leader" : op.kind === "chunk-put" ? "timeout" : "no-leader");
    }
    if (isWriteOp(op) && this.random.below(1000) < this.unsure) {
      // It happened, or it may yet.
      if (this.random.below(2) === 0) this.#write(op);
      else this.ghosts.push(op);
      return refused("unsure");
    }
    return this.#do(op);
  }

  #do(op: Op): Response {
    if (isWriteOp(op)) return this.#write(op);
    if (isReadOp(op)) return this.#read(op);
    switch (op.kind) {
      case "layout":
        return this.#layout();
      case "chunk-put": {
        const name = chunkName(op);
        assert.equal(segmentOfToken(op.token), op.segment.segment, "N1: its writer writes it");
        assert.equal(this.chunks.get(name) ?? null, null, "W1: no chunk is put twice");
        this.chunks.set(name, op.bytes);
        return { kind: "stored", fragments: 2, wanted: 3 };
      }
      case "chunk-get": {
        const bytes = this.chunks.get(chunkName(op));
        if (bytes === undefined) return refused("not-found");
        assert.equal(bytes.length, op.length);
        return { kind: "chunk", bytes };
      }
      case "segments-gone":
        // A hint that is always true: whose row is absent, is gone.
        for (const { partition, segment } of op.segments) {
          const rows = this.catalogs[partition - 1]!.read({
            kind: "range",
            start: segmentRows(partition, segment),
            end: segmentRowsEnd(partition, segment),
            limit: 1,
            reverse: false,
            keysOnly: true,
            read: "linearizable",
          }, 0);
          if (rows.kind === "values" && rows.items.length === 0) this.#dropChunks(segment);
        }
        return { kind: "done", version: 0 };
      default:
        return assert.fail(`Programs do not ask "${op.kind}"`);
    }
  }

  /** The registry decides what lives: what is in no row is removed, as holders do with what is old enough. */
  sweepOrphans(): void {
    const living = new Set(this.rows("\u0001s").map(({ key }) => key.slice(6, 38)));
    for (const name of this.chunks.keys()) {
      if (!living.has(name.split(".")[0]!)) this.chunks.delete(name);
    }
  }

  #dropChunks(segment: string): void {
    for (const name of this.chunks.keys()) if (name.startsWith(segment)) this.chunks.delete(name);
  }

  #write(op: WriteOp): Response {
    const wrong = validate({ op }, (key) => partitionOf(key, this.partitions));
    if (wrong !== null) return wrong;
    const key = op.kind === "transact"
      ? (op.conditions[0] ?? op.then[0] ?? op.otherwise[0])!.key
      : "key" in op
      ? op.key
      : op.lease;
    return this.#apply(this.catalogs[partitionOf(key, this.partitions) - 1]!, encodeCommand({ op }));
  }

  #apply(catalog: Catalog, data: Uint8Array): Response {
    let response: Response = refused("invalid");
    const index = (catalog.appliedIndex + 1) as LogIndex;
    const now = this.nowMs * 1000 as Instant;
    if (index === 1) catalog.becameLeader(now);
    catalog.apply([{ term: 1 as Term, index, kind: "command", data }], now, (_, given) => response = given);
    return response;
  }

  #read(op: ReadOp): Response {
    const wrong = validate({ op }, (key) => partitionOf(key, this.partitions));
    if (wrong !== null) return wrong;
    if (op.kind !== "range") return this.catalogs[partitionOf(op.key, this.partitions) - 1]!.read(op, 0);
    if (op.partition !== undefined) return this.catalogs[op.partition - 1]!.read(op, 0);
    const parts = [];
    for (const catalog of this.catalogs) {
      const part = catalog.read(op, 0);
      if (part.kind !== "values") return part;
      parts.push(part);
    }
    return mergeRanges(op, parts);
  }

  #layout(): Response {
    const members = Array.from({ length: this.members }, (_, i) => ({
      id: `n${i}`,
      address: "",
      zone: "",
      capacity: 1,
      state: "active",
      disk: "",
    }));
    // Programs look at nothing else of it.
    return {
      kind: "layout",
      view: { settings: { ...DEFAULT_SETTINGS, partitions: this.partitions }, members },
      leaders: [],
    } as unknown as Response;
  }
}

/** A program under way. */
export class Run<T> {
  readonly written: number[] = [];
  over = false;
  asks = 0;
  readonly #network: Network;
  readonly #program: Program<T>;
  readonly #body: Uint8Array;
  /** Neither waited for nor dropped. */
  readonly #tickets = new Map<number, Ticket>();
  /** What has not happened yet. */
  readonly #open = new Set<Ticket>();
  #read = 0;
  #ticket = 0;
  #answer: Answer;
  #waitsFor: Ticket | null = null;
  #outcome: Outcome<T> | null = null;

  constructor(
    network: Network,
    program: Program<T>,
    body: Uint8Array = new Uint8Array(0),
    readonly abandonAt = Infinity,
  ) {
    this.#network = network;
    this.#program = program;
    this.#body = body;
  }

  get error(): unknown {
    return this.#outcome !== null && "error" in this.#outcome ? this.#outcome.error : null;
  }
  get done(): boolean {
    return this.#outcome !== null && "value" in this.#outcome;
  }

  value(): T {
    assert.ok(this.#outcome !== null, "It was abandoned");
    if ("error" in this.#outcome) throw this.#outcome.error;
    return this.#outcome.value;
  }

  step(): void {
    // Something that was asked for happens now.
    if (this.#open.size > 0 && (this.#waitsFor?.answer === null || this.#network.random.below(2) === 0)) {
      this.#happen(this.#network.random.pick([...this.#open]));
      return;
    }
    if (this.#waitsFor !== null) {
      this.#answer = this.#waitsFor.answer!;
      this.#waitsFor = null;
    }
    if (this.asks++ >= this.abandonAt) {
      // What it asked for may still happen.
      for (const { op } of this.#open) if (isWriteOp(op)) this.#network.ghosts.push(op);
      this.over = true;
      return;
    }
    try {
      const next = this.#program.next(this.#answer);
      if (next.done === true) this.#end({ value: next.value });
      else this.#give(next.value);
    } catch (error) {
      this.#end({ error });
    }
  }

  #end(outcome: Outcome<T>): void {
    this.over = true;
    this.#outcome = outcome;
    for (const ticket of this.#open) this.#happen(ticket);
  }

  #happen(ticket: Ticket): void {
    ticket.answer = this.#network.answer(ticket.op);
    this.#open.delete(ticket);
  }

  #give(ask: Ask): void {
    this.#answer = undefined;
    switch (ask.kind) {
      case "begin": {
        const ticket = { answer: null, op: ask.op };
        this.#tickets.set(++this.#ticket, ticket);
        this.#open.add(ticket);
        this.#answer = this.#ticket;
        return;
      }
      case "wait":
        this.#waitsFor = this.#take(ask.ticket);
        return;
      case "drop":
        this.#take(ask.ticket);
        return;
      case "read":
        this.#answer = this.#body.slice(this.#read, this.#read + ask.bytes);
        this.#read += ask.bytes;
        return;
      case "write":
        for (const byte of ask.bytes) this.written.push(byte);
        return;
      case "random":
        this.#answer = Uint8Array.from({ length: ask.bytes }, () => this.#network.random.below(256));
        return;
      case "now":
        this.#answer = this.#network.nowMs;
        return;
      case "sleep":
        this.#network.nowMs += ask.ms;
        return;
    }
  }

  #take(number: number): Ticket {
    const ticket = this.#tickets.get(number);
    assert.ok(ticket !== undefined, "Each ticket is waited for once, or dropped");
    this.#tickets.delete(number);
    return ticket;
  }
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

export function refused(reason: Extract<Response, { kind: "refused" }>["reason"]): Response {
  return { kind: "refused", reason, message: `It was refused (${reason})` };
}

export function problemIs(problem: ObjectError["problem"]) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof ObjectError, `Not an ObjectError: ${error}`);
    assert.equal(error.problem, problem, error.message);
    assert.match(error.message, /^[A-Z].*[^.]$/s);
    return true;
  };
}

/** Bytes that differ from place to place. */
export function bytesOf(length: number, seed = 1): Uint8Array {
  const random = Random.fromSeed(seed);
  return Uint8Array.from({ length }, () => random.below(256));
}

function chunkName({ segment, chunk }: Extract<Op, { kind: "chunk-put" | "chunk-get" }>): string {
  return `${segment.segment}.${chunk}`;
}
