/** Rows in order, as many as there are, a page at a time. */
import type { PartitionId } from "../../base/ids.ts";
import type { KeyValue } from "../../wire/requests.ts";
import { compareUtf8 } from "../../base/bytes.ts";
import type { Program } from "../types.ts";
import { ask, strange } from "./ask.ts";
import type { World } from "./world.ts";

export interface RowSpan {
  readonly start: string;
  /** null: to the last. */
  readonly end: string | null;
  /** Only what lies there. */
  readonly partition?: PartitionId;
  /** As many as are likely to be wanted. */
  readonly wanted?: number;
}

/** Begins at `span.start`, and asks for nothing before the first row is wanted. */
export function rowsFrom(world: World, span: RowSpan): RowCursor {
  return new RowCursor(world.sizes.rowsPerPage, span);
}

/** Pages grow as they are used up, and are small again after a jump: who jumps wants few. */
export class RowCursor {
  readonly #span: RowSpan;
  readonly #pageMax: number;
  #page: number;
  #items: readonly KeyValue[] = [];
  #at = 0;
  /** Where the next page begins; null: there is none. */
  #next: string | null;

  constructor(pageMax: number, span: RowSpan) {
    this.#span = span;
    this.#pageMax = pageMax;
    this.#page = Math.min(pageMax, Math.max(1, span.wanted ?? pageMax));
    this.#next = span.start;
  }

  /** The next row, and past it; null: there are no more. */
  *next(): Program<KeyValue | null> {
    const row = yield* this.peek();
    this.#at++;
    return row;
  }

  *peek(): Program<KeyValue | null> {
    while (this.#at >= this.#items.length) {
      const { end, partition } = this.#span;
      if (this.#next === null || (end !== null && compareUtf8(this.#next, end) >= 0)) return null;
      const response = yield* ask({
        kind: "range",
        start: this.#next,
        end,
        limit: this.#page,
        reverse: false,
        keysOnly: false,
        read: "linearizable",
        ...(partition === undefined ? {} : { partition }),
      });
      if (response.kind !== "values") throw strange(response);
      this.#items = response.items;
      this.#at = 0;
      this.#next = response.next;
      this.#page = Math.min(this.#pageMax, this.#page * 2);
    }
    return this.#items[this.#at]!;
  }

  /** On to the first row from `start`; null: past all. Never back. */
  jump(start: string | null): void {
    while (this.#at < this.#items.length) {
      if (start !== null && compareUtf8(this.#items[this.#at]!.key, start) >= 0) return;
      this.#at++;
    }
    if (start === null) this.#next = null;
    else if (this.#next !== null && compareUtf8(this.#next, start) < 0) {
      this.#next = start;
      this.#page = Math.min(this.#pageMax, JUMPED_PAGE);
    }
  }
}

const JUMPED_PAGE = 32;
