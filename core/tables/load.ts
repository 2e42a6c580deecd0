import type { Row } from "../base/ports.ts";
import type { Vault } from "../base/vault.ts";
import type { TablesOwner } from "./errors.ts";
import type { TableFiles } from "./files.ts";
import { writeManifest } from "./manifest.ts";
import type { Shape } from "./plan.ts";
import { SortedFileWriter, type WrittenFile } from "./sorted_file.ts";
import { type FileInfo, LEVELS } from "./version.ts";

/**
 * Makes tables of rows that come in the order of their keys, at once in the level that has room for them. Durable when
 * it returns; where it fails there is no manifest. `files` are empty.
 */
export function loadStore(
  { files, vault, owner, shape }: {
    files: TableFiles;
    vault: Vault;
    owner: TablesOwner | null;
    shape: Shape;
  },
  rows: Iterable<Row>,
): void {
  const infos: FileInfo[] = [];
  let writer: SortedFileWriter | null = null, number = 1;
  const end = () => {
    const written = writer?.finish([]) ?? null;
    writer = null;
    if (written !== null) infos.push(synced(written));
  };
  for (const [key, value] of rows) {
    if (writer !== null && writer.bytes >= shape.fileBytes) end();
    writer ??= new SortedFileWriter({
      files,
      vault,
      number,
      level: 1,
      age: number++,
      blockBytes: shape.blockBytes,
    });
    writer.add(key, value);
  }
  end();
  files.syncDirectory();
  const level = levelFor(infos.reduce((sum, { bytes }) => sum + bytes, 0), shape);
  const live = infos.map((info) => ({ ...info, level }));
  writeManifest({ files, vault }, { owner, nextNumber: number, files: live });
}

function synced({ info, handle }: WrittenFile): FileInfo {
  handle.sync();
  handle.close();
  return info;
}

/** The first level whose share is as much. */
function levelFor(bytes: number, { level1Bytes, levelFactor }: Shape): number {
  let level = 1;
  for (let share = level1Bytes; share < bytes && level < LEVELS - 1; share *= levelFactor) level++;
  return level;
}
