/**
 * The writing half of the tables: one writer, which may be another thread than the reader's.
 *
 *  S1. A sorted file is written once and never changed. Its number is never given again while it may be on the disk.
 *  S2. The manifest is replaced as a whole, and only after every file that it names is synced. So after a crash the
 *      tables are as some manifest named them: as they were at the end of some step.
 *  S3. What was flushed is read at once and is durable with the next persist(). A crash before loses it whole.
 *  S4. A file is removed when neither the version, nor the manifest on the disk, nor the reader needs it any more.
 *  S5. Opening removes the files that no manifest names: what a crash has left, and nothing can refer to.
 *  S6. A write or sync that fails is not tried again: the writer is of no use any more, and whoever opens the tables
 *      next finds what a crash would have left. The names that it finds are synced before it relies on them.
 *  S7. A key is looked for in level 0 from the newest file on, then in the levels downwards. What merging moves
 *      down is older than all that stays above it and newer than all that lies below.
 *  S8. New files and manifests are sealed with the current key generation. What has another is written again in time.
 */
import { compareBytes } from "../base/bytes.ts";
import { invariant } from "../base/invariant.ts";
import { UnknownKeyError, type Vault } from "../base/vault.ts";
import { unpackLayers } from "./batch.ts";
import { Compaction } from "./compaction.ts";
import { sameOwner, TablesCorruptError, TablesForeignError, type TablesOwner } from "./errors.ts";
import type { TableFiles, WritableFile } from "./files.ts";
import {
  MANIFEST,
  type Manifest,
  NEW_MANIFEST,
  readManifest,
  readManifestOwner,
  writeManifest,
} from "./manifest.ts";
import { Merge } from "./merge.ts";
import { type Plan, planMerge, planRewrite, type Shape } from "./plan.ts";
import { Readers } from "./readers.ts";
import { fileName, fileNumber, SortedFileWriter, type WrittenFile } from "./sorted_file.ts";
import type { Span } from "./span.ts";
import { type Change, type FileInfo, Version } from "./version.ts";

/** More files than these are synced before the next is flushed, so that few are open. */
const UNSYNCED_MAX = 32;
/** Of the writer's own readers. */
const OPEN_MAX = 64;

export interface StoreState {
  readonly manifest: Manifest;
  readonly version: Version;
}

/**
 * Opens the tables, making them where there are none, and removes what a crash left (S5). Tables that name no owner yet
 * are given this one.
 * @throws {TablesCorruptError} also where a file is missing
 * @throws {TablesForeignError | TablesVersionError | UnknownKeyError}
 */
export function openStore(
  { files, vault, owner }: { files: TableFiles; vault: Vault; owner: TablesOwner | null },
): StoreState {
  const names = files.list();
  if (names.includes(MANIFEST)) checkOwner(files, owner);
  files.syncDirectory();
  let manifest = readManifest({ files, vault }) ?? begun({ files, vault, owner, names });
  const version = new Version(manifest.files);
  checkFiles({ files, vault, names }, version);
  for (const name of files.list()) {
    const number = fileNumber(name);
    if (name === NEW_MANIFEST || (number !== null && !version.has(number))) files.remove(name);
  }
  if (owner !== null && manifest.owner === null) {
    manifest = { ...manifest, owner, generation: vault.current };
    writeManifest({ files, vault }, manifest);
  }
  return { manifest, version };
}

/** Whoever opens the tables next is their owner. Of a node that is about to belong to another network. */
export function disownStore({ files, vault }: { files: TableFiles; vault: Vault }): void {
  const { manifest } = openStore({ files, vault, owner: null });
  writeManifest({ files, vault }, { ...manifest, owner: null });
}

function checkOwner(files: TableFiles, owner: TablesOwner | null): void {
  const found = readManifestOwner(files);
  if (owner !== null && found !== null && !sameOwner(owner, found)) {
    throw new TablesForeignError(files.describe(MANIFEST), found, owner);
  }
}

