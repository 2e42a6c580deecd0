/**
 * Layers on their way to who writes files, oldest first, in one buffer that can be handed to another thread without
 * copying: u8 kind, u32 length of the key, u32 length of the value, key, value. Each layer begins with a mark, then its
 * deleted spans, whose ends are where the value is, then its rows in the order of their keys.
 */
import { compareBytes, EMPTY_BYTES, readUint32, writeUint32 } from "../base/bytes.ts";
import { InvariantError } from "../base/invariant.ts";
import type { Layer } from "./layer.ts";
import type { Source } from "./source.ts";
import { type Span, spanOver, unionOf } from "./span.ts";

const WRITE = 1;
const DELETE = 2;
const DELETE_SPAN = 3;
const LAYER = 4;

const HEAD_BYTES = 9;

export function packLayers(layers: readonly Layer[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const layer of layers) {
    size += HEAD_BYTES;
    for (const span of layer.deleted) size += HEAD_BYTES + span.start.length + span.end.length;
    layer.rows.forEachPair((key, value) => {
      size += HEAD_BYTES + key.length + (value === null ? 0 : value.length);
    });
  }
  const packed = new Uint8Array(size);
  let at = 0;
  const put = (kind: number, key: Uint8Array, value: Uint8Array) => {
    packed[at] = kind;
    writeUint32(packed, at + 1, key.length);
    writeUint32(packed, at + 5, value.length);
    packed.set(key, at + HEAD_BYTES);
    packed.set(value, at + HEAD_BYTES + key.length);
    at += HEAD_BYTES + key.length + value.length;
  };
  for (const layer of layers) {
    put(LAYER, EMPTY_BYTES, EMPTY_BYTES);
    for (const span of layer.deleted) put(DELETE_SPAN, span.start, span.end);
    layer.rows.forEachPair((key, value) => put(value === null ? DELETE : WRITE, key, value ?? EMPTY_BYTES));
  }
  return packed;
}

/** The layers of `packed` as sources, newest first, and all their spans. */
export function unpackLayers(packed: Uint8Array): { sources: Source[]; spans: Span[] } {
  const sources: Source[] = [], spans: Span[] = [];
  for (let at = 0; at < packed.length;) {
    const own: Span[] = [];
    let next = endOf(packed, at);
    while (packed[next] === DELETE_SPAN) {
      own.push({ start: keyAt(packed, next), end: valueAt(packed, next) });
      next = endOf(packed, next);
    }
    const from = next;
    while (packed[next] === WRITE || packed[next] === DELETE) next = endOf(packed, next);
    if (next === at || packed[at] !== LAYER) throw new InvariantError(`A layer begins at ${at}`);
    sources.push(new PackedSource(packed, { from, to: next, spans: unionOf(own) }));
    spans.push(...own);
    at = next;
  }
  return { sources: sources.reverse(), spans: unionOf(spans) };
}

function keyAt(packed: Uint8Array, at: number): Uint8Array {
  return packed.subarray(at + HEAD_BYTES, at + HEAD_BYTES + readUint32(packed, at + 1));
}

function valueAt(packed: Uint8Array, at: number): Uint8Array {
  const from = at + HEAD_BYTES + readUint32(packed, at + 1);
  return packed.subarray(from, from + readUint32(packed, at + 5));
}

function endOf(packed: Uint8Array, at: number): number {
  return at + HEAD_BYTES + readUint32(packed, at + 1) + readUint32(packed, at + 5);
}

/** The rows of one packed layer. */
class PackedSource implements Source {
  readonly #packed: Uint8Array;
  readonly #to: number;
  readonly #spans: readonly Span[];
  #at: number;
  key: Uint8Array | null = null;

  constructor(packed: Uint8Array, { from, to, spans }: { from: number; to: number; spans: readonly Span[] }) {
    this.#packed = packed;
    this.#at = from;
    this.#to = to;
    this.#spans = spans;
    this.#enter();
  }

  value(): Uint8Array | null {
    return this.#packed[this.#at] === DELETE ? null : valueAt(this.#packed, this.#at);
  }

  next(): void {
    this.#at = endOf(this.#packed, this.#at);
    this.#enter();
  }

  seek(to: Uint8Array): void {
    while (this.key !== null && compareBytes(this.key, to) < 0) this.next();
  }

  spanOver(key: Uint8Array): Span | null {
    return this.#spans.length === 0 ? null : spanOver(this.#spans, key);
  }

  #enter(): void {
    this.key = this.#at < this.#to ? keyAt(this.#packed, this.#at) : null;
  }
}
