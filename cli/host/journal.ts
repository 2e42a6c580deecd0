/**
 * The journal on disk: segments named journal-00000001.log and so on (format and rules J1 to J9: core/wire/journal.ts).
 *
 * H1. One writer, in order. What arrives while a sync is under way forms the next batch (group commit).
 * H2. A write or sync that fails is never tried again: the pages may be gone though the next sync says all is well.
 *     The node stops, and recovery finds what is really there.
 * H3. A file is filled with zeros ahead of its end, so that a sync has no new length or blocks to record. Recovery
 *     takes the zeros for a torn end; a segment that is left is cut at its end before the next one begins (J2).
 * H4. Once nothing was added for a moment after a sync, a seal is written behind what is durable (J8), never a second
 *     behind the first.
 * H5. A checkpoint's segment is begun beside the steps: the old one is synced and the head written and synced through
 *     the pool, a piece at a time. What is added meanwhile waits, and follows the head.
 * H6. What one write brings is one record of the journal, or a few large ones: a checksum, and a tag where it is
 *     encrypted, cost less a byte than a call. A record gets its sequence when its batch is closed.
 * H7. A segment is encrypted with the vault's current generation of the moment it is created. After another generation
 *     became current, the next checkpoint leaves none but that one behind (generations).
 *
 * A sync of a small batch blocks the loop as long as the disk is quick: the way to a thread and back costs more than
 * the sync. Measured on a virtual disk, 400 bytes, median: 0.08 ms blocking into filled blocks, 0.12 ms blocking where
 * the file grows, 0.12 and 0.19 ms through the thread pool. A slow disk or a large batch goes to the pool.
 */
import type { NodeId } from "../../core/base/ids.ts";
import { OPEN_VAULT, type Vault } from "../../core/base/vault.ts";
import {
  encodeBatch,
  encodeMark,
  encodeRecord,
  encodeSeal,
  type RecordsOptions,
  SEGMENT_HEADER_BYTES,
} from "../../core/wire/journal.ts";
import type { JournalRecord, Recovered } from "../../core/wire/kernel.ts";
import { type OpenedJournal, openJournal } from "./journal_opening.ts";
import {
  createSegment,
  type JournalFileSystem,
  JournalWriteError,
  REAL_FILES,
  type Segment,
  segmentNumbers,
  segmentPath,
  writeAll,
} from "./journal_segments.ts";

const FILL_BYTES = 512 * 1024;
/** A batch is closed before it grows past this, unless by its first record. */
const BATCH_BYTES_MAX = 256 * 1024;
/** A head is encoded, written and synced in pieces of about this size. */
const HEAD_PIECE_BYTES = 256 * 1024;
const BLOCKING_BYTES_MAX = 512 * 1024;
const BLOCKING_MS_MAX = 1;
/** After this many syncs through the pool a blocking one is tried again. */
const RETRY_BLOCKING_EVERY = 256;
const SEAL_AFTER_MS = 5;
const ZEROS = new Uint8Array(FILL_BYTES);

export interface JournalEvents {
  /** Every record up to and with this number of the node's count is durable. */
  durable(upTo: number): void;
  /** It is written no more; told once. */
  failed(error: JournalWriteError): void;
}

export interface JournalOptions {
  readonly directory: string;
  readonly node: NodeId;
  readonly events: JournalEvents;
  /** The keys as they are now, asked whenever a segment begins; none: nothing is encrypted. */
  readonly vault?: () => Vault;
  readonly files?: JournalFileSystem;
}

