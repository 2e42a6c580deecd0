/**
 * The flight recorder: `node --record FILE` writes down everything that a node is told and what came of it, so that
 * `sim replay FILE` steps the same core through it again (format: core/wire/recording.ts).
 *
 * W1. The node never waits for its recording and never ends because of it. What is recorded waits in a bounded buffer;
 *     when it is full, or the disk refuses, the recording of this life ends, the log says so, and the node goes on.
 * W2. All parts together take `bytesMax` at most. A replay needs a life from its beginning, so whole lives are dropped,
 *     oldest first. When the running life alone has filled the space its recording ends, until the next life.
 * W3. The tables as they were before the first step are copied from a snapshot while the node runs. Until that is done
 *     a crash leaves a life that cannot be replayed.
 * W4. Parts are for the owner alone (mode 600): they hold users' data. In a network with keys they are encrypted, each
 *     with the vault's current generation of the moment it is begun.
 */
import { readUint32 } from "../../core/base/bytes.ts";
import type { NodeId } from "../../core/base/ids.ts";
import type { Row, Tables, TablesSnapshot } from "../../core/base/ports.ts";
import { lifeItems, RecordedNode, type Tape } from "../../core/node/recorded_node.ts";
import type { NodeOptions } from "../../core/node/options.ts";
import { OPEN_VAULT, SALT_BYTES, type Vault } from "../../core/base/vault.ts";
import type { RecordCipher } from "../../core/wire/journal_cipher.ts";
import {
  encodeItem,
  encodeItemFrame,
  encodePartHeader,
  type LifeEnd,
  partCipher,
} from "../../core/wire/recording.ts";
import { now } from "./clock.ts";
import { drawnOpening } from "./journal_segments.ts";
import { listParts, partPath } from "./recording_files.ts";

const KiB = 1024, MiB = 1024 * KiB;

export const RECORD_BYTES_DEFAULT = 1024 * MiB;
export const RECORD_BYTES_MIN = 1 * MiB;

/** A part is begun when the last one has this much; a replay reads one part at a time. */
const PART_BYTES = 64 * MiB;
/** What a running life leaves free for its last words. */
const END_BYTES = 64 * KiB;
/** Recorded and not yet written, at most. */
const BUFFER_BYTES_MAX = 32 * MiB;
/** A frame is written when it has this much, or this long after its first item. */
const FRAME_BYTES = 256 * KiB;
const FRAME_MS = 20;
/** It goes on growing to this much while another is written: a busy node leaves the loop few turns, so each counts. */
const FRAME_BYTES_MAX = 4 * MiB;
/** Rows are copied in items of this size: so much before the node's first step, then one each time. */
const ROWS_BYTES = 128 * KiB;
const ROWS_BYTES_AT_ONCE = 4 * MiB;
const ROWS_MS = 4;

export interface RecorderOptions {
  readonly file: string;
  readonly bytesMax: number;
  /** The version of this program. */
  readonly program: string;
  readonly warn: (message: string) => void;
  /** The keys as they are now; none: nothing is encrypted. */
  readonly vault?: () => Vault;
}

/** Items of one life that become one frame. */
interface Batch {
  readonly life: Life;
  readonly items: Uint8Array[];
  bytes: number;
}

/** Files of one life. */
interface Stored {
  readonly paths: string[];
  /** The key generations that they are encrypted with; 0: one is not. */
  readonly generations: Set<number>;
  bytes: number;
}

