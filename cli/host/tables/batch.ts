import type { Layer } from "./layer.ts";

/**
 * Layers on their way to the writer thread, oldest first, in one buffer that is handed over without copying:
 * u8 kind, u32 length of the key, u32 length of the value, key, value. A span has its end where the value is.
 */
export const WRITE = 1;
export const DELETE = 2;
export const DELETE_SPAN = 3;

const HEAD_BYTES = 9;

export function packLayers(layers: readonly Layer[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const layer of layers) {
    for (const span of layer.deleted) size += HEAD_BYTES + span.start.length + span.end.length;
    layer.rows.forEachPair((key, value) => {
      size += HEAD_BYTES + key.length + (value === null ? 0 : value.length);
    });
  }
  const packed = new Uint8Array(size);
  const view = new DataView(packed.buffer);
  let at = 0;
  const put = (kind: number, key: Uint8Array, value: Uint8Array | null) => {
    packed[at] = kind;
    view.setUint32(at + 1, key.length);
    view.setUint32(at + 5, value === null ? 0 : value.length);
    packed.set(key, at + HEAD_BYTES);
    if (value !== null) packed.set(value, at + HEAD_BYTES + key.length);
    at += HEAD_BYTES + key.length + (value === null ? 0 : value.length);
  };
  for (const layer of layers) {
    for (const span of layer.deleted) put(DELETE_SPAN, span.start, span.end);
    layer.rows.forEachPair((key, value) => put(value === null ? DELETE : WRITE, key, value));
  }
  return packed;
}

/** Calls `each` for every write of `packed`, in order, with subarrays of it. */
export function unpackLayers(
  packed: Uint8Array,
  each: (kind: number, key: Uint8Array, value: Uint8Array) => void,
): void {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  for (let at = 0; at < packed.length;) {
    const keyEnd = at + HEAD_BYTES + view.getUint32(at + 1);
    const valueEnd = keyEnd + view.getUint32(at + 5);
    each(packed[at]!, packed.subarray(at + HEAD_BYTES, keyEnd), packed.subarray(keyEnd, valueEnd));
    at = valueEnd;
  }
}
