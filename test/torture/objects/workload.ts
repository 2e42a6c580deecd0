/**
 * Clients that put, read, overwrite, delete and list objects of all sizes, some in parts, some only where nothing is there;
 * now and then one gives up, or dies, amid what it does.
 */
import type { Random } from "../../../core/base/random.ts";
import { ObjectError, type ObjectVersion, type Versioning } from "../../../core/objects/types.ts";
import type { Scheme } from "../../../core/wire/objects.ts";
import type { Client } from "../../../cli/client/client.ts";
import { openStore } from "../../../cli/objects/open_store.ts";
import type { ObjectStore } from "../../../cli/objects/store.ts";
import type { ObjectGuard } from "../../../sim/objects/model.ts";
import type { Reach } from "../reach.ts";
import {
  contentOf,
  firstDifference,
  now,
  NUMBER_HEADER,
  ObjectHistory,
  type Recorded,
  type Seen,
} from "./history.ts";

export interface ObjectBucket {
  readonly name: string;
  readonly scheme: Scheme;
  readonly versioning: Versioning;
}

export interface ObjectWorkloadOptions {
  readonly reach: Reach;
  readonly clients: number;
  readonly random: Random;
  readonly nodes: number;
}

const KiB = 1024, MiB = 1024 * KiB;
const KEYS = 5;
/** Keys of an earlier time are only read: so the search for an order stays small. */
const GENERATION_MS = 15_000;
const PAUSE_MS = 40;
const TIMEOUT_MS = 8000;
const PIECE_BYTES = 70_001;
/** Where old versions are kept, no more than this is written in large objects: disks are small. */
const KEPT_BYTES_MAX = 48 * MiB;
/** Small, so that few bytes go through all that many do in earnest. */
const SIZES = { partBytesMin: 64 * KiB, unregisteredChunks: 1 };
/** After these nothing was changed, for certain. */
const VOID: readonly string[] = ["too-small", "invalid", "too-large", "bad-digest"];
const ABSENT: readonly string[] = ["no-such-key", "no-such-version"];

interface Known {
  readonly number: number;
  readonly id: string;
}
interface Stage {
  readonly client: string;
  readonly store: ObjectStore;
  readonly random: Random;
  readonly bucket: ObjectBucket;
  readonly key: string;
  readonly object: string;
  readonly signal: AbortSignal;
}

export function bucketsFor(nodes: number): readonly ObjectBucket[] {
  const copies = { kind: "replicated", copies: 3 } as const;
  return [
    { name: "plain", scheme: copies, versioning: "off" },
    { name: "kept", scheme: copies, versioning: "enabled" },
    // With one node more than fragments, so that it goes on when one is gone.
    ...(nodes > 3
      ? [{ name: "striped", scheme: { kind: "striped", data: 2, parity: 1 }, versioning: "off" } as const]
      : []),
  ];
}

export class ObjectWorkload {
  readonly #options: ObjectWorkloadOptions;
  readonly buckets: readonly ObjectBucket[];
  readonly history: ObjectHistory;
  readonly #began = now();
  readonly #known = new Map<string, Known[]>();
  /** Why operations did not end well, and how many did. */
  readonly counts = new Map<string, number>();
  #workers: Promise<void>[] = [];
  #running = false;
  #keptBytes = 0;
  bytesWritten = 0;

  constructor(options: ObjectWorkloadOptions) {
    this.#options = options;
    this.buckets = bucketsFor(options.nodes);
    this.history = new ObjectHistory((name) =>
      this.buckets.find((bucket) => bucket.name === name)?.versioning ?? "off"
    );
  }

  async prepare(): Promise<void> {
    using client = await this.#options.reach.connect({ timeoutMs: TIMEOUT_MS });
    const store = openStore(client);
    for (const { name, scheme, versioning } of this.buckets) {
      await store.createBucket(name, { scheme, versioning });
    }
  }

  start(): void {
    this.#running = true;
    this.#workers = Array.from({ length: this.#options.clients }, (_, i) => this.#work(i));
  }

