/** The reading half of the tables' files. */
import { compareBytes } from "../base/bytes.ts";
import type { KeyRange, Row } from "../base/ports.ts";
import { filterHash } from "./filter.ts";
import type { Base } from "./layer.ts";
import { LevelSource } from "./level_source.ts";
import { Merge } from "./merge.ts";
import type { Readers } from "./readers.ts";
import { FileSource } from "./sorted_file_reader.ts";
import type { Source } from "./source.ts";
import { type FileInfo, firstEndingAfter, type Version } from "./version.ts";

/** The rows of one version. */
export class View implements Base {
  readonly version: Version;
  readonly #readers: Readers;

  constructor(readers: Readers, version: Version) {
    this.#readers = readers;
    this.version = version;
  }

  get(key: Uint8Array): Uint8Array | null {
    const { levels } = this.version, hash = filterHash(key);
    for (const file of levels[0]!) {
      const found = this.#getFrom(file, key, hash);
      if (found !== undefined) return found;
    }
    for (let level = 1; level < levels.length; level++) {
      const files = levels[level]!;
      if (files.length === 0) continue;
      const file = files[firstEndingAfter(files, key)];
      if (file === undefined) continue;
      const found = this.#getFrom(file, key, hash);
      if (found !== undefined) return found;
    }
    return null;
  }

  #getFrom(file: FileInfo, key: Uint8Array, hash: number): Uint8Array | null | undefined {
    if (compareBytes(key, file.first) < 0 || compareBytes(key, file.end) >= 0) return undefined;
    return this.#readers.reader(file).get(key, hash);
  }

  page(range: KeyRange, rowsMax: number): readonly Row[] {
    const { start, end } = range, reverse = range.reverse === true;
    const rows: Row[] = [];
    if (start !== null && end !== null && compareBytes(start, end) >= 0) return rows;
    const merge = new Merge(this.#sources(range, reverse), { reverse });
    for (let key = merge.key; key !== null && rows.length < rowsMax; key = merge.key) {
      if (
        reverse ? start !== null && compareBytes(key, start) < 0 : end !== null && compareBytes(key, end) >= 0
      ) {
        break;
      }
      const value = merge.value();
      if (value !== null) rows.push([key, value]);
      merge.next();
    }
    return rows;
  }

  /** Newest first, those that may have rows or spans in the range. */
  #sources({ start, end }: KeyRange, reverse: boolean): Source[] {
    const { levels, spanned } = this.version, from = reverse ? end : start;
    const open = (file: FileInfo) => this.#readers.reader(file);
    const touches = (file: FileInfo) =>
      (end === null || compareBytes(file.first, end) < 0) &&
      (start === null || compareBytes(start, file.end) < 0);
    const sources: Source[] = levels[0]!.filter(touches).map((file) =>
      new FileSource(() => open(file), { reverse, from })
    );
    for (let level = 1; level < levels.length; level++) {
      const files = levels[level]!;
      if (files.length === 0) continue;
      sources.push(new LevelSource({ files, spanned: spanned[level]!, open }, { reverse, from }));
    }
    return sources;
  }
}
