/** Rows in order of one direction, deleted ones among them, and the deleted spans that came with them. */
import type { Span } from "./span.ts";

export interface Source {
  /** Of the row it stands at; null: at the end. Valid until the next call. */
  readonly key: Uint8Array | null;
  /** Of the row it stands at; null: deleted. */
  value(): Uint8Array | null;
  next(): void;
  /** Goes on to the first row that is not below `to`; in reverse to the first below it. Never back. */
  seek(to: Uint8Array): void;
  /** The span of this source that holds `key`. It hides rows of older sources, not its own. */
  spanOver(key: Uint8Array): Span | null;
}
