/**
 * Clients that put, get, copy, list and delete objects, some in parts, some only where nothing is there yet, and write down
 * all they see. Now and then one of them dies amid what it does.
 */
import { unreachable } from "../../core/base/invariant.ts";
import type { PartitionId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import { copy } from "../../core/objects/programs/copy.ts";
import { deleteObject } from "../../core/objects/programs/delete.ts";
import { getBody, head } from "../../core/objects/programs/get.ts";
import { put } from "../../core/objects/programs/put.ts";
import { World as ProgramWorld } from "../../core/objects/programs/world.ts";
import type {
  GetOptions,
  ObjectProblem,
  ObjectVersion,
  Pair,
  Program,
  Span,
} from "../../core/objects/types.ts";
import type { Login } from "../clients.ts";
import { happens } from "../network.ts";
import type { Sometimes } from "../sometimes.ts";
import type { World } from "../world.ts";
import { ObjectClient, type RunOptions } from "./client.ts";
import { keyOf, NUMBER_HEADER, ObjectHistory, objectName, type RecordedObject } from "./history.ts";
import type { ObjectGuard } from "./model.ts";
import type { ObjectsOptions } from "./options.ts";
import { drawBody, drawRange, joined, PARTS_MAX, sizesOf } from "./draws.ts";
import { makeUpload } from "./upload_program.ts";
import { createBuckets, listKeys, listOwn } from "./list_programs.ts";

/** After these nothing was changed, for certain. */
const VOID: readonly ObjectProblem[] = ["too-small", "invalid", "too-large", "bad-digest"];
/** A process that dies does so within so many asks. */
const ASKS_MAX = 40;
const READERS = 8;
const READ_PATIENCE_US = 30_000_000;
const BUCKETS_AGAIN_US = 500_000;

/** A version that somebody was told of, and nobody has removed. */
interface Known {
  readonly number: number;
  readonly id: string;
}

export class ObjectWorkload {
  readonly #world: World;
  readonly #options: ObjectsOptions;
  readonly #random: Random;
  readonly #sometimes: Sometimes;
  readonly #login: Login | undefined;
  readonly #partitionOf: (key: string, partitions: number) => PartitionId;
  readonly history: ObjectHistory;
  readonly #clients: ObjectClient[] = [];
  readonly #known = new Map<string, Known[]>();
  #running = false;
  #ready = false;
  completed = 0;
  died = 0;
  readonly refusals = new Map<ObjectProblem, number>();

  constructor(options: {
    readonly world: World;
    readonly objects: ObjectsOptions;
    readonly random: Random;
    readonly sometimes: Sometimes;
    readonly login: Login | undefined;
    readonly partitionOf: (key: string, partitions: number) => PartitionId;
  }) {
    this.#world = options.world;
    this.#options = options.objects;
    this.#random = options.random;
    this.#sometimes = options.sometimes;
    this.#login = options.login;
    this.#partitionOf = options.partitionOf;
    const { buckets } = options.objects;
    this.history = new ObjectHistory((name) =>
      buckets.find((bucket) => bucket.name === name)?.versioning ?? "off"
    );
  }

  get idle(): boolean {
    return this.#clients.every((client) => client.idle);
  }
  get ready(): boolean {
    return this.#ready;
  }
  get attempts(): number {
    return this.#clients.reduce((sum, client) => sum + client.attempts, 0);
  }

  /** Makes the buckets; `ready` tells when they are there. */
  prepare(): void {
    const client = this.client("founder");
    const attempt = () =>
      client.run({
        program: (programs) => createBuckets(programs, this.#options.buckets),
        done: ({ kind }) => {
          if (kind === "done") this.#ready = true;
          else this.#later(BUCKETS_AGAIN_US, attempt);
        },
      });
    attempt();
  }

  start(): void {
    this.#running = true;
    for (let i = 0; i < this.#options.clients; i++) {
      const client = this.client(`client ${i}`), random = this.#random.fork(`client ${i}`);
      const act = () => {
        if (this.#running) this.#act(i, client, random, pause);
      };
      const pause = () => this.#later(random.below(2 * this.#options.every + 1), act);
      pause();
    }
  }

  stop(): void {
    this.#running = false;
  }

  /** A client process of its own, which `idle` waits for. */
  client(name: string): ObjectClient {
    const client = this.upkeepClient(name, this.#login);
    this.#clients.push(client);
    return client;
  }

  /** A client process that never rests. */
  upkeepClient(name: string, login: Login | undefined, patienceUs = this.#options.patience): ObjectClient {
    return new ObjectClient({
      world: this.#world,
      random: this.#random.fork(name),
      login,
      programs: () => this.programs(),
      patienceUs,
    });
  }

  programs(): ProgramWorld {
    return new ProgramWorld({ partitionOf: this.#partitionOf, sizes: sizesOf(this.#options) });
  }

  #later(us: number, action: () => void): void {
    this.#world.schedule(this.#world.loop.now + us, action);
  }

  // ---- operations

  #act(number: number, client: ObjectClient, random: Random, then: () => void): void {
    const { percent } = this.#options, bucket = random.pick(this.#options.buckets).name;
    const key = this.#key(random), stage = { number, client, random, bucket, key, then };
    let draw = random.below(100);
    const among = (share: number) => (draw -= share) < 0;
    if (among(percent.get)) return this.#get(stage);
    if (among(percent.head)) return this.#head(stage);
    if (among(percent.delete)) return this.#delete(stage);
    if (among(percent.remove)) return this.#remove(stage);
    if (among(percent.copy)) return this.#copy(stage);
    if (among(percent.list)) return this.#list(stage);
    if (among(percent.versions)) return this.#getOld(stage);
    if (among(percent.multipart)) return this.#multipart(stage);
    if (among(percent.create)) return this.#put(stage, { kind: "absent" });
    if (among(percent.replace)) return this.#replace(stage);
    return this.#put(stage, null);
  }

  #get({ number, client, random, bucket, key, then }: Stage): void {
    const range = random.chance(1, 2) ? drawRange(random, this.#options.bytes) : undefined;
    this.#read(number, client, { bucket, key, ...(range === undefined ? {} : { range }) }, random, then);
  }

  /** Reads a version that somebody was told of. */
  #getOld(stage: Stage): void {
    const known = this.#known.get(objectName(stage.bucket, stage.key)) ?? [];
    if (known.length === 0) return this.#get(stage);
    const { number, client, random, bucket, key, then } = stage, version = random.pick(known);
    this.#read(number, client, { bucket, key, version: version.id }, random, then, version.number);
  }

  /** `old`: the number of the version that is asked for by its id. */
  #read(
    client: number,
    process: ObjectClient,
    options: GetOptions,
    random: Random | null,
    then: (outcome: "read" | "absent" | "failed", problem: string) => void,
    old?: number,
  ): void {
    const object = objectName(options.bucket, options.key), invoke = this.#now;
    const taken: Uint8Array[] = [];
    /** What head() said, also where the body cannot be had. */
    let found: { version: ObjectVersion; span: Span; at: number } | null = null;
    const now = () => this.#now;
    const program = function* (programs: ProgramWorld): Program<void> {
      found = { ...yield* head(programs, options), at: now() };
      yield* getBody(programs, options, found.version, found.span);
    };
    const seen = (top: number | "none" | "marker", at: number) =>
      this.history.saw(
        { client, object, invoke, now: at },
        old === undefined
          ? { kind: "get", top }
          : { kind: "find", value: old, there: typeof top === "number" },
      );
    this.#run(process, {
      program,
      take: (bytes) => taken.push(bytes),
      diesAt: random === null ? undefined : this.#death(random),
      done: (outcome) => {
        const answer = found as { version: ObjectVersion; span: Span; at: number } | null;
        const number = answer === null ? null : this.#numberOf(object, answer.version, old);
        if (answer !== null && number !== null) {
          seen(number, answer.at);
          const bytes = joined(taken), { span, version: { bytes: total } } = answer;
          const whole = outcome.kind === "done" && bytes.length !== span.end - span.start
            ? `${object}: ${bytes.length} bytes were given for the ${span.end - span.start} asked for`
            : null;
          this.#hold(
            whole ?? this.history.contentProblem(object, number, { start: span.start, bytes, total }),
          );
        }
        if (outcome.kind === "failed") {
          const { problem } = outcome.error;
          // What was removed while it was read says nothing of the moment it was.
          if (answer === null && (problem === "no-such-key" || problem === "no-such-version")) {
            seen("none", this.#now);
          }
          if (answer === null && problem === "deleted") seen("marker", this.#now);
          if (problem === "damaged") this.#sometimes.fire("object was damaged for a while");
          const absent = problem === "no-such-key" || problem === "no-such-version" ||
            problem === "deleted" ||
            problem === "range";
          return then(absent ? "absent" : "failed", outcome.error.message);
        }
        if (outcome.kind === "done" && this.#isAnyAway) {
          this.#sometimes.fire("object read while a node was away");
        }
        then(outcome.kind === "done" ? "read" : "failed", outcome.kind);
      },
    });
  }

  #head({ number: client, client: process, bucket, key, then }: Stage): void {
    const object = objectName(bucket, key), invoke = this.#now;
    this.#run(process, {
      program: (programs) => head(programs, { bucket, key }),
      done: (outcome) => {
        const seen = { client, object, invoke, now: this.#now };
        if (outcome.kind === "done") {
          const top = this.#numberOf(object, outcome.value.version);
          if (top !== null) this.history.saw(seen, { kind: "get", top });
        } else if (outcome.kind === "failed" && outcome.error.problem === "no-such-key") {
          this.history.saw(seen, { kind: "get", top: "none" });
        } else if (outcome.kind === "failed" && outcome.error.problem === "deleted") {
          this.history.saw(seen, { kind: "get", top: "marker" });
        }
        then();
      },
    });
  }

  #put(
    { number: client, client: process, random, bucket, key, then }: Stage,
    guard: ObjectGuard | null,
  ) {
    const body = drawBody(random, this.#options), object = objectName(bucket, key);
    const number = this.history.number(object, body), recorded = this.#invoked(client, object, number, guard);
    const conditions = guard === null
      ? {}
      : guard.kind === "absent"
      ? { conditions: { ifNoneMatch: ["*"] } }
      : { conditions: { ifMatch: [guard.etag] } };
    const bytes = random.chance(1, 2) ? body.length : null;
    this.#run(process, {
      program: (programs) => put(programs, { bucket, key, bytes, metadata: numbered(number), ...conditions }),
      body,
      diesAt: this.#death(random),
      done: (outcome) => {
        this.#made(recorded, number, outcome);
        then();
      },
    });
  }

  /** Puts in place of what it has read, if that is still there. */
  #replace(stage: Stage): void {
    const { client, bucket, key } = stage, object = objectName(bucket, key);
    this.#run(client, {
      program: (programs) => head(programs, { bucket, key }),
      done: (outcome) => {
        if (outcome.kind !== "done" || this.#numberOf(object, outcome.value.version) === null) {
          return stage.then();
        }
        this.#put(stage, { kind: "etag", etag: outcome.value.version.etag });
      },
    });
  }

  #copy({ number: client, client: process, random, bucket, key, then }: Stage): void {
    const from = { bucket: random.pick(this.#options.buckets).name, key: this.#key(random) };
    const source = objectName(from.bucket, from.key), object = objectName(bucket, key);
    const number = this.history.numberOfCopy(object, source);
    const recorded = this.#invoked(client, object, number, null);
    this.#run(process, {
      program: (programs) => copy(programs, from, { bucket, key, metadata: numbered(number) }),
      diesAt: this.#death(random),
      done: (outcome) => {
        this.#made(recorded, number, outcome);
        if (outcome.kind !== "failed") return then();
        const { problem } = outcome.error;
        if (problem === "no-such-key" || problem === "deleted") recorded.void = true;
        then();
      },
    });
  }

  #multipart({ number: client, client: process, random, bucket, key, then }: Stage): void {
    const draw = () => drawBody(random, this.#options);
    const parts = Array.from({ length: random.between(1, PARTS_MAX) }, () => {
      const body = draw();
      return body.length === 0 ? Uint8Array.of(random.below(256)) : body;
    });
    const object = objectName(bucket, key), number = this.history.numberOfParts(object, parts);
    const recorded = this.#invoked(client, object, number, null);
    const plan = {
      bucket,
      key,
      metadata: numbered(number),
      parts,
      draft: random.chance(1, 4) ? draw() : null,
      surplus: random.chance(1, 4) ? draw() : null,
      aborts: random.chance(1, 5),
    };
    this.#run<ObjectVersion | null>(process, {
      program: (programs) => makeUpload(programs, plan),
      diesAt: this.#death(random, 3),
      done: (outcome) => {
        if (outcome.kind === "died" && outcome.asks > 0) this.#sometimes.fire("upload in parts broken off");
        if (outcome.kind !== "done") this.#made(recorded, number, outcome);
        else if (outcome.value === null) recorded.void = true;
        else this.#made(recorded, number, { kind: "done", value: outcome.value });
        then();
      },
    });
  }

  #delete({ number: client, client: process, random, bucket, key, then }: Stage): void {
    const object = objectName(bucket, key);
    const recorded = this.history.invoked(client, object, { kind: "delete" }, this.#now);
    this.#run(process, {
      program: (programs) => deleteObject(programs, { bucket, key }),
      diesAt: this.#death(random),
      done: (outcome) => {
        if (outcome.kind === "done") this.history.completed(recorded, this.#now);
        then();
      },
    });
  }

  /** Removes a version for good. */
  #remove(stage: Stage): void {
    const { number: client, client: process, random, bucket, key, then } = stage;
    const object = objectName(bucket, key), known = this.#known.get(object) ?? [];
    if (known.length === 0) return this.#delete(stage);
    const { number, id } = random.pick(known);
    this.#known.set(object, known.filter((each) => each.number !== number));
    const recorded = this.history.invoked(client, object, { kind: "remove", value: number }, this.#now);
    this.#run(process, {
      program: (programs) => deleteObject(programs, { bucket, key, version: id }),
      diesAt: this.#death(random),
      done: (outcome) => {
        if (outcome.kind === "done") this.history.completed(recorded, this.#now);
        then();
      },
    });
  }

  #list({ number: client, client: process, random, bucket, then }: Stage): void {
    const invoke = this.#now, limit = random.between(1, this.#options.keys + 1);
    this.#run(process, {
      program: (programs) => listKeys(programs, bucket, limit),
      done: (outcome) => {
        if (outcome.kind === "done") {
          const { objects, next } = outcome.value,
            listed = new Map(objects.map((each) => [each.key, each.version]));
          for (const key of this.#keys) {
            if (next !== null && key > next) continue;
            const object = objectName(bucket, key), version = listed.get(key);
            const top = version === undefined ? "gone" : this.#numberOf(object, version);
            if (top === null) continue;
            this.history.saw({ client, object, invoke, now: this.#now }, { kind: "get", top });
          }
        }
        then();
      },
    });
  }

  // ---- at the end

  /** Reads every version of every key; `problems` fills with what cannot be had. */
  readAll(): {
    readonly done: () => boolean;
    readonly problems: readonly string[];
    readonly read: () => number;
  } {
    const problems: string[] = [], left = this.history.objects();
    let open = left.length, read = 0;
    const next = (client: ObjectClient) => {
      const object = left.shift();
      if (object === undefined) return;
      this.#readVersions(client, object, (each, outcome, problem) => {
        if (outcome === "read") read++;
        else problems.push(`${each}: ${problem}`);
      }, () => {
        open--;
        next(client);
      });
    };
    // Nothing is in the way any more, but much may have to be caught up with.
    for (let i = 0; i < READERS; i++) next(this.upkeepClient(`reader ${i}`, this.#login, READ_PATIENCE_US));
    return { done: () => open === 0, problems, read: () => read };
  }

  #readVersions(
    client: ObjectClient,
    object: string,
    told: (what: string, outcome: "read" | "absent" | "failed", problem: string) => void,
    then: () => void,
  ): void {
    const bucket = object.slice(0, object.indexOf("/")), key = keyOf(object), invoke = this.#now;
    this.#run(client, {
      program: (programs) => listOwn(programs, bucket, key),
      done: (outcome) => {
        if (outcome.kind !== "done") {
          told(
            `${object}, its versions`,
            "failed",
            outcome.kind === "failed" ? outcome.error.message : outcome.kind,
          );
          return then();
        }
        const entries: (number | "marker")[] = [], left: Known[] = [];
        for (const version of outcome.value) {
          const number = version.deleted ? "marker" : this.#numberOf(object, version);
          if (number === null) continue;
          entries.push(number);
          if (number !== "marker") left.push({ number, id: version.isNull ? "null" : version.id });
        }
        this.history.saw({ client: -1, object, invoke, now: this.#now }, { kind: "all", entries });
        const readNext = () => {
          const version = left.shift();
          if (version === undefined) return then();
          const options = { bucket, key, version: version.id };
          this.#read(-1, client, options, null, (result, problem) => {
            told(`${object} version ${version.number}`, result, problem);
            readNext();
          }, version.number);
        };
        readNext();
      },
    });
  }

  // ---- helpers

  #run<T>(client: ObjectClient, options: RunOptions<T>): void {
    client.run({
      ...options,
      done: (outcome) => {
        if (outcome.kind === "done") this.completed++;
        else if (outcome.kind === "died") {
          this.died++;
          this.#sometimes.fire("object client died amid an operation");
        } else if (outcome.kind === "failed") {
          const { problem } = outcome.error;
          this.refusals.set(problem, 1 + (this.refusals.get(problem) ?? 0));
        } else if (outcome.kind === "threw") {
          const { error } = outcome;
          this.#hold(
            `a program threw ${error instanceof Error ? error.stack ?? error.message : String(error)}`,
          );
        } else unreachable(outcome);
        options.done(outcome);
      },
    });
  }

  /** What came of an operation that makes a version. */
  #made(
    recorded: RecordedObject,
    number: number,
    outcome: Parameters<RunOptions<ObjectVersion>["done"]>[0],
  ): void {
    const { action, object } = recorded;
    if (action.kind !== "put") return;
    if (outcome.kind === "done") {
      const { value: version } = outcome;
      if (this.#numberOf(object, version) !== number) {
        this.#hold(`${object}: a put was answered with another version`);
      }
      this.history.completed(recorded, this.#now, { ...action, made: true });
      if (this.#isAnyAway) this.#sometimes.fire("object written while a node was away");
      const known = this.#known.get(object), entry = { number, id: version.isNull ? "null" : version.id };
      // The null version is one name for whatever was written last.
      if (version.isNull) return;
      if (known === undefined) this.#known.set(object, [entry]);
      else known.push(entry);
    } else if (outcome.kind === "failed") {
      const { problem } = outcome.error;
      if (VOID.includes(problem)) recorded.void = true;
      const refused = problem === "precondition" ||
        (problem === "no-such-key" && action.guard?.kind === "etag") ||
        (problem === "deleted" && action.guard?.kind === "etag");
      if (!refused || action.guard === null) return;
      this.#sometimes.fire("conditional write of an object refused");
      this.history.completed(recorded, this.#now, { ...action, made: false });
    }
  }

  #invoked(client: number, object: string, value: number, guard: ObjectGuard | null): RecordedObject {
    return this.history.invoked(client, object, { kind: "put", value, guard, made: null }, this.#now);
  }

  /** The number of a version that was shown; null: it has none that it may have. */
  #numberOf(object: string, version: ObjectVersion, expected?: number): number | null {
    const number = this.history.numberOf(object, version);
    if (typeof number !== "number") {
      this.#hold(number.problem);
      return null;
    }
    if (expected === undefined || expected === number) return number;
    this.#hold(`${object}: version ${number} was given for version ${expected}`);
    return null;
  }

  #hold(problem: string | null): void {
    if (problem !== null) this.#world.violate("objects are what was written", problem);
  }

  #death(random: Random, times = 1): number | undefined {
    return happens(random, this.#options.crash) ? random.below(ASKS_MAX * times) : undefined;
  }

  #key(random: Random): string {
    return random.pick(this.#keys);
  }

  get #keys(): readonly string[] {
    return Array.from({ length: this.#options.keys }, (_, i) => `key-${String(i).padStart(3, "0")}`);
  }

  get #isAnyAway(): boolean {
    return this.#world.machines.some(({ life, running, retired }) => life > 0 && !running && !retired);
  }

  get #now(): number {
    return this.#world.loop.now;
  }
}

interface Stage {
  readonly number: number;
  readonly client: ObjectClient;
  readonly random: Random;
  readonly bucket: string;
  readonly key: string;
  readonly then: () => void;
}

function numbered(number: number): Pair[] {
  return [[NUMBER_HEADER, String(number)]];
}
