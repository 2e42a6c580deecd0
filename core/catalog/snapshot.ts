/** Snapshots of a partition's rows, on the way out and on the way in. */
import type { LogIndex, Term } from "../base/ids.ts";
import type { Row, TablesSnapshot } from "../base/ports.ts";
import type { SnapshotSource } from "../partition/contracts.ts";
import { isSealed, META, type Rows, SCOPE_BYTES, shareOf } from "./rows.ts";

/** Rows in byte order, their keys without the scope, which is each replica's own. */
export class RowsSource implements SnapshotSource {
  readonly index: LogIndex;
  readonly term: Term;
  readonly #view: TablesSnapshot;
  readonly #rows: Iterator<Row>;
  #ended = false;

  constructor(rows: Rows) {
    this.index = rows.index;
    this.term = rows.term;
    this.#view = rows.tables.snapshot();
    this.#rows = rows.scope(this.#view)[Symbol.iterator]();
  }

  next(bytesMax: number): readonly Row[] {
    const chunk: Row[] = [];
    let bytes = 0;
    while (!this.#ended && (bytes < bytesMax || chunk.length === 0)) {
      const step = this.#rows.next();
      if (step.done === true) {
        this.#ended = true;
        break;
      }
      const [key, value] = step.value;
      chunk.push([key.subarray(SCOPE_BYTES), value]);
      bytes += key.length + value.length;
    }
    return chunk;
  }

  close(): void {
    this.#ended = true;
    this.#rows.return?.();
    this.#view.close();
  }
}

/** Receives a snapshot's rows beside the state, and proves them whole (C4). */
export class Installation {
  readonly #rows: Rows;
  readonly #scope: Uint8Array;
  #sum = 0;

  constructor(rows: Rows) {
    this.#rows = rows;
    this.#scope = rows.stagedScope();
  }

  /** null, or what is wrong with them. */
  add(rows: readonly Row[]): string | null {
    for (const [rest, value] of rows) {
      const key = new Uint8Array(SCOPE_BYTES + rest.length);
      key.set(this.#scope);
      key.set(rest, SCOPE_BYTES);
      if (rest[0] !== META) {
        if (!isSealed(key, value)) {
          return `C4: a row of a snapshot (${rest.length} bytes of key, ${value.length} of value) has a wrong seal`;
        }
        this.#sum = (this.#sum + shareOf(rest[0]!, value)) | 0;
      }
      this.#rows.tables.set(key, value);
    }
    return null;
  }

  /** null, or why they are not the state at that position: the one in force stays then. */
  finish(index: LogIndex, term: Term): string | null {
    const staged = this.#rows.stagedMeta();
    if (staged === null) return `C4: the snapshot of ${term}.${index} does not say what it is of`;
    if (staged.index !== index || staged.term !== term) {
      return `C4: a snapshot of ${term}.${index} holds the state of ${staged.term}.${staged.index}`;
    }
    if (staged.sum !== this.#sum) return `C4: rows are missing from the snapshot of ${term}.${index}`;
    this.#rows.switchToStaged();
    return null;
  }
}
