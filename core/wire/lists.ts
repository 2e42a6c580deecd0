import type { Reader, Wire } from "./cbor.ts";

export function listWire<T>(items: readonly T[], one: (item: T) => Wire): Wire {
  const list: Wire[] = new Array(items.length);
  for (let i = 0; i < items.length; i++) list[i] = one(items[i]!);
  return list;
}
/** An array of at most `max` items, each taken by `one`. */
export function readList<T>(reader: Reader, max: number, one: (reader: Reader) => T): T[] {
  const count = reader.array(max);
  const items: T[] = [];
  for (let i = 0; i < count; i++) items.push(one(reader));
  return items;
}
