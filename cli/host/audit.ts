/**
 * What was done to the network through this node, or refused, as it is kept on disk: audit.log and the file before it,
 * audit.log.1 (format: audit_format.ts).
 *
 *  A2  An event is on the disk FLUSH_MS after write(), or a sync later; close() waits for it.
 *  A3  Each file holds up to bytesMax; when the running one is full, it takes the place of the one before.
 *  A4  A file that cannot be written never ends the node: events wait, EVENTS_WAITING_MAX of them, and are tried again.
 *      How many had to go is an event itself. Some of what failed may stand twice.
 *  A5  A file is encrypted with the vault's current generation of the moment it was begun; renew() writes files of other
 *      generations anew, so that those can be forgotten.
 */
import { join } from "node:path";
import { SALT_BYTES, type Vault } from "../../core/base/vault.ts";
import type { RecordCipher } from "../../core/wire/journal_cipher.ts";
import type { AuditEvent } from "../../core/wire/requests.ts";
import {
  auditCipher,
  type AuditFile,
  type AuditHeader,
  encodeAuditHeader,
  encodeLine,
  readAuditFile,
} from "./audit_format.ts";
import { drawnOpening, syncDirectory, writeAll } from "./journal_segments.ts";

const FLUSH_MS = 500;
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const EVENTS_WAITING_MAX = 10_000;
/** Of each text of an event; what is longer is cut. */
const TEXT_CHARACTERS_MAX = 2000;
const NAME = "audit.log";
const FORMER = "audit.log.1";
const RENEWED = "audit.log.new";

export interface AuditOptions {
  readonly directory: string;
  /** The keys as they are now. */
  readonly vault: () => Vault;
  /** It cannot be written; told once, until it can again. */
  readonly failed?: (error: Error) => void;
  /** Of each of the two files. */
  readonly bytesMax?: number;
}

export interface AuditPage {
  /** Newest first. */
  readonly events: readonly AuditEvent[];
  /** What could not be read of the files, and why: one text for each. */
  readonly unread: readonly string[];
}

/** The running file. */
interface Running extends AuditHeader {
  readonly handle: Deno.FsFile;
  readonly cipher: RecordCipher | null;
  bytes: number;
  lines: number;
}

export class AuditLog {
  readonly #options: Required<AuditOptions>;
  #waiting: AuditEvent[] = [];
  #dropped = 0;
  #running: Running | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** Ends when all that was begun has. */
  #busy: Promise<void> = Promise.resolve();
  #failing = false;

  private constructor(options: AuditOptions) {
    this.#options = { failed: () => {}, bytesMax: FILE_BYTES_MAX, ...options };
  }

  /** Opens or begins the log in `directory`. Where that fails, options.failed() tells, and events wait (A4). */
  static open(options: AuditOptions): AuditLog {
    const log = new AuditLog(options);
    log.#guarded(() => log.#file());
    return log;
  }