export class JournalFiles {
  readonly #files: JournalFileSystem;
  readonly #directory: string;
  readonly #node: NodeId;
  readonly #events: JournalEvents;
  readonly #vault: () => Vault;
  #segment: Segment;
  /** Of the segments that exist, by their numbers. */
  readonly #generations: Map<number, number>;
  /** Where the next byte goes, and up to where the file is filled with zeros. */
  #offset: number;
  #filledTo: number;
  /** The last record of a closed batch, in the journal's own count, and the last added in the node's; and the last durable. */
  #sequence: number;
  #upTo = 0;
  #durableSequence: number;
  #durableUpTo = 0;
  /** Payloads of the batch that is not closed (H6). */
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  /** Closed, and not written. */
  #buffered: Uint8Array[] = [];
  #bufferedBytes = 0;
  /** Written and not synced. */
  #dirtyBytes = 0;
  /** What the pool's sync under way makes durable; null: none is. */
  #syncing: { sequence: number; upTo: number } | null = null;
  #syncMs = 0.1;
  #poolSyncs = 0;
  #failed = false;
  #whenIdle: (() => void)[] = [];
  /** Calls waiting for a sequence to be durable, in order. */
  #waiting: { readonly sequence: number; readonly done: () => void }[] = [];
  #headRecords = 0;
  /** What was added since rotate() and follows the head; null: the head is written (H5). */
  #behind: { readonly records: readonly JournalRecord[]; readonly upTo: number }[] | null = null;
  #rotated: Promise<void> = Promise.resolve();
  /** The sequence of the last seal, and the timer that may write the next. */
  #sealed: number;
  #sealTimer: ReturnType<typeof setTimeout> | null = null;
  #sealTimerFor = 0;

  private constructor(
    { directory, node, events, vault = () => OPEN_VAULT, files = REAL_FILES }: JournalOptions,
    opened: OpenedJournal,
  ) {
    this.#files = files;
    this.#directory = directory;
    this.#node = node;
    this.#events = events;
    this.#vault = vault;
    this.#sequence = this.#durableSequence = opened.sequence;
    this.#segment = opened.segment;
    this.#generations = new Map([...opened.generations, [opened.segment.number, opened.segment.generation]]);
    this.#offset = this.#filledTo = opened.offset;
    this.#sealed = opened.sealed ? opened.sequence : 0;
    this.#armSeal();
  }

  /**
   * Opens the journal in `directory`, cutting a torn end and writing again what nothing proves to be on the disk.
   * `recovered` is null where there was none. A journal of an older version goes on in a new segment.
   * @throws {JournalError} when it is damaged, another node's, of another version, or encrypted with a key that is not there
   * @throws {JournalWriteError}
   */
  static open(options: JournalOptions): { journal: JournalFiles; recovered: Recovered | null } {
    const { directory, node, files = REAL_FILES, vault } = options;
    const opened = openJournal(files, { directory, node, vault: vault?.() ?? OPEN_VAULT });
    return { journal: new JournalFiles(options, opened), recovered: opened.recovered };
  }

  /** Bytes of the segment that is written now. */
  get segmentBytes(): number {
    return this.#offset;
  }

