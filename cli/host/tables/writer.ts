/// <reference lib="deno.worker" />
/**
 * The thread that writes the tables' files and merges them, so that neither holds up the loop that steps the node.
 * Entry of a worker; speaks only to tables.ts.
 *
 * Merging is done in pieces: between two of them whatever was asked meanwhile is done first.
 */
import { TablesCorruptError } from "../../../core/tables/errors.ts";
import type { Manifest } from "../../../core/tables/manifest.ts";
import { DEFAULT_SHAPE } from "../../../core/tables/plan.ts";
import { StoreWriter } from "../../../core/tables/store.ts";
import { type Change, Version } from "../../../core/tables/version.ts";
import { DiskFiles } from "./files.ts";
import { type TablesKeys, vaultOf } from "./keys.ts";

export type ToWriter =
  /** `manifest`: as openStore() read it. */
  | { readonly kind: "open"; readonly path: string; readonly keys: TablesKeys; readonly manifest: Manifest }
  /** `durable`: answer only when the batch, and with it all before it, would survive a loss of power. */
  | { readonly kind: "flush"; readonly packed: Uint8Array<ArrayBuffer>; readonly durable: boolean }
  | { readonly kind: "release"; readonly numbers: readonly number[] }
  | { readonly kind: "rotate"; readonly keys: TablesKeys }
  /** `persist`: what was flushed becomes durable. */
  | { readonly kind: "close"; readonly persist: boolean };

export type FromWriter =
  | { readonly kind: "flushed"; readonly change: Change; readonly generations: readonly number[] }
  | { readonly kind: "changed"; readonly change: Change; readonly generations: readonly number[] }
  | { readonly kind: "closed" }
  | {
    readonly kind: "failed";
    readonly message: string;
    /** What is there cannot be read. */
    readonly corrupt: { readonly file: string; readonly what: string } | null;
  };

const PIECE_BYTES = 256 * 1024;
/** Files are written again for another key at up to so many bytes in a millisecond: 8 MiB/s. */
const REWRITE_BYTES_PER_MS = 8 * 1024;
/** With so many files in level 0 the next waits until some are merged: reads look into each. */
const LEVEL0_FILES_MAX = 12;

const NOTHING: Change = { added: [], removed: [] };

let writer: StoreWriter | null = null;
let timer: ReturnType<typeof setTimeout> | null = null;

function answer(message: ToWriter): void {
  switch (message.kind) {
    case "open": {
      const { path, keys, manifest } = message;
      const state = { manifest, version: new Version(manifest.files) };
      writer = new StoreWriter({
        files: new DiskFiles(path),
        vault: vaultOf(keys),
        state,
        shape: DEFAULT_SHAPE,
      });
      return;
    }
    case "flush":
      return flush(message.packed, message.durable);
    case "release":
      writer!.release(message.numbers);
      return tell({ kind: "changed", change: NOTHING, generations: writer!.generations() });
    case "rotate":
      writer!.rotate(vaultOf(message.keys));
      writer!.persist();
      return tell({ kind: "changed", change: NOTHING, generations: writer!.generations() });
    case "close":
      return close(message.persist);
  }
}

function flush(packed: Uint8Array, durable: boolean): void {
  while (writer!.backlog >= LEVEL0_FILES_MAX && writer!.work === "merge") step();
  const change = packed.length === 0 ? NOTHING : writer!.flush(packed);
  if (durable) writer!.persist();
  tell({ kind: "flushed", change, generations: writer!.generations() });
}

function step(): void {
  const change = writer!.step(PIECE_BYTES);
  if (change !== null) tell({ kind: "changed", change, generations: writer!.generations() });
}

function close(persist: boolean): void {
  if (timer !== null) clearTimeout(timer);
  const closing = writer;
  writer = null;
  try {
    if (persist) closing?.persist();
    closing?.close();
  } catch (error) {
    // Who abandons the tables has been told of what failed before.
    if (persist) failed(error);
  }
  tell({ kind: "closed" });
}

function failed(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const corrupt = error instanceof TablesCorruptError ? { file: error.file, what: error.what } : null;
  tell({ kind: "failed", message, corrupt });
}

function tell(message: FromWriter): void {
  self.postMessage(message);
}

/** The next piece of what there is to do beside flushing, after what is asked until then. */
function plan(): void {
  if (timer !== null || writer === null || writer.work === null) return;
  const pause = writer.work === "rewrite" ? Math.ceil(PIECE_BYTES / REWRITE_BYTES_PER_MS) : 0;
  timer = setTimeout(() => {
    timer = null;
    guarded(step);
  }, pause);
}

/** After a failure nothing is written any more (S6); whoever asks still gets an answer. */
function guarded(act: () => void): void {
  try {
    act();
    plan();
  } catch (error) {
    writer?.close();
    writer = null;
    failed(error);
  }
}

self.onmessage = ({ data }: MessageEvent<ToWriter>) => {
  if (writer === null && data.kind !== "open" && data.kind !== "close") return;
  guarded(() => answer(data));
};
