/** The storage a core reads and writes while it steps. Journal and chunks are effects and inputs, see wire/kernel.ts. */

/** A row of a table: key and value are bytes that neither side changes afterwards. */
export type Row = readonly [key: Uint8Array, value: Uint8Array];

/** `start` is included, `end` is not; null means from the first or to the last. */
export interface KeyRange {
  readonly start: Uint8Array | null;
  readonly end: Uint8Array | null;
  readonly reverse?: boolean;
}

export interface TablesReader {
  get(key: Uint8Array): Uint8Array | null;
  /** Rows in byte order of their keys. Valid until the next write, or for a snapshot until it is closed. */
  range(range: KeyRange): Iterable<Row>;
}

/** A consistent view of the tables as they were when it was taken. */
export interface TablesSnapshot extends TablesReader {
  close(): void;
}

/**
 * Ordered byte keys with byte values, synchronous. All writes between two ends of a step become visible and
 * crash-safe together: after a crash the tables are as they were at the end of some step, no earlier than the last
 * checkpoint that was reported done, and no later than what the journal made durable.
 */
export interface Tables extends TablesReader {
  set(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  deleteRange(range: { readonly start: Uint8Array; readonly end: Uint8Array }): void;
  snapshot(): TablesSnapshot;
}

/** Reed-Solomon over bytes: any `data` of `data + parity` shards give back all. Synchronous, the same bytes everywhere. */
export interface ErasureCoder {
  /**
   * @param shards `data` shards of equal length, at least 1 byte
   * @returns `parity` shards of that length
   */
  encode(shards: readonly Uint8Array[], parity: number): Uint8Array[];
  /**
   * @param shards all in order, null where one is missing; at least `data` are there
   * @returns the data shards, whole
   * @throws {RangeError} when fewer than `data` are there
   */
  reconstruct(shards: readonly (Uint8Array | null)[], data: number): Uint8Array[];
}