  /** The key generations that its files are encrypted with, in rising order; 0: a file is not. */
  get generations(): number[] {
    return [...new Set(this.#generations.values())].sort((a, b) => a - b);
  }

  /** Adds records; `upTo` is the node's number of the last of them. Durable only after commit(). */
  append(records: readonly JournalRecord[], upTo: number): void {
    if (this.#behind !== null) {
      this.#behind.push({ records: records.slice(), upTo });
      return;
    }
    for (const record of records) this.#add(encodeRecord(record), {});
    this.#upTo = upTo;
  }

  /** Begins to make all that was added durable; events.durable() follows, perhaps before this returns. */
  commit(): void {
    if (this.#syncing !== null || this.#behind !== null || this.#failed) return;
    if (this.#batchBytes + this.#bufferedBytes + this.#dirtyBytes === 0) return;
    try {
      this.#write();
      if (this.#mayBlock()) this.#syncBlocking();
      else void this.#syncPooled();
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Begins a new segment with `head` (J2). All that was added before goes into the old one, all that is added from
   * now on follows the head. Resolves when the head is durable.
   */
  rotate(head: readonly JournalRecord[]): Promise<void> {
    if (this.#failed) return Promise.resolve();
    this.#behind = [];
    return this.#rotated = this.#beginSegment(head).catch((error) => this.#fail(error));
  }

  async #beginSegment(head: readonly JournalRecord[]): Promise<void> {
    await this.#idle();
    if (this.#failed) return;
    this.#write();
    const old = this.#segment.file;
    old.truncateSync(this.#offset);
    await this.#syncPooled();
    if (this.#failed) return;
    this.#segment = createSegment(this.#files, this.#directory, {
      node: this.#node,
      vault: this.#vault(),
      number: this.#segment.number + 1,
      firstSequence: this.#sequence + 1,
    });
    this.#generations.set(this.#segment.number, this.#segment.generation);
    old.close();
    this.#offset = this.#filledTo = SEGMENT_HEADER_BYTES;
    this.#headRecords = head.length;
    for (let next = 0; next < head.length;) {
      while (next < head.length && this.#bufferedBytes + this.#batchBytes < HEAD_PIECE_BYTES) {
        this.#add(encodeRecord(head[next++]!), { head: true });
      }
      this.#closeBatch({ head: true });
      this.#write();
      await this.#syncPooled();
      if (this.#failed) return;
    }
    const behind = this.#behind!;
    this.#behind = null;
    for (const { records, upTo } of behind) this.append(records, upTo);
    this.commit();
  }

  /** Makes the last rotate()'s checkpoint count, and removes older segments once that is durable (J3, J4). */
  async finishCheckpoint(): Promise<void> {
    const number = this.#segment.number;
    this.#closeBatch({});
    this.#buffer(encodeMark(this.#headRecords, this.#place()));
    await this.#durable(this.#sequence);
    if (this.#failed) return;
    try {
      for (const old of segmentNumbers(this.#files.list(this.#directory))) {
        if (old >= number) continue;
        this.#files.remove(segmentPath(this.#directory, old));
        this.#generations.delete(old);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Waits for what is under way, seals, cuts the zeros and closes. */
  async close(): Promise<void> {
    await this.#rotated;
    // What was added during one sync is synced by the next.
    for (this.commit(); this.#syncing !== null; this.commit()) await this.#idle();
    if (this.#sealTimer !== null) clearTimeout(this.#sealTimer);
    this.#seal();
    try {
      if (!this.#failed) this.#segment.file.truncateSync(this.#offset);
    } finally {
      this.#segment.file.close();
    }
  }

  /** One timer for any number of syncs; it is set again where records came meanwhile. */
  #armSeal(): void {
    if (this.#sealTimer !== null || this.#sealed === this.#sequence) return;
    this.#sealTimerFor = this.#sequence;
    this.#sealTimer = setTimeout(() => {
      this.#sealTimer = null;
      if (this.#sealTimerFor === this.#sequence) this.#seal();
      else if (this.#isDurable) this.#armSeal();
    }, SEAL_AFTER_MS);
    Deno.unrefTimer(this.#sealTimer);
  }

  /** Behind what is durable to its end only: otherwise the next sync sees to it. */
  #seal(): void {
    if (this.#failed || this.#behind !== null || !this.#isDurable || this.#sealed === this.#sequence) return;
    if (this.#offset === SEGMENT_HEADER_BYTES) return;
    try {
      this.#buffer(encodeSeal(this.#place()));
      this.#write();
      this.#dirtyBytes = 0;
      this.#sealed = this.#sequence;
    } catch (error) {
      this.#fail(error);
    }
  }

  get #isDurable(): boolean {
    return this.#durableSequence === this.#sequence && this.#batchBytes === 0 && this.#syncing === null;
  }

  /** Of the next record. */
  #place(): RecordsOptions {
    return {
      firstSequence: this.#sequence + 1,
      durableUpTo: this.#durableSequence,
      salt: this.#segment.salt,
      cipher: this.#segment.cipher,
    };
  }

  /** Adds a payload to the batch. */
  #add(payload: Uint8Array, part: { head?: boolean }): void {
    if (this.#batchBytes > 0 && this.#batchBytes + payload.length > BATCH_BYTES_MAX) this.#closeBatch(part);
    this.#batch.push(payload);
    this.#batchBytes += payload.length;
  }

  #closeBatch(part: { head?: boolean }): void {
    if (this.#batch.length === 0) return;
    this.#buffer(encodeBatch(this.#batch, { ...this.#place(), ...part }));
    this.#batch = [];
    this.#batchBytes = 0;
  }

  /** One record of the journal. */
  #buffer(bytes: Uint8Array): void {
    this.#buffered.push(bytes);
    this.#bufferedBytes += bytes.length;
    this.#sequence++;
  }

  #write(): void {
    this.#closeBatch({});
    const buffered = this.#buffered;
    const bytes = buffered.length === 1 ? buffered[0]! : concatenate(buffered, this.#bufferedBytes);
    this.#buffered = [];
    this.#bufferedBytes = 0;
    const { file } = this.#segment;
    writeAll(file, bytes);
    this.#offset += bytes.length;
    this.#dirtyBytes += bytes.length;
    if (this.#offset > this.#filledTo) {
      // The write went past the zeros: fill the next stretch, and go back to where records go on.
      writeAll(file, ZEROS);
      this.#filledTo = this.#offset + FILL_BYTES;
      file.seekSync(this.#offset, Deno.SeekMode.Start);
    }
  }

  #mayBlock(): boolean {
    if (this.#dirtyBytes > BLOCKING_BYTES_MAX) return false;
    return this.#syncMs <= BLOCKING_MS_MAX || ++this.#poolSyncs % RETRY_BLOCKING_EVERY === 0;
  }

  #syncBlocking(): void {
    const began = performance.now();
    this.#dirtyBytes = 0;
    this.#segment.file.syncDataSync();
    this.#timed(performance.now() - began);
    this.#synced(this.#sequence, this.#upTo);
  }

  /** Resolves when it has succeeded or failed. */
  #syncPooled(): Promise<void> {
    this.#syncing = { sequence: this.#sequence, upTo: this.#upTo };
    const small = this.#dirtyBytes <= BLOCKING_BYTES_MAX;
    const began = performance.now();
    this.#dirtyBytes = 0;
    return this.#segment.file.syncData().then(() => {
      const { sequence, upTo } = this.#syncing!;
      this.#syncing = null;
      if (small) this.#timed(performance.now() - began);
      if (!this.#failed) this.#synced(sequence, upTo);
      for (const idle of this.#whenIdle.splice(0)) idle();
      this.commit();
    }, (error) => {
      this.#syncing = null;
      for (const idle of this.#whenIdle.splice(0)) idle();
      this.#fail(error);
    });
  }

  /** Follows the median, which a single slow sync moves no more than any other. */
  #timed(ms: number): void {
    this.#syncMs *= ms > this.#syncMs ? 1.1 : 1 / 1.1;
  }

  #synced(sequence: number, upTo: number): void {
    if (sequence <= this.#durableSequence) return;
    this.#durableSequence = sequence;
    if (sequence === this.#sequence) this.#armSeal();
    while (this.#waiting.length > 0 && this.#waiting[0]!.sequence <= sequence) this.#waiting.shift()!.done();
    if (upTo > this.#durableUpTo) {
      this.#durableUpTo = upTo;
      this.#events.durable(upTo);
    }
  }

  #idle(): Promise<void> {
    if (this.#syncing === null) return Promise.resolve();
    return new Promise((done) => this.#whenIdle.push(done));
  }

  #durable(sequence: number): Promise<void> {
    if (this.#failed) return Promise.resolve();
    return new Promise((done) => {
      this.#waiting.push({ sequence, done });
      this.commit();
    });
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    const path = segmentPath(this.#directory, this.#segment.number);
    this.#events.failed(error instanceof JournalWriteError ? error : new JournalWriteError(path, error));
    for (const { done } of this.#waiting.splice(0)) done();
  }
}

function concatenate(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