  write(event: AuditEvent): void {
    if (this.#waiting.length < EVENTS_WAITING_MAX) this.#waiting.push(shortened(event));
    else this.#dropped++;
    this.#arm();
  }

  /** The newest events, at most `limit`, those that wait to be written included. */
  async read({ limit }: { limit: number }): Promise<AuditPage> {
    await this.flush();
    const page = readAudit({ ...this.#options, limit });
    const waiting = this.#waiting.toReversed();
    return { ...page, events: [...waiting, ...page.events].slice(0, limit) };
  }

  /** The key generations that its files are encrypted with, in rising order; 0: a file is not. */
  get generations(): number[] {
    const found = new Set<number>();
    for (const name of [NAME, FORMER]) {
      const header = readFile(this.#options, name)?.header;
      if (header) found.add(header.generation);
    }
    return [...found].sort((a, b) => a - b);
  }

  /** Writes what is encrypted with another generation than the current one anew (A5). */
  renew(): Promise<void> {
    return this.#next(() => {
      for (const name of [NAME, FORMER]) {
        const found = readFile(this.#options, name);
        const { current } = this.#options.vault();
        if (found === null || found.header === null || found.header.generation === current) continue;
        // What the keyring does not open any more stays as it is, and read() says so.
        if (found.events.length === 0 && found.unread !== null) continue;
        this.#closeFile();
        this.#writeAnew(name, found.events);
      }
    });
  }

  /** Resolves when all that was written so far is on the disk, or could not be. */
  flush(): Promise<void> {
    return this.#next(() => this.#writeWaiting());
  }

  async close(): Promise<void> {
    await this.flush();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#closeFile();
  }

  #arm(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.flush();
    }, FLUSH_MS);
    Deno.unrefTimer(this.#timer);
  }

  /** Does `act` when all before it is done. */
  #next(act: () => void | Promise<void>): Promise<void> {
    return this.#busy = this.#busy.then(async () => {
      try {
        await act();
        this.#failing = false;
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#closeFile();
    if (this.#waiting.length > 0) this.#arm();
    if (this.#failing) return;
    this.#failing = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#options.failed(new Error(`Cannot write the audit log in "${this.#options.directory}": ${why}`));
  }

  async #writeWaiting(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const count = this.#waiting.length, dropped = this.#dropped;
    const events = [...this.#waiting, ...this.#lostEvent()];
    let lines: Uint8Array[] = [];
    for (const event of events) {
      let file = this.#file(), line = encodeLine(event, { ...file, number: file.lines });
      if (file.bytes + line.length > this.#options.bytesMax && file.lines > 0) {
        await written(file, lines);
        lines = [];
        this.#turnOver();
        file = this.#file();
        line = encodeLine(event, { ...file, number: 0 });
      }
      lines.push(line);
      file.bytes += line.length;
      file.lines++;
    }
    await written(this.#file(), lines);
    // More may have come meanwhile.
    this.#dropped -= dropped;
    this.#waiting = this.#waiting.slice(count);
  }

  #lostEvent(): AuditEvent[] {
    if (this.#dropped === 0) return [];
    const { node, timeMs } = this.#waiting.at(-1)!;
    const what = `${this.#dropped} events could not be written and are lost`;
    return [{ timeMs, node, who: "the node", from: "", what, outcome: "lost" }];
  }

  /** The running file, opened where it is not: behind its last whole line. */
  #file(): Running {
    if (this.#running !== null) return this.#running;
    const found = readFile(this.#options, NAME), { vault } = this.#options;
    if (found === null || (found.header === null && found.unread === null)) {
      return this.#running = this.#begin();
    }
    if (found.header === null || found.unread !== null) {
      this.#turnOver();
      return this.#running = this.#begin();
    }
    if (found.header.generation !== vault().current) {
      this.#writeAnew(NAME, found.events);
      return this.#file();
    }
    const handle = Deno.openSync(join(this.#options.directory, NAME), { read: true, write: true });
    handle.truncateSync(found.end);
    handle.seekSync(found.end, Deno.SeekMode.Start);
    const cipher = auditCipher(vault(), found.header, drawnOpening());
    return this.#running = {
      ...found.header,
      handle,
      cipher,
      bytes: found.end,
      lines: found.events.length,
    };
  }

  #begin(name = NAME): Running {
    const { directory, vault } = this.#options;
    const header = {
      generation: vault().current,
      salt: crypto.getRandomValues(new Uint8Array(SALT_BYTES)),
    };
    const handle = Deno.openSync(join(directory, name), {
      write: true,
      create: true,
      truncate: true,
      mode: 0o600,
    });
    const bytes = encodeAuditHeader(header);
    writeAll(handle, bytes);
    syncDirectory(directory);
    const cipher = auditCipher(vault(), header, drawnOpening());
    return { ...header, handle, cipher, bytes: bytes.length, lines: 0 };
  }

  /** The running file takes the place of the one before (A3). */
  #turnOver(): void {
    this.#closeFile();
    const { directory } = this.#options;
    Deno.renameSync(join(directory, NAME), join(directory, FORMER));
    syncDirectory(directory);
  }

  /** In a file beside it, which then takes its place. */
  #writeAnew(name: string, events: readonly AuditEvent[]): void {
    const { directory } = this.#options;
    const file = this.#begin(RENEWED);
    try {
      for (const [number, event] of events.entries()) {
        writeAll(file.handle, encodeLine(event, { ...file, number }));
      }
      file.handle.syncSync();
    } finally {
      file.handle.close();
    }
    Deno.renameSync(join(directory, RENEWED), join(directory, name));
    syncDirectory(directory);
  }

  #closeFile(): void {
    this.#running?.handle.close();
    this.#running = null;
  }
}

/** Reads the newest events of a log that may or may not be written to. */
export function readAudit(
  options: Pick<AuditOptions, "directory" | "vault"> & { readonly limit: number },
): AuditPage {
  const events: AuditEvent[] = [], unread: string[] = [];
  for (const name of [NAME, FORMER]) {
    const found = readFile(options, name);
    if (found === null) continue;
    if (found.unread !== null) unread.push(`Cannot read all of "${name}": ${found.unread}`);
    events.push(...found.events.toReversed());
    if (events.length >= options.limit) break;
  }
  return { events: events.slice(0, options.limit), unread };
}

function readFile(
  { directory, vault }: Pick<AuditOptions, "directory" | "vault">,
  name: string,
): AuditFile | null {
  try {
    return readAuditFile(Deno.readFileSync(join(directory, name)), vault());
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

async function written({ handle }: Running, lines: readonly Uint8Array[]): Promise<void> {
  for (const line of lines) writeAll(handle, line);
  await handle.syncData();
}

function shortened(event: AuditEvent): AuditEvent {
  const { who, from, what, outcome } = event;
  return { ...event, who: cut(who), from: cut(from), what: cut(what), outcome: cut(outcome) };
}

function cut(text: string): string {
  return text.length <= TEXT_CHARACTERS_MAX ? text : `${text.slice(0, TEXT_CHARACTERS_MAX)}…`;
}
