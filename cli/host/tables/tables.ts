import type { KeyRange, Row, Tables, TablesSnapshot } from "../../../core/base/ports.ts";
import { invariant, unreachable } from "../../../core/base/invariant.ts";
import { packLayers } from "./batch.ts";
import { createDatabase, Reader, type TablesOwner } from "./database.ts";
import { getLayered, Layer, rangeLayered } from "./layer.ts";
import type { FromWriter, ToWriter } from "./writer.ts";

/** A layer of about this size is handed to the writer. */
const LAYER_BYTES_MAX = 2 * 1024 * 1024;
const LAYER_ROWS_MAX = 8192;
const READERS_KEPT = 2;

interface Frozen {
  readonly layer: Layer;
  /** The journal record that must be durable before the layer may be committed; null until its step ends. */
  mark: number | null;
}

/**
 * The tables of one node: an SQLite database, and on top of it, in memory, the layers of writes that its writer thread
 * has not committed yet.
 *
 * 1. A commit holds whole steps only: layers of one step share a mark and go together.
 * 2. Nothing is committed before every journal record of the steps that wrote it is durable.
 * 3. A layer stays readable until the writer has said that it is committed.
 * 4. A snapshot is a connection that holds its view, and the layers over it at that moment. Layers that the view
 *    already contains change nothing: writing a row or deleting a span twice is the same as once.
 */
export class SqliteTables implements Tables {
  readonly #path: string;
  readonly #base: Reader;
  readonly #spare: Reader[] = [];
  readonly #writer: Worker;
  readonly #failed: (message: string) => void;
  #active = new Layer();
  #frozen: Frozen[] = [];
  /** All layers, oldest first, the active one last: frozen and active. Rebuilt when either changes. */
  #layers: readonly Layer[] = [this.#active];
  /** How many of `#frozen` the writer is at. */
  #flushing = 0;
  #flushingCheckpoint = false;
  #durable = 0;
  /** Of the last step that ended. */
  #mark = 0;
  #checkpoint: { readonly mark: number; readonly done: () => void } | null = null;
  #closed: (() => void) | null = null;
  #abandoned = false;
  /** Its thread ended by itself. */
  #writerDead = false;