/** The first manifest of new tables. */
function begun(
  { files, vault, owner, names }: {
    files: TableFiles;
    vault: Vault;
    owner: TablesOwner | null;
    names: readonly string[];
  },
): Manifest {
  const orphans = names.filter((name) => fileNumber(name) !== null).length;
  if (orphans > 0) {
    const what = `it is missing, and ${orphans} files of tables lie beside it`;
    throw new TablesCorruptError(files.describe(MANIFEST), what);
  }
  const manifest = { owner, generation: vault.current, nextNumber: 1, files: [] };
  writeManifest({ files, vault }, manifest);
  return manifest;
}

function checkFiles(
  { files, vault, names }: { files: TableFiles; vault: Vault; names: readonly string[] },
  version: Version,
): void {
  const there = new Set(names);
  for (const { number, generation } of version.files()) {
    const name = fileName(number);
    if (!there.has(name)) throw new TablesCorruptError(files.describe(name), "it is missing");
    if (generation !== 0 && !vault.has(generation)) throw new UnknownKeyError(generation);
  }
}

export interface StoreWriterOptions {
  readonly files: TableFiles;
  readonly vault: Vault;
  readonly state: StoreState;
  readonly shape: Shape;
}

/** What there is to do beside flushing. */
export type Work = "merge" | "rewrite" | null;

export class StoreWriter {
  readonly #files: TableFiles;
  readonly #shape: Shape;
  readonly #readers: Readers;
  readonly #owner: TablesOwner | null;
  #vault: Vault;
  #version: Version;
  #nextNumber: number;
  /** What the manifest on the disk names, and with which generation it is sealed. */
  #durable: Version;
  #manifestGeneration: number;
  readonly #unsynced = new Map<number, WritableFile>();
  /** On the disk and not in the version; true: the reader needs them no more (S4). */
  readonly #leaving = new Map<number, { readonly info: FileInfo; released: boolean }>();
  #compaction: Compaction | null = null;
  /** For a version and a generation. */
  #planned: { readonly version: Version; readonly generation: number; readonly plan: Plan | null } | null =
    null;

  constructor({ files, vault, state: { manifest, version }, shape }: StoreWriterOptions) {
    this.#files = files;
    this.#vault = vault;
    this.#shape = shape;
    this.#readers = new Readers({ files, vault, cache: null, openMax: OPEN_MAX });
    this.#owner = manifest.owner;
    this.#version = this.#durable = version;
    this.#nextNumber = manifest.nextNumber;
    this.#manifestGeneration = manifest.generation;
  }

  get version(): Version {
    return this.#version;
  }

