/**
 * The port Tables: layers of writes in memory on top of the files that a writer made of earlier ones.
 *
 * L1. The writer is given whole steps only: layers of one step share a mark and go together.
 * L2. It is given nothing before every journal record of the steps that wrote it is durable.
 * L3. A layer stays readable until the writer has said that it is in a file.
 * L4. A snapshot is a version, whose files stay as long as it is open, and the layers over it at that moment.
 */
import type { KeyRange, Row, Tables, TablesSnapshot } from "../base/ports.ts";
import { invariant } from "../base/invariant.ts";
import { packLayers } from "./batch.ts";
import { getLayered, Layer, rangeLayered } from "./layer.ts";
import type { Readers } from "./readers.ts";
import type { Span } from "./span.ts";
import type { Change, Version } from "./version.ts";
import { View } from "./view.ts";

/** The writing half (store.ts), near or on another thread. */
export interface LayerWriter {
  /** To be answered with flushed(), once. `durable`: only when that and all before would survive a loss of power. */
  flush(packed: Uint8Array<ArrayBuffer>, durable: boolean): void;
  /** These files are read no more. */
  release(numbers: readonly number[]): void;
}

export interface LayeredTablesOptions {
  readonly readers: Readers;
  readonly version: Version;
  readonly writer: LayerWriter;
  /** A layer past either is handed to the writer. */
  readonly layerBytesMax: number;
  readonly layerRowsMax: number;
}

interface Frozen {
  readonly layer: Layer;
  /** The journal record that must be durable before the layer may be written; null until its step ends. */
  mark: number | null;
}

export class LayeredTables implements Tables {
  readonly #options: LayeredTablesOptions;
  #view: View;
  #active = new Layer();
  #frozen: Frozen[] = [];
  /** All layers, oldest first, the active one last: frozen and active. Rebuilt when either changes. */
  #layers: readonly Layer[] = [this.#active];
  /** How many of `#frozen` the writer is at; null: it rests. */
  #flushing: number | null = null;
  #flushingCheckpoint = false;
  #durable = 0;
  /** Of the last step that ended. */
  #mark = 0;
  #checkpoint: { readonly mark: number; readonly done: () => void } | null = null;
  #drained: (() => void) | null = null;
  #stopped = false;
  /** Versions of open snapshots, and files that are no longer live but may be read by them. */
  readonly #held = new Set<View>();
  readonly #leaving = new Set<number>();

  constructor(options: LayeredTablesOptions) {
    this.#options = options;
    this.#view = new View(options.readers, options.version);
  }

  get version(): Version {
    return this.#view.version;
  }

  get(key: Uint8Array): Uint8Array | null {
    return getLayered(this.#view, this.#layers, key);
  }

  range(range: KeyRange): Iterable<Row> {
    return rangeLayered(this.#view, this.#layers, range);
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#active.write(key, value);
  }

  delete(key: Uint8Array): void {
    this.#active.write(key, null);
  }

  deleteRange(span: Span): void {
    this.#active.deleteRange(span);
  }

  snapshot(): TablesSnapshot {
    this.#freeze(null);
    // A view of its own for each: two snapshots of one version end on their own.
    const view = new View(this.#options.readers, this.#view.version);
    const layers = this.#frozen.map((frozen) => frozen.layer);
    this.#held.add(view);
    const open = () => {
      if (!this.#held.has(view)) {
        throw new TypeError("The snapshot of the tables is closed; take another one");
      }
    };
    return {
      get: (key) => (open(), getLayered(view, layers, key)),
      range: (range) => (open(), rangeLayered(view, layers, range)),
      close: () => {
        if (this.#held.delete(view)) this.#release();
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
    const { layerBytesMax, layerRowsMax } = this.#options;
    if (unmarked || this.#active.bytes >= layerBytesMax || this.#active.rows.size >= layerRowsMax) {
      this.#freeze(mark);
      this.#flush();
    }
  }

  /** The journal is durable up to and with the record of this number. */
  durable(upTo: number): void {
    this.#durable = upTo;
    if (this.#frozen.length > 0 || this.#checkpoint !== null) this.#flush();
  }

  /** Calls `done` when everything up to the step that just ended, with this mark, would survive a loss of power. */
  checkpoint(mark: number, done: () => void): void {
    invariant(this.#checkpoint === null, "One checkpoint of the tables at a time");
    this.#freeze(mark);
    this.#checkpoint = { mark, done };
    this.#flush();
  }

  /** Calls `done` when all that may be is in files. Nothing is written after this call. */
  drain(done: () => void): void {
    this.#freeze(this.#mark);
    this.#drained = done;
    this.#flush();
  }

  /** The writer is given nothing more. */
  stop(): void {
    this.#stopped = true;
  }

  /** The writer's answer to flush(). */
  flushed(change: Change): void {
    invariant(this.#flushing !== null, "L3: the writer answers once");
    this.#frozen.splice(0, this.#flushing);
    this.#flushing = null;
    this.#relayer();
    this.changed(change);
    if (this.#flushingCheckpoint) {
      this.#flushingCheckpoint = false;
      const { done } = this.#checkpoint!;
      this.#checkpoint = null;
      done();
    }
    this.#flush();
  }

  /** The writer has put files in the place of others. */
  changed(change: Change): void {
    if (change.added.length === 0 && change.removed.length === 0) return;
    this.#view = new View(this.#options.readers, this.#view.version.with(change));
    for (const number of change.removed) {
      // One that only moved to another level is live as before.
      if (!this.#view.version.has(number)) this.#leaving.add(number);
    }
    this.#release();
  }

  #release(): void {
    if (this.#leaving.size === 0) return;
    const free = [...this.#leaving].filter((number) =>
      ![...this.#held].some(({ version }) => version.has(number))
    );
    if (free.length === 0) return;
    for (const number of free) this.#leaving.delete(number);
    this.#options.readers.forget(free);
    if (!this.#stopped) this.#options.writer.release(free);
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
    if (this.#flushing !== null || this.#stopped) return;
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
      this.#options.writer.flush(packed, due);
    } else if (this.#drained !== null) {
      const done = this.#drained;
      this.#drained = null;
      this.#stopped = true;
      done();
    }
  }
}
