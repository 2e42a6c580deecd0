/** A catalog with its log: what a leader would do, in a few words. */
import type { Instant, LogIndex, PartitionId, Term } from "../../../core/base/ids.ts";
import { utf8Encode } from "../../../core/base/bytes.ts";
import type { Row } from "../../../core/base/ports.ts";
import { Catalog } from "../../../core/catalog/catalog.ts";
import { encodeCommand, type WriteRequest } from "../../../core/catalog/command.ts";
import type { Entry, WatchEvent } from "../../../core/wire/messages.ts";
import type { PutOptions, ReadOp, Response, Session, Version, WriteOp } from "../../../core/wire/requests.ts";
import { MemoryTables } from "../../../sim/tables.ts";

export const PARTITION = 3 as PartitionId;
export const SECOND = 1_000_000;

export const at = (us: number) => us as Instant;
export const bytes = (text: string) => utf8Encode(text);
export const version = (term: number, index: number): Version => ({
  term: term as Term,
  index: index as LogIndex,
});
export const put = (key: string, value: string, options: PutOptions = {}): WriteOp => ({
  kind: "put",
  key,
  value: bytes(value),
  ...options,
});
export const session = (sequence: number, acknowledged = 0, options: Partial<Session> = {}): Session => ({
  client: "a".repeat(32),
  sequence,
  acknowledged,
  opened: sequence > 1,
  ...options,
});

export class Harness {
  readonly tables = new MemoryTables();
  readonly events: WatchEvent[] = [];
  catalog = this.#make();
  now = 0;
  log: Entry[] = [];

  entry(data: Uint8Array | null, term = 1): Entry {
    const index = (this.catalog.appliedIndex + 1) as LogIndex;
    return {
      term: term as Term,
      index,
      kind: data === null ? "noop" : "command",
      data: data ?? new Uint8Array(0),
    };
  }

  apply(entry: Entry): Response | null {
    let response: Response | null = null;
    this.log.push(entry);
    this.catalog.apply([entry], at(this.now), (_, answer) => response = answer);
    return response;
  }

  /** Applies one write and gives its answer. */
  write(op: WriteOp, withSession?: Session): Response {
    const request: WriteRequest = withSession === undefined ? { op } : { op, session: withSession };
    return this.apply(this.entry(encodeCommand(request)))!;
  }

  read(op: ReadOp): Response {
    return this.catalog.read(op, 0);
  }

  /** The value of a key as text; null where absent. */
  text(key: string): string | null {
    const answer = this.read({ kind: "get", key, read: "linearizable" });
    if (answer.kind !== "value") throw new Error(answer.kind);
    return answer.found === null ? null : new TextDecoder().decode(answer.found.value!);
  }

  /** The values of a history, newest first. */
  history(key: string): (string | null)[] {
    const answer = this.read({ kind: "history", key, read: "linearizable" });
    if (answer.kind !== "values") throw new Error(answer.kind);
    return answer.items.map(({ value }) => value === null ? null : new TextDecoder().decode(value));
  }

  /** As after a restart: the tables stay, what was in memory goes. */
  reopen(): void {
    this.catalog = this.#make();
  }

  /** Proposes and applies what is over, as a leader does. The number of commands. */
  expire(): number {
    let commands = 0;
    for (
      let data = this.catalog.expired(at(this.now));
      data !== null;
      data = this.catalog.expired(at(this.now))
    ) {
      this.apply(this.entry(data));
      commands++;
    }
    return commands;
  }

  #make(): Catalog {
    return new Catalog({
      partition: PARTITION,
      tables: this.tables,
      onEvents: (events) => this.events.push(...events),
    });
  }
}

/** All rows of a snapshot, in chunks of about `bytesMax`. */
export function snapshotOf(
  catalog: Catalog,
  bytesMax = 100,
): { index: LogIndex; term: Term; chunks: (readonly Row[])[] } {
  const source = catalog.snapshot();
  const chunks: (readonly Row[])[] = [];
  for (let rows = source.next(bytesMax); rows.length > 0; rows = source.next(bytesMax)) chunks.push(rows);
  source.close();
  return { index: source.index, term: source.term, chunks };
}

export function install(from: Catalog, to: Catalog): void {
  const { index, term, chunks } = snapshotOf(from);
  to.beginInstall();
  for (const chunk of chunks) to.installRows(chunk);
  to.finishInstall(index, term);
}