/** Records one life after the other into one series of parts. */
export class Recorder {
  readonly #options: RecorderOptions;
  #vault: () => Vault = () => OPEN_VAULT;
  /** Oldest first; the running life is the last one once it has a part. */
  readonly #stored: Stored[] = [];
  #nextPart = 1;
  #batches: Batch[] = [];
  #bufferedBytes = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #writing: Promise<void> | null = null;
  #file: {
    readonly life: Life;
    readonly handle: Deno.FsFile;
    readonly salt: number;
    readonly generation: number;
    readonly cipher: RecordCipher | null;
    frames: number;
    bytes: number;
  } | null = null;
  #life: Life | null = null;

  private constructor(options: RecorderOptions) {
    this.#options = options;
    if (options.vault !== undefined) this.#vault = options.vault;
  }

  /** @throws {Error} when the place cannot be used, or holds something else than parts of a recording */
  static open(options: RecorderOptions): Recorder {
    const recorder = new Recorder(options);
    try {
      let last: string | null = null;
      for (const { path, number, bytes, header } of listParts(options.file)) {
        const life: string | null = header?.life ?? null;
        if (life === null || life !== last) {
          recorder.#stored.push({ paths: [], generations: new Set(), bytes: 0 });
        }
        const stored = recorder.#stored.at(-1)!;
        stored.paths.push(path);
        if (header !== null) stored.generations.add(header.key?.generation ?? 0);
        stored.bytes += bytes;
        last = life;
        recorder.#nextPart = number + 1;
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot record to "${options.file}": ${why}. Choose another name with --record`);
    }
    return recorder;
  }

  /**
   * Makes the node of a new life, whose recording begins with it. The life before must have ended. `vault`: the keys as
   * they are at any time from now on, where the options do not say.
   */
  begin(node: NodeOptions, network: string, vault?: () => Vault): RecordedNode {
    if (vault !== undefined) this.#vault = vault;
    const life = this.#life = new Life(this, node, network);
    return life.node;
  }

  /** Ends the recording of the running life. Nothing follows before begin(). */
  end(reason: "stopped" | "failed"): void {
    this.#life?.end(reason);
    this.#life = null;
  }

  /** Writes what is buffered. */
  async flush(): Promise<void> {
    while (this.#batches.length > 0 || this.#writing !== null) {
      this.#write();
      await this.#writing;
    }
  }

  async close(): Promise<void> {
    this.end("stopped");
    await this.flush();
    this.#closeFile();
  }

  /** For `status`. */
  counters(): (readonly [string, number])[] {
    const life = this.#life;
    return [
      ["recorded bytes", life?.written ?? 0],
      ["recorded steps", life?.node.recordedSteps ?? 0],
      ["recording", life?.running === true ? 1 : 0],
    ];
  }

  /** The key generations that its parts are encrypted with, in rising order; 0: one is not. */
  get generations(): number[] {
    return [...new Set(this.#stored.flatMap(({ generations }) => [...generations]))].sort((a, b) => a - b);
  }

  /** Removes the lives that ended and need one of `generations`, which are to be forgotten: nobody could replay them. */
  async drop(generations: readonly number[]): Promise<void> {
    await this.flush();
    const running = this.#file === null ? undefined : this.#stored.at(-1);
    for (const stored of this.#stored.slice()) {
      if (stored === running || !generations.some((each) => stored.generations.has(each))) continue;
      for (const path of stored.paths) await Deno.remove(path);
      this.#stored.splice(this.#stored.indexOf(stored), 1);
    }
  }

  // ---- for lives

  get bytesMax(): number {
    return this.#options.bytesMax;
  }
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }
  warn(message: string): void {
    this.#options.warn(message);
  }

  push(life: Life, item: Uint8Array): void {
    let batch = this.#batches.at(-1);
    if (batch === undefined || batch.life !== life || batch.bytes >= FRAME_BYTES_MAX) {
      batch = { life, items: [], bytes: 0 };
      this.#batches.push(batch);
    }
    batch.items.push(item);
    batch.bytes += item.length;
    this.#bufferedBytes += item.length;
    if (this.#writing !== null) return;
    if (batch.bytes >= FRAME_BYTES) this.#write();
    else this.#timer ??= setTimeout(() => this.#write(), FRAME_MS);
  }

  // ---- writing

  #write(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#writing !== null || this.#batches.length === 0) return;
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = null;
      if (this.#batches.length > 0) this.#timer ??= setTimeout(() => this.#write(), FRAME_MS);
    });
  }

  async #writeAll(): Promise<void> {
    for (let batch; (batch = this.#batches.shift()) !== undefined;) {
      try {
        if (!batch.life.lost) await this.#writeBatch(batch);
      } catch (error) {
        batch.life.fail(error);
      }
      this.#bufferedBytes -= batch.bytes;
      // A frame that is still filling up waits for more.
      if (this.#batches.length === 1 && this.#batches[0]!.bytes < FRAME_BYTES) return;
    }
  }

  async #writeBatch({ life, items }: Batch): Promise<void> {
    const file = this.#fileFor(life);
    const bytes = encodeItemFrame(items, { ...file, number: file.frames++ });
    const stored = this.#stored.at(-1)!;
    await this.#makeRoom(stored, bytes.length);
    stored.bytes += bytes.length;
    file.bytes += bytes.length;
    life.written += bytes.length;
    for (let at = 0; at < bytes.length;) at += await file.handle.write(bytes.subarray(at));
  }

  /** W2 */
  async #makeRoom(running: Stored, bytes: number): Promise<void> {
    let total = bytes;
    for (const stored of this.#stored) total += stored.bytes;
    while (total > this.#options.bytesMax && this.#stored[0] !== running) {
      const oldest = this.#stored.shift()!;
      for (const path of oldest.paths) await Deno.remove(path);
      total -= oldest.bytes;
    }
  }

  /** The part that the next frame of `life` goes to. */
  #fileFor(life: Life) {
    const keys = this.#vault();
    const same = this.#file !== null && this.#file.life === life && this.#file.generation === keys.current;
    if (same && this.#file!.bytes < PART_BYTES) return this.#file!;
    this.#closeFile();
    const path = partPath(this.#options.file, this.#nextPart++);
    const drawn = crypto.getRandomValues(new Uint8Array(SALT_BYTES)), salt = readUint32(drawn, 0);
    const generation = keys.current, part = ++life.parts;
    const fields = {
      node: life.id,
      life: life.name,
      part,
      program: this.#options.program,
      salt,
      network: life.network,
      key: generation === 0 ? null : { generation, salt: drawn },
    };
    const header = encodePartHeader(fields), cipher = partCipher(keys, fields, drawnOpening());
    const handle = Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
    if (part === 1) this.#stored.push({ paths: [], generations: new Set(), bytes: 0 });
    const stored = this.#stored.at(-1)!;
    stored.paths.push(path);
    stored.generations.add(generation);
    stored.bytes += header.length;
    life.written += header.length;
    handle.writeSync(header);
    return this.#file = { life, handle, salt, generation, cipher, frames: 0, bytes: header.length };
  }

  #closeFile(): void {
    this.#file?.handle.close();
    this.#file = null;
  }
}

/** The recording of one life. */
class Life implements Tape {
  readonly name = crypto.getRandomValues(new Uint8Array(8)).toHex();
  readonly id: NodeId;
  readonly network: string;
  readonly node: RecordedNode;
  readonly #recorder: Recorder;
  #rows: RowsCopy | null;
  #rowsTimer: ReturnType<typeof setTimeout> | null = null;
  /** What the journal brought comes on top: it is there at once, and once. */
  #bufferBytesMax = BUFFER_BYTES_MAX;
  /** Parts begun, and bytes of them. */
  parts = 0;
  written = 0;
  running = true;
  /** The disk refused: what is still buffered cannot follow what was written. */
  lost = false;

  constructor(recorder: Recorder, node: NodeOptions, network: string) {
    this.#recorder = recorder;
    this.id = node.id;
    this.network = network;
    this.#rows = new RowsCopy(node.tables);
    for (const item of lifeItems({ node, network, wallMs: Date.now(), now: now() })) {
      this.#bufferBytesMax += item.length;
      this.take(item);
    }
    this.#copyRows(ROWS_BYTES_AT_ONCE);
    this.node = new RecordedNode(node, this);
  }

  take(item: Uint8Array): void {
    if (!this.running) return;
    const { bufferedBytes, bytesMax } = this.#recorder;
    // W1, W2
    if (bufferedBytes + item.length > this.#bufferBytesMax) this.#stop("overflow");
    else if (this.written + bufferedBytes + item.length + END_BYTES > bytesMax) this.#stop("full");
    else this.#recorder.push(this, item);
  }

  end(reason: "stopped" | "failed"): void {
    if (this.running && this.#rows === null) this.node.recordState();
    this.#stop(reason);
  }

  fail(error: unknown): void {
    if (!this.running) return;
    this.lost = true;
    this.#close();
    const why = error instanceof Error ? error.message : String(error);
    this.#recorder.warn(`The recording of this life ends: ${why}. The node goes on`);
  }

  #stop(reason: LifeEnd): void {
    if (!this.running) return;
    const whole = this.#rows === null;
    this.#close();
    this.#recorder.push(this, encodeItem({ kind: "end", reason, steps: this.node?.recordedSteps ?? 0 }));
    if (reason === "overflow") {
      this.#recorder.warn(
        "The recording of this life ends: it could not be written as fast as the node runs. The node goes on",
      );
    }
    if (reason === "full") {
      this.#recorder.warn(
        `The recording of this life ${whole ? "ends" : "cannot begin"}: it would take more than ` +
          `${this.#recorder.bytesMax} bytes. Allow more with --record-bytes`,
      );
    }
  }

  #close(): void {
    this.running = false;
    if (this.#rowsTimer !== null) clearTimeout(this.#rowsTimer);
    this.#rowsTimer = null;
    this.#rows?.close();
    this.#rows = null;
  }

  /** W3 */
  #copyRows(bytes: number): void {
    this.#rowsTimer = null;
    try {
      this.#copyRowsNow(bytes);
    } catch (error) {
      return this.fail(error);
    }
    if (this.running && this.#rows !== null) {
      this.#rowsTimer = setTimeout(() => this.#copyRows(ROWS_BYTES), ROWS_MS);
    }
  }

  #copyRowsNow(bytes: number): void {
    // A slow disk is waited for: there is no hurry.
    for (
      let left = bytes;
      left > 0 && this.#recorder.bufferedBytes < BUFFER_BYTES_MAX / 2;
      left -= ROWS_BYTES
    ) {
      const rows = this.#rows?.next(ROWS_BYTES);
      if (rows === undefined) return;
      if (rows.length > 0) this.take(encodeItem({ kind: "rows", rows }));
      else {
        this.take(encodeItem({ kind: "begun", rows: this.#rows!.count }));
        this.#rows?.close();
        this.#rows = null;
      }
    }
  }
}

/** All rows of the tables as they are now, a few at a time. */
class RowsCopy {
  readonly #snapshot: TablesSnapshot;
  readonly #rows: Iterator<Row>;
  count = 0;

  constructor(tables: Tables) {
    this.#snapshot = tables.snapshot();
    this.#rows = this.#snapshot.range({ start: null, end: null })[Symbol.iterator]();
  }

  /** The next rows, of about so many bytes; none at the end. */
  next(bytes: number): Row[] {
    const rows: Row[] = [];
    for (let filled = 0; filled < bytes;) {
      const { done, value } = this.#rows.next();
      if (done === true) break;
      rows.push(value);
      filled += value[0].length + value[1].length;
    }
    this.count += rows.length;
    return rows;
  }

  close(): void {
    this.#snapshot.close();
  }
}