  /** Resolves when every client has its last answer. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers);
  }

  async #work(number: number): Promise<void> {
    const { reach, random } = this.#options, draw = random.fork(`objects ${number}`);
    const from = number % reach.addresses.length;
    const addresses = [...reach.addresses.slice(from), ...reach.addresses.slice(0, from)];
    let client: Client | null = null, life = 0;
    while (this.#running) {
      try {
        client ??= await reach.connect({ addresses, timeoutMs: TIMEOUT_MS });
      } catch {
        await pause(10 * PAUSE_MS);
        continue;
      }
      const mine = client, giveUp = new AbortController();
      const timers: ReturnType<typeof setTimeout>[] = [];
      let died = false;
      if (draw.chance(1, 15)) timers.push(setTimeout(() => giveUp.abort(), draw.between(1, 300)));
      else if (draw.chance(1, 25)) {
        timers.push(setTimeout(() => {
          died = true;
          mine.close();
        }, draw.between(1, 300)));
      }
      const bucket = draw.pick(this.buckets);
      const key = `g${String(this.#generation).padStart(4, "0")}/${draw.below(KEYS)}`;
      const name = `c${number}.${life}`, object = `${bucket.name}/${key}`;
      const store = openStore(mine, { sizes: SIZES });
      await this.#act({ client: name, store, random: draw, bucket, key, object, signal: giveUp.signal });
      for (const timer of timers) clearTimeout(timer);
      if (died) {
        client = null;
        life++;
      }
      await pause(draw.below(2 * PAUSE_MS + 1));
    }
    client?.close();
  }

  get #generation(): number {
    return Math.floor((now() - this.#began) / GENERATION_MS);
  }

  // ---- operations

  async #act(stage: Stage): Promise<void> {
    const { random } = stage;
    let draw = random.below(100);
    const among = (share: number) => (draw -= share) < 0;
    if (among(30)) return await this.#get(stage);
    if (among(8)) return await this.#getOld(stage);
    if (among(8)) return await this.#delete(stage);
    if (among(3)) return await this.#remove(stage);
    if (among(6)) return await this.#list(stage);
    if (among(10)) return await this.#put(stage, { kind: "absent" });
    if (among(8)) return await this.#replace(stage);
    if (among(7)) return await this.#multipart(stage);
    return await this.#put(stage, null);
  }

  async #get(stage: Stage): Promise<void> {
    const { client, object, store, bucket, key, signal, random } = stage;
    const what = { store, bucket: bucket.name, key, signal, random };
    await this.#read({ client, object, invoke: now() }, what);
  }

  async #getOld(stage: Stage): Promise<void> {
    const known = this.#known.get(stage.object) ?? [];
    if (known.length === 0 || stage.bucket.versioning === "off") return await this.#get(stage);
    const { client, object, store, bucket, key, signal } = stage, old = stage.random.pick(known);
    await this.#read({ client, object, invoke: now() }, { store, bucket: bucket.name, key, signal, old });
  }

  /** Reads an object and checks each byte. Returns what went wrong; null: it was read, or is not there. */
  async #read(
    seen: Seen,
    { store, bucket, key, old, signal, random }: {
      readonly store: ObjectStore;
      readonly bucket: string;
      readonly key: string;
      readonly old?: Known;
      readonly signal?: AbortSignal;
      /** Draws whether all of it is read. */
      readonly random?: Random;
    },
  ): Promise<string | null> {
    const range = random?.chance(1, 4) === true
      ? { range: { kind: "from" as const, start: random.below(2 * MiB), end: null } }
      : {};
    const { object } = seen;
    let number: number | null = null;
    try {
      const got = await store.get({ bucket, key, version: old?.id, ...range }, signal);
      number = this.history.numberOf(object, got.version);
      if (number === null) return null;
      this.history.saw(
        seen,
        old === undefined ? { kind: "get", top: number } : { kind: "find", value: old.number, there: true },
      );
      if (old !== undefined && old.number !== number) {
        this.history.problem(`${object}: version ${old.id} is number ${number}, not ${old.number}`);
      }
      let at = got.span.start;
      for await (const piece of got.body) {
        const wrong = firstDifference(number, at, piece);
        if (wrong !== null) {
          this.history.problem(`${object} version ${number}: byte ${wrong} is not what was written`);
        }
        at += piece.length;
      }
      if (at !== got.span.end) {
        this.history.problem(`${object} version ${number}: it ended at byte ${at}, not ${got.span.end}`);
      }
      this.history.bytesRead += at - got.span.start;
      this.#count("read ok");
      return null;
    } catch (error) {
      const problem = this.#failed("read", error);
      if (number !== null) return `${problem}: ${messageOf(error)}`;
      if (problem === "deleted") this.history.saw(seen, { kind: "get", top: "marker" });
      else if (ABSENT.includes(problem)) {
        this.history.saw(
          seen,
          old === undefined
            ? { kind: "get", top: "none" }
            : { kind: "find", value: old.number, there: false },
        );
      } else if (problem !== "range") return `${problem}: ${messageOf(error)}`;
      return null;
    }
  }

  async #put(stage: Stage, guard: ObjectGuard | null): Promise<void> {
    const { store, random, bucket, key, object, client, signal } = stage;
    const bytes = this.#drawBytes(random, bucket), number = this.history.number(object, bytes);
    const recorded = this.history.invoked(client, object, { kind: "put", value: number, guard, made: null });
    const conditions = guard === null
      ? {}
      : { conditions: guard.kind === "absent" ? { ifNoneMatch: ["*"] } : { ifMatch: [guard.etag] } };
    const options = { bucket: bucket.name, key, metadata: numbered(number), ...conditions };
    await this.#made(
      recorded,
      bytes,
      () =>
        store.put({ ...options, bytes: random.chance(1, 2) ? bytes : null }, bodyOf(number, bytes), signal),
    );
  }

  /** In place of what it has read, if that is still there. */
  async #replace(stage: Stage): Promise<void> {
    const { store, bucket, key } = stage;
    let etag: string;
    try {
      etag = (await store.head({ bucket: bucket.name, key })).version.etag;
    } catch (error) {
      this.#failed("head", error);
      return;
    }
    await this.#put(stage, { kind: "etag", etag });
  }

  async #multipart(stage: Stage): Promise<void> {
    const { store, random, bucket, key, object, client } = stage;
    const sizes = Array.from({ length: random.between(1, 3) }, () => random.between(64 * KiB, 1200 * KiB));
    const bytes = sizes.reduce((sum, each) => sum + each, 0), number = this.history.number(object, bytes);
    const put = { kind: "put", value: number, guard: null, made: null } as const;
    const recorded = this.history.invoked(client, object, put);
    const aborts = random.chance(1, 5);
    const place = { bucket: bucket.name, key };
    await this.#made(recorded, bytes, async () => {
      const { id: upload } = await store.createUpload({ ...place, metadata: numbered(number) });
      if (random.chance(1, 4)) {
        // What is replaced.
        const draft = { ...place, upload, part: 1, bytes: 64 * KiB };
        await store.putPart(draft, bodyOf(number + 1, 64 * KiB));
      }
      const parts: { number: number; etag: string }[] = [];
      let start = 0;
      for (const [i, size] of sizes.entries()) {
        const part = { ...place, upload, part: 1 + 2 * i, bytes: random.chance(1, 2) ? size : null };
        parts.push({
          number: part.part,
          etag: (await store.putPart(part, bodyOf(number, size, start))).etag,
        });
        start += size;
      }
      if (!aborts) return await store.completeUpload({ ...place, upload, parts });
      await store.abortUpload(bucket.name, key, upload);
      recorded.void = true;
      return null;
    });
  }

  async #made(recorded: Recorded, bytes: number, write: () => Promise<ObjectVersion | null>): Promise<void> {
    const { action, object } = recorded;
    if (action.kind !== "put") return;
    try {
      const version = await write();
      if (version === null) return;
      this.history.completed(recorded, { ...action, made: true });
      this.#count("put ok");
      this.bytesWritten += bytes;
      if (object.startsWith("kept/")) this.#keptBytes += bytes;
      if (this.history.numberOf(object, version) !== action.value) {
        this.history.problem(`${object}: a put of number ${action.value} was answered with another version`);
      }
      this.#known.set(object, [...this.#known.get(object) ?? [], { number: action.value, id: version.id }]);
    } catch (error) {
      const problem = this.#failed("put", error);
      if (problem === "precondition" && action.guard !== null) {
        this.history.completed(recorded, { ...action, made: false });
      } else if (VOID.includes(problem)) recorded.void = true;
    }
  }

  async #delete({ store, bucket, key, object, client }: Stage): Promise<void> {
    const recorded = this.history.invoked(client, object, { kind: "delete" });
    try {
      await store.delete({ bucket: bucket.name, key });
      this.history.completed(recorded);
      this.#count("delete ok");
    } catch (error) {
      this.#failed("delete", error);
    }
  }

  /** One version, for good. */
  async #remove(stage: Stage): Promise<void> {
    const { store, bucket, key, object, client, random } = stage;
    const known = this.#known.get(object) ?? [];
    if (known.length === 0 || bucket.versioning === "off") return await this.#delete(stage);
    const { number, id } = random.pick(known);
    this.#known.set(object, known.filter((each) => each.number !== number));
    const recorded = this.history.invoked(client, object, { kind: "remove", value: number });
    try {
      await store.delete({ bucket: bucket.name, key, version: id });
      this.history.completed(recorded);
      this.#count("remove ok");
    } catch (error) {
      this.#failed("remove", error);
    }
  }

  async #list({ store, bucket, key, client }: Stage): Promise<void> {
    const prefix = key.slice(0, key.indexOf("/") + 1), invoke = now();
    try {
      const { objects, next } = await store.list({ bucket: bucket.name, prefix, limit: 100 });
      if (next !== null) return;
      const listed = new Map(objects.map((each) => [each.key, each.version]));
      for (let i = 0; i < KEYS; i++) {
        const version = listed.get(`${prefix}${i}`), object = `${bucket.name}/${prefix}${i}`;
        const top = version === undefined ? "gone" : this.history.numberOf(object, version);
        if (top !== null) this.history.saw({ client, object, invoke }, { kind: "get", top });
      }
      this.#count("list ok");
    } catch (error) {
      this.#failed("list", error);
    }
  }

  #drawBytes(random: Random, { name }: ObjectBucket): number {
    const small = name === "kept" && this.#keptBytes > KEPT_BYTES_MAX;
    const draw = random.below(small ? 4 : 9);
    if (draw === 0) return 0;
    if (draw < 3) return random.between(1, 4 * KiB);
    if (draw < 4) return 4 * KiB + random.between(0, 2);
    if (draw < 7) return random.between(4 * KiB, MiB);
    if (draw < 8) return MiB * random.between(1, 2) + random.between(-1, 1);
    return random.between(MiB, 4 * MiB);
  }

  #failed(what: string, error: unknown): string {
    const problem = error instanceof ObjectError ? error.problem : messageOf(error);
    if (!(error instanceof ObjectError)) this.history.problem(`a ${what} threw no ObjectError: ${problem}`);
    this.#count(`${what} ${problem}`);
    return problem;
  }
  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  // ---- afterwards

  /** Reads every version of every object; what cannot be read is a problem. Uploads are thrown away. */
  async readAll(): Promise<number> {
    using connected = await this.#options.reach.connect({ timeoutMs: 30_000 });
    const store = openStore(connected);
    let versions = 0, next = 0;
    const { objects } = this.history;
    await Promise.all(Array.from({ length: 4 }, async (_, reader) => {
      const client = `reader ${reader}`;
      for (let object = objects[next++]; object !== undefined; object = objects[next++]) {
        const slash = object.indexOf("/"), bucket = object.slice(0, slash), key = object.slice(slash + 1);
        const found = await this.#readObject(client, store, { bucket, key, object });
        versions += found;
      }
    }));
    for (const { name } of this.buckets) {
      for (;;) {
        const { uploads } = await store.listUploads({ bucket: name, limit: 100 });
        if (uploads.length === 0) break;
        for (const { key, id } of uploads) await store.abortUpload(name, key, id);
      }
    }
    return versions;
  }

  async #readObject(
    client: string,
    store: ObjectStore,
    { bucket, key, object }: { readonly bucket: string; readonly key: string; readonly object: string },
  ): Promise<number> {
    const invoke = now();
    const { versions, next } = await store.listVersions({ bucket, prefix: key, limit: 1000 });
    if (next !== null) throw new Error(`${object} has more than 1000 versions`);
    const numbers = versions.map(({ version }) =>
      version.deleted ? "marker" as const : this.history.numberOf(object, version) ?? -1
    );
    this.history.saw({ client, object, invoke }, { kind: "all", entries: numbers });
    const wanted = await this.#read({ client, object, invoke: now() }, { store, bucket, key });
    if (wanted !== null) this.history.problem(`${object} cannot be read at the end: ${wanted}`);
    for (const [i, { version }] of versions.entries()) {
      const number = numbers[i]!;
      if (number === "marker") continue;
      const old = { number, id: version.id };
      const failed = await this.#read({ client, object, invoke: now() }, { store, bucket, key, old });
      if (failed !== null) this.history.problem(`${object} version ${number} is lost at the end: ${failed}`);
    }
    return versions.length;
  }
}

function numbered(number: number): [string, string][] {
  return [[NUMBER_HEADER, String(number)]];
}

async function* bodyOf(number: number, bytes: number, start = 0): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    await Promise.resolve();
    yield contentOf(number, start + at, Math.min(PIECE_BYTES, bytes - at));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