  /** The key generations that the files on the disk are sealed with; 0 among them where some are not. */
  generations(): number[] {
    const found = new Set([this.#manifestGeneration]);
    for (const version of [this.#version, this.#durable]) {
      for (const { generation } of version.files()) found.add(generation);
    }
    for (const { info } of this.#leaving.values()) found.add(info.generation);
    return [...found].sort((a, b) => a - b);
  }

  /** Files of level 0: the more, the slower are reads. */
  get backlog(): number {
    return this.#version.levels[0]!.length;
  }

  get work(): Work {
    if (this.#compaction !== null) return this.#compaction.plan.again ? "rewrite" : "merge";
    const plan = this.#plan();
    return plan === null ? null : plan.again ? "rewrite" : "merge";
  }

  /** Writes packed layers (see batch.ts) as one file of level 0. Not durable before persist(). */
  flush(packed: Uint8Array): Change {
    const { sources, spans } = unpackLayers(packed);
    if (this.#unsynced.size >= UNSYNCED_MAX) this.#syncFiles();
    const number = this.#nextNumber++;
    const { blockBytes } = this.#shape;
    const options = { files: this.#files, vault: this.#vault, number, level: 0, age: number, blockBytes };
    const writer = new SortedFileWriter(options);
    const merge = new Merge(sources, { reverse: false });
    for (let key = merge.key; key !== null; key = merge.key) {
      writer.add(key, merge.value());
      merge.next();
    }
    const written = writer.finish(spans);
    if (written === null) return { added: [], removed: [] };
    return this.#changed([written], this.#buried(spans));
  }

  /** All that was flushed becomes durable (S2). */
  persist(): void {
    this.#syncFiles();
    const stale = this.#manifestGeneration !== this.#vault.current;
    if (this.#durable === this.#version && !stale) return;
    writeManifest({ files: this.#files, vault: this.#vault }, {
      owner: this.#owner,
      nextNumber: this.#nextNumber,
      files: [...this.#version.files()],
    });
    this.#durable = this.#version;
    this.#manifestGeneration = this.#vault.current;
    this.#removeLeft();
  }

  /** Does a piece of what work() names, about `bytesMax` long. What has changed, where that ended something. */
  step(bytesMax: number): Change | null {
    if (this.#compaction === null) {
      const generation = this.#vault.current;
      const plan = planMerge(this.#version, this.#shape, generation) ??
        planRewrite(this.#version, generation);
      if (plan === null) return null;
      if (plan.move) return this.#move(plan);
      this.#compaction = new Compaction(plan, {
        files: this.#files,
        vault: this.#vault,
        readers: this.#readers,
        shape: this.#shape,
        nextNumber: () => this.#nextNumber++,
      });
    }
    const compaction = this.#compaction, written = compaction.step(bytesMax);
    if (written === null) return null;
    this.#compaction = null;
    const change = this.#changed(written, compaction.inputs);
    this.persist();
    return change;
  }

  /** Seals with the current generation of this vault from now on, which must have all that are in use. */
  rotate(vault: Vault): void {
    for (const generation of this.generations()) {
      if (generation !== 0 && !vault.has(generation)) throw new UnknownKeyError(generation);
    }
    if (vault.current !== this.#vault.current) {
      // What it has written so far would have to be written again.
      this.#compaction?.discard();
      this.#compaction = null;
    }
    this.#vault = vault;
    this.#readers.vault = vault;
  }

  /** The reader needs these files no more, which it was told are no longer live. */
  release(numbers: readonly number[]): void {
    for (const number of numbers) {
      const leaving = this.#leaving.get(number);
      invariant(leaving !== undefined, "S4: only files that are no longer live are released");
      leaving.released = true;
    }
    this.#removeLeft();
  }

  /** Nothing more is written. What was not persisted is lost with the next opening. */
  close(): void {
    this.#compaction?.discard();
    this.#compaction = null;
    for (const handle of this.#unsynced.values()) handle.close();
    this.#unsynced.clear();
    this.#readers.close();
  }

  #plan(): Plan | null {
    const version = this.#version, generation = this.#vault.current;
    if (this.#planned?.version !== version || this.#planned.generation !== generation) {
      const plan = planMerge(version, this.#shape, generation) ?? planRewrite(version, generation);
      this.#planned = { version, generation, plan };
    }
    return this.#planned.plan;
  }

  #move({ groups, into }: Plan): Change {
    const file = groups[0]![0]!;
    const change = { added: [{ ...file, level: into }], removed: [file.number] };
    this.#version = this.#version.with(change);
    return change;
  }

  #changed(written: readonly WrittenFile[], gone: readonly FileInfo[]): Change {
    for (const { info, handle } of written) this.#unsynced.set(info.number, handle);
    for (const info of gone) this.#leaving.set(info.number, { info, released: false });
    const change = { added: written.map(({ info }) => info), removed: gone.map(({ number }) => number) };
    this.#version = this.#version.with(change);
    return change;
  }

  /** Files that lie within one of the spans, which are newer than all there is. Nothing of them will ever be read. */
  #buried(spans: readonly Span[]): FileInfo[] {
    if (spans.length === 0) return [];
    const busy = new Set(this.#compaction?.inputs.map(({ number }) => number));
    return [...this.#version.files()].filter(({ number, first, end }) =>
      !busy.has(number) &&
      spans.some((span) => compareBytes(span.start, first) <= 0 && compareBytes(end, span.end) <= 0)
    );
  }

  /** Their names too, before a manifest can name them (S2). */
  #syncFiles(): void {
    if (this.#unsynced.size === 0) return;
    for (const [number, handle] of this.#unsynced) {
      handle.sync();
      handle.close();
      this.#unsynced.delete(number);
    }
    this.#files.syncDirectory();
  }

  #removeLeft(): void {
    for (const [number, { released }] of this.#leaving) {
      if (!released || this.#durable.has(number)) continue;
      this.#readers.forget([number]);
      // Merged away before it was ever durable.
      this.#unsynced.get(number)?.close();
      this.#unsynced.delete(number);
      this.#files.remove(fileName(number));
      this.#leaving.delete(number);
    }
  }
}
