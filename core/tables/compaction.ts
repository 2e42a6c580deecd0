import { clipped, type Span, unionOf } from "./span.ts";
import type { TableFiles } from "./files.ts";
import { LevelSource } from "./level_source.ts";
import { Merge } from "./merge.ts";
import type { Plan, Shape } from "./plan.ts";
import type { Readers } from "./readers.ts";
import { fileName, SortedFileWriter, type WrittenFile } from "./sorted_file.ts";
import type { FileInfo } from "./version.ts";
import type { Vault } from "../base/vault.ts";

export interface CompactionOptions {
  readonly files: TableFiles;
  readonly vault: Vault;
  readonly readers: Readers;
  readonly shape: Shape;
  /** A number that no file has had. */
  readonly nextNumber: () => number;
}

/** Rows between two looks at how much was done. */
const ROWS_PER_LOOK = 64;

/** One merge of files into new ones, done in pieces. */
export class Compaction {
  readonly plan: Plan;
  readonly inputs: readonly FileInfo[];
  readonly #options: CompactionOptions;
  readonly #merge: Merge;
  readonly #spans: readonly Span[];
  readonly #written: WrittenFile[] = [];
  #writer: SortedFileWriter | null = null;
  /** Where the file that is being written begins; null: at the beginning of all keys. */
  #from: Uint8Array | null = null;
  #ended = false;

  constructor(plan: Plan, options: CompactionOptions) {
    this.plan = plan;
    this.#options = options;
    this.inputs = plan.groups.flat();
    const { readers } = options;
    const open = (file: FileInfo) => readers.reader(file);
    const sources = plan.groups.map((files) =>
      new LevelSource({ files, spanned: files.filter(({ spans }) => spans > 0), open }, {
        reverse: false,
        from: null,
      })
    );
    this.#merge = new Merge(sources, { reverse: false });
    this.#spans = plan.bottom
      ? []
      : unionOf(this.inputs.filter(({ spans }) => spans > 0).flatMap((file) => open(file).spans));
  }

  /** Writes about `bytesMax` more; the new files once it is at the end, else null. */
  step(bytesMax: number): readonly WrittenFile[] | null {
    const merge = this.#merge, { bottom, again } = this.plan, { fileBytes } = this.#options.shape;
    let done = 0;
    while (merge.key !== null) {
      for (let i = 0; i < ROWS_PER_LOOK; i++) {
        const key: Uint8Array | null = merge.key;
        if (key === null) break;
        const value = merge.value();
        done += key.length + (value === null ? 0 : value.length);
        if (value !== null || !bottom) {
          if (!again && this.#writer !== null && this.#writer.bytes >= fileBytes) this.#endFile(key);
          this.#writer ??= this.#begin();
          this.#writer.add(key, value);
        }
        merge.next();
      }
      if (done >= bytesMax && merge.key !== null) return null;
    }
    this.#endFile(null);
    this.#ended = true;
    return this.#written;
  }

  /** It is not wanted after all: nothing of it is left. */
  discard(): void {
    if (this.#ended) return;
    this.#writer?.discard();
    for (const { info, handle } of this.#written) {
      handle.close();
      this.#options.files.remove(fileName(info.number));
    }
  }

  #begin(): SortedFileWriter {
    const { files, vault, shape: { blockBytes }, nextNumber } = this.#options;
    const number = nextNumber(), { into, again } = this.plan;
    const age = again ? this.inputs[0]!.age : number;
    return new SortedFileWriter({ files, vault, number, level: into, age, blockBytes });
  }

  /** The next file begins with `to`; null: there is none. Each file gets the spans between its bounds. */
  #endFile(to: Uint8Array | null): void {
    const spans = clipped(this.#spans, this.#from, to);
    if (this.#writer === null && spans.length === 0) return;
    const written = (this.#writer ?? this.#begin()).finish(spans);
    if (written !== null) this.#written.push(written);
    this.#writer = null;
    this.#from = to === null ? null : to.slice();
  }
}
