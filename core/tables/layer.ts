import BTreeModule from "sorted-btree";
import type { KeyRange, Row } from "../base/ports.ts";
import { compareBytes } from "../base/bytes.ts";
import type { Span } from "./span.ts";
import { successor } from "./version.ts";

// The package is CommonJS: its class sits below `default` of what Deno imports.
const BTree = BTreeModule.default;

/**
 * Writes that are in no file yet, on top of what is below: other layers, then the files.
 *
 * 1. A row of `rows` is newer than every span of `deleted`: deleting a span first removes the layer's own rows in it.
 * 2. null is a deleted row.
 * 3. Once frozen a layer never changes, so a snapshot may share it.
 */
export class Layer {
  readonly rows = new BTree<Uint8Array, Uint8Array | null>(undefined, compareBytes);
  readonly deleted: Span[] = [];
  /** About what the layer holds in memory. Overwritten rows count twice. */
  bytes = 0;

  get empty(): boolean {
    return this.rows.size === 0 && this.deleted.length === 0;
  }

  write(key: Uint8Array, value: Uint8Array | null): void {
    this.rows.set(key, value);
    this.bytes += key.length + (value === null ? 0 : value.length) + 64;
  }

  deleteRange(span: Span): void {
    this.rows.deleteRange(span.start, span.end, false);
    this.deleted.push(span);
    this.bytes += 128;
  }

  /** undefined: this layer does not know, look below. */
  get(key: Uint8Array): Uint8Array | null | undefined {
    const value = this.rows.get(key);
    if (value !== undefined) return value;
    return this.hides(key) ? null : undefined;
  }

  /** True where this layer deleted a span that holds `key`. */
  hides(key: Uint8Array): boolean {
    for (const span of this.deleted) {
      if (compareBytes(span.start, key) <= 0 && compareBytes(key, span.end) < 0) return true;
    }
    return false;
  }
}

/** What lies below all layers: pages of rows in the order asked for. */
export interface Base {
  get(key: Uint8Array): Uint8Array | null;
  page(range: KeyRange, rowsMax: number): readonly Row[];
}

const FIRST_PAGE_ROWS = 32;
const PAGE_ROWS_MAX = 512;

/** The value of `key` in the newest of `layers` (oldest first) that knows it, else in `base`. */
export function getLayered(base: Base, layers: readonly Layer[], key: Uint8Array): Uint8Array | null {
  for (let i = layers.length - 1; i >= 0; i--) {
    const value = layers[i]!.get(key);
    if (value !== undefined) return value;
  }
  return base.get(key);
}

/** The rows of `range` in order, `layers` (oldest first) over `base`. Reads in pages that grow: most readers stop early. */
export function* rangeLayered(base: Base, layers: readonly Layer[], range: KeyRange): Generator<Row> {
  let start = range.start, end = range.end;
  const reverse = range.reverse === true;
  for (let rowsMax = FIRST_PAGE_ROWS;; rowsMax = Math.min(rowsMax * 4, PAGE_ROWS_MAX)) {
    const page = mergePage(base, layers, { start, end, reverse }, rowsMax);
    yield* page.rows;
    if (page.last === null) return;
    if (reverse) end = page.last;
    else start = successor(page.last);
  }
}

type Written = readonly [Uint8Array, Uint8Array | null];

/** `last` is the last key that the page speaks for; null: the page reaches the end of the range. */
interface Page {
  readonly rows: readonly Row[];
  readonly last: Uint8Array | null;
}

function mergePage(base: Base, layers: readonly Layer[], range: KeyRange, rowsMax: number): Page {
  const order = range.reverse ? -1 : 1;
  const rows = base.page(range, rowsMax);
  let last = rows.length < rowsMax ? null : rows[rows.length - 1]![0];
  const written: Written[][] = [];
  for (const layer of layers) {
    const part = writtenIn(layer, range, rowsMax);
    written.push(part);
    if (part.length === rowsMax) {
      const cut = part[part.length - 1]![0];
      if (last === null || compareBytes(cut, last) * order < 0) last = cut;
    }
  }
  let merged: readonly Written[] = rows;
  for (let i = 0; i < layers.length; i++) {
    if (written[i]!.length > 0 || layers[i]!.deleted.length > 0) {
      merged = over(merged, layers[i]!, written[i]!, order);
    }
  }
  const kept: Row[] = [];
  for (const row of merged) {
    if (last !== null && compareBytes(row[0], last) * order > 0) break;
    if (row[1] !== null) kept.push(row as Row);
  }
  return { rows: kept, last };
}

/** Up to `rowsMax` writes of `layer` in the range, in its direction. */
function writtenIn(layer: Layer, range: KeyRange, rowsMax: number): Written[] {
  const found: Written[] = [];
  if (layer.rows.size === 0) return found;
  const { start, end } = range;
  const entries = range.reverse
    ? layer.rows.entriesReversed(end ?? undefined, undefined, true)
    : layer.rows.entries(start ?? undefined);
  for (const entry of entries) {
    if (
      range.reverse
        ? start !== null && compareBytes(entry[0], start) < 0
        : end !== null && compareBytes(entry[0], end) >= 0
    ) break;
    found.push(entry);
    if (found.length === rowsMax) break;
  }
  return found;
}

/** `upper`, the writes of `layer`, over `lower`; both sorted in the direction of `order`. */
function over(lower: readonly Written[], layer: Layer, upper: readonly Written[], order: number): Written[] {
  const merged: Written[] = [];
  let j = 0;
  for (const row of lower) {
    let compared = 1;
    while (j < upper.length && (compared = compareBytes(upper[j]![0], row[0]) * order) < 0) {
      merged.push(upper[j++]!);
    }
    if (j < upper.length && compared === 0) merged.push(upper[j++]!);
    else if (!layer.hides(row[0])) merged.push(row);
  }
  while (j < upper.length) merged.push(upper[j++]!);
  return merged;
}