  /**
   * Opens the database at `path`, making it where missing. `failed` is told once when it cannot be written any more.
   * @throws what createDatabase() does; where `owner` is null, whose tables they are is not looked at
   */
  constructor(path: string, failed: (message: string) => void, owner: TablesOwner | null = null) {
    createDatabase(path, owner);
    this.#path = path;
    this.#failed = failed;
    this.#base = new Reader(path);
    this.#writer = new Worker(new URL(writerFile(import.meta.url), import.meta.url), { type: "module" });
    this.#writer.onmessage = (event: MessageEvent<FromWriter>) => this.#heard(event.data);
    this.#writer.onerror = (event) => {
      event.preventDefault();
      this.#writerDead = true;
      this.#fail(event.message);
      this.#closed?.();
    };
    this.#tell({ kind: "open", path });
  }

  get(key: Uint8Array): Uint8Array | null {
    return getLayered(this.#base, this.#layers, key);
  }

  range(range: KeyRange): Iterable<Row> {
    return rangeLayered(this.#base, this.#layers, range);
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#active.write(key, value);
  }

  delete(key: Uint8Array): void {
    this.#active.write(key, null);
  }

  deleteRange(span: { readonly start: Uint8Array; readonly end: Uint8Array }): void {
    this.#active.deleteRange(span);
  }

  snapshot(): TablesSnapshot {
    this.#freeze(null);
    const reader = this.#spare.pop() ?? new Reader(this.#path);
    reader.hold();
    const layers = this.#frozen.map((frozen) => frozen.layer);
    let open = true;
    return {
      get: (key) => getLayered(reader, layers, key),
      range: (range) => rangeLayered(reader, layers, range),
      close: () => {
        if (!open) return;
        open = false;
        reader.release();
        if (this.#spare.length < READERS_KEPT) this.#spare.push(reader);
        else reader.close();
      },
    };
  }

  /** The end of a step. `mark`: the last journal record that the node has asked for so far. */
  endStep(mark: number): void {
    this.#mark = mark;
    let unmarked = false;
    for (let i = this.#frozen.length - 1; i >= 0 && this.#frozen[i]!.mark === null; i--) {
      this.#frozen[i]!.mark = mark;
      unmarked = true;
    }
    if (unmarked || this.#active.bytes >= LAYER_BYTES_MAX || this.#active.rows.size >= LAYER_ROWS_MAX) {
      this.#freeze(mark);
      this.#flush();
    }
  }

  /** The journal is durable up to and with the record of this number. */
  durable(upTo: number): void {
    this.#durable = upTo;
    if (this.#frozen.length > 0 || this.#checkpoint !== null) this.#flush();
  }

  /** Resolves when everything up to the step that just ended, with this mark, would survive a loss of power. */
  checkpoint(mark: number): Promise<void> {
    invariant(this.#checkpoint === null, "One checkpoint of the tables at a time");
    this.#freeze(mark);
    return new Promise((done) => {
      this.#checkpoint = { mark, done };
      this.#flush();
    });
  }

  /** Commits what may be committed and closes the database. No other call may follow. */
  async close(): Promise<void> {
    this.#freeze(this.#mark);
    await new Promise<void>((closed) => {
      this.#closed = closed;
      this.#flush();
    });
    this.#writer.terminate();
    for (const reader of this.#spare) reader.close();
    this.#base.close();
  }

  /**
   * Ends as a crash would: nothing more is committed than the batch that the writer is at. Resolves when it is done with
   * that, however long a bad disk takes: a commit must not come to the files under whoever opens them next.
   */
  async abandon(): Promise<void> {
    this.#abandoned = true;
    if (!this.#writerDead) {
      await new Promise<void>((closed) => {
        this.#closed = closed;
        this.#tell({ kind: "close" });
      });
    }
    this.#writer.terminate();
    for (const reader of this.#spare) reader.close();
    this.#base.close();
  }

  #freeze(mark: number | null): void {
    if (this.#active.empty) return;
    this.#frozen.push({ layer: this.#active, mark });
    this.#active = new Layer();
    this.#relayer();
  }

  #relayer(): void {
    this.#layers = [...this.#frozen.map((frozen) => frozen.layer), this.#active];
  }

  #flush(): void {
    if (this.#flushing > 0 || this.#flushingCheckpoint || this.#abandoned) return;
    let ready = 0;
    while (ready < this.#frozen.length) {
      const mark = this.#frozen[ready]!.mark;
      if (mark === null || mark > this.#durable) break;
      ready++;
    }
    const due = this.#checkpoint !== null && this.#checkpoint.mark <= this.#durable;
    if (ready > 0 || due) {
      this.#flushing = ready;
      this.#flushingCheckpoint = due;
      const packed = packLayers(this.#frozen.slice(0, ready).map((frozen) => frozen.layer));
      this.#tell({ kind: "flush", packed, durable: due }, [packed.buffer]);
    } else if (this.#closed !== null) {
      this.#tell({ kind: "close" });
    }
  }

  #heard(message: FromWriter): void {
    switch (message.kind) {
      case "flushed": {
        this.#frozen.splice(0, this.#flushing);
        this.#flushing = 0;
        this.#relayer();
        if (this.#flushingCheckpoint) {
          this.#flushingCheckpoint = false;
          const { done } = this.#checkpoint!;
          this.#checkpoint = null;
          done();
        }
        return this.#flush();
      }
      case "closed":
        return this.#closed?.();
      case "failed":
        return this.#fail(message.message);
      default:
        unreachable(message);
    }
  }

  #fail(message: string): void {
    this.#failed(`Cannot write "${this.#path}": ${message}`);
    if (!this.#abandoned) this.#closed?.();
  }

  #tell(message: ToWriter, transfer: Transferable[] = []): void {
    this.#writer.postMessage(message, transfer);
  }
}

/** Beside this file; a bundle holds it as a script of its own. */
function writerFile(self: string): string {
  return self.endsWith(".ts") ? "./writer.ts" : "./tables-writer.js";
}
