/// <reference lib="deno.worker" />
/**
 * The thread that writes the tables' database, so that commits, syncs and checkpoints of its write-ahead log never
 * hold up the loop that steps the node. Entry of a worker; speaks only to tables.ts.
 */
import { DatabaseSync } from "node:sqlite";
import { DELETE, DELETE_SPAN, unpackLayers, WRITE } from "./batch.ts";
import { configure, rowChecksum } from "./database.ts";

export type ToWriter =
  | { readonly kind: "open"; readonly path: string }
  /** `durable`: answer only when the batch, and with it all before it, would survive a loss of power. */
  | { readonly kind: "flush"; readonly packed: Uint8Array<ArrayBuffer>; readonly durable: boolean }
  | { readonly kind: "close" };

export type FromWriter =
  | { readonly kind: "flushed" }
  | { readonly kind: "closed" }
  | { readonly kind: "failed"; readonly message: string };

/** The write-ahead log is copied into the database when it has grown past this. */
const LOG_BYTES_MAX = 16 * 1024 * 1024;

class Writer {
  readonly #database: DatabaseSync;
  readonly #log: Deno.FsFile;
  readonly #write;
  readonly #delete;
  readonly #deleteSpan;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    configure(this.#database);
    this.#write = this.#database.prepare(
      "INSERT INTO rows (key, value, checksum) VALUES (?, ?, ?) ON CONFLICT (key) " +
        "DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
    );
    this.#delete = this.#database.prepare("DELETE FROM rows WHERE key = ?");
    this.#deleteSpan = this.#database.prepare("DELETE FROM rows WHERE key >= ? AND key < ?");
    this.#database.exec("BEGIN IMMEDIATE; COMMIT");
    this.#log = Deno.openSync(`${path}-wal`, { read: true, write: true });
  }

  flush(packed: Uint8Array, durable: boolean): void {
    this.#database.exec("BEGIN IMMEDIATE");
    unpackLayers(packed, (kind, key, value) => {
      if (kind === WRITE) this.#write.run(key, value, rowChecksum(key, value));
      else if (kind === DELETE) this.#delete.run(key);
      else if (kind === DELETE_SPAN) this.#deleteSpan.run(key, value);
      else throw new TypeError(`Unknown kind of write ${kind}`);
    });
    this.#database.exec("COMMIT");
    if (durable) this.#log.syncDataSync();
    // PASSIVE copies what no reader still needs from the log; the next commit after a full copy starts the log anew.
    if (durable || this.#log.statSync().size > LOG_BYTES_MAX) {
      this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
    }
  }

  close(): void {
    this.#log.close();
    this.#database.close();
  }
}

let writer: Writer | null = null;

function answer(message: ToWriter): FromWriter | null {
  switch (message.kind) {
    case "open":
      writer = new Writer(message.path);
      return null;
    case "flush":
      writer!.flush(message.packed, message.durable);
      return { kind: "flushed" };
    case "close":
      try {
        writer?.close();
      } catch {
        // Whoever closes it has been told of what failed before.
      }
      return { kind: "closed" };
  }
}

self.onmessage = (event: MessageEvent<ToWriter>) => {
  try {
    const reply = answer(event.data);
    if (reply !== null) self.postMessage(reply);
  } catch (error) {
    self.postMessage({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  }
};
