/** What the tests of tables share: vaults, files, rows as text. */
import { Random } from "../../../core/base/random.ts";
import type { TablesReader } from "../../../core/base/ports.ts";
import { OPEN_VAULT, Vault } from "../../../core/base/vault.ts";
import type { TablesOwner } from "../../../core/tables/errors.ts";
import { SimTableFiles } from "../../../sim/table_files.ts";
import { SMALL_SIZES, TableStore, type TableStoreSizes } from "../../../sim/table_store.ts";

export const SECRETS: ReadonlyMap<number, Uint8Array> = new Map(
  [1, 2, 3].map((generation) => [generation, new Uint8Array(32).fill(generation * 17)]),
);
export const VAULT = new Vault(SECRETS, 1);
export const VAULTS = [OPEN_VAULT, VAULT] as const;
export const OWNER: TablesOwner = { node: "sirius", network: "1".repeat(32), disk: "d".repeat(16) };

export const TINY_SIZES: TableStoreSizes = {
  ...SMALL_SIZES,
  shape: { level0Files: 2, level1Bytes: 1500, levelFactor: 3, fileBytes: 700, blockBytes: 96 },
  layerBytesMax: 600,
  layerRowsMax: 12,
  cacheBytesMax: 2000,
  openMax: 4,
};

export function freshFiles(seed = 1): SimTableFiles {
  return new SimTableFiles(Random.fromSeed(seed));
}

export function storeOn(files: SimTableFiles, vault = VAULT, sizes = TINY_SIZES): TableStore {
  return new TableStore({ files, vault, owner: OWNER, sizes });
}

export function textOf(tables: TablesReader, reverse = false): string[] {
  const rows = [...tables.range({ start: null, end: null, reverse })];
  return rows.map(([key, value]) => `${key.toHex()}=${value.toHex()}`);
}

/** All rows, read one by one and in both directions, which must agree. */
export function checkedText(tables: TablesReader): string[] {
  const rows = textOf(tables), reversed = textOf(tables, true).reverse();
  if (rows.join() !== reversed.join()) {
    throw new Error(`Forwards ${rows.join()}, backwards ${reversed.join()}`);
  }
  for (const row of rows) {
    const [key, value] = row.split("=") as [string, string];
    const found = tables.get(Uint8Array.fromHex(key))?.toHex();
    if (found !== value) throw new Error(`${key} reads as ${found} and not as ${value}`);
  }
  return rows;
}

/** The naive twin: rows by the hex of their keys, which sorts as the bytes do. */
export class Twin {
  readonly rows = new Map<string, string>();
  set(key: Uint8Array, value: Uint8Array): void {
    this.rows.set(key.toHex(), value.toHex());
  }
  delete(key: Uint8Array): void {
    this.rows.delete(key.toHex());
  }
  deleteRange({ start, end }: { start: Uint8Array; end: Uint8Array }): void {
    const from = start.toHex(), to = end.toHex();
    for (const key of [...this.rows.keys()]) if (from <= key && key < to) this.rows.delete(key);
  }
  text(): string[] {
    return [...this.rows].map(([key, value]) => `${key}=${value}`).sort(byKey);
  }
}

function byKey(a: string, b: string): number {
  const x = a.slice(0, a.indexOf("=")), y = b.slice(0, b.indexOf("="));
  return x < y ? -1 : x > y ? 1 : 0;
}
