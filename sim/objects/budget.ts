/**
 * How many fragments may be hurt for good. A scheme promises to bear the loss of so many fragments of a chunk as a write
 * quorum has more than are needed to read it, and that until repair has caught up.
 *
 * F1. Of every chunk that can be read from what is whole, enough is left whole to read it.
 * F2. Of no chunk more fragments are hurt than its margin before it has all its fragments again, whoever holds them: who
 *     should not lets go of its own only when those who should have read theirs and found them whole.
 * F3. A chunk that cannot be read is being written, or is left of a write that came to nothing: as long as it is young,
 *     nothing of it is hurt, for its writer may have been told already that it is durable.
 *
 * Temporary absence is no loss: whoever comes back brings its fragments.
 */
import { fragmentCount, neededCount } from "../../core/objects/fragment.ts";
import type { FragmentId, Scheme } from "../../core/wire/objects.ts";
import type { ChunkDisk, StoredFragment } from "./chunk_disk.ts";

/** A machine as this budget sees it. */
export interface Keeper {
  readonly chunks: ChunkDisk;
  /** What it has is lost to the network, or will be: it never comes back, or is on its way out. */
  readonly out: boolean;
}

/** What would be hurt. */
export interface Loss {
  readonly chunks: ChunkDisk;
  /** null: all that it has. */
  readonly fragments: readonly FragmentId[] | null;
}

interface ChunkState {
  readonly scheme: Scheme;
  /** Whole fragments: which index on whose disk. */
  readonly whole: { readonly on: ChunkDisk; readonly index: number }[];
  youngestAt: number;
}

/** A write that has not been answered after this long will not be. */
const YOUNG_US = 60_000_000;

export class FragmentBudget {
  readonly #keepers: () => readonly Keeper[];
  readonly #active: () => number;
  /** How many fragments of each chunk were hurt since it last had all. */
  readonly #hurt = new Map<string, number>();

  /** `active`: how many members may hold fragments. */
  constructor(keepers: () => readonly Keeper[], active: () => number) {
    this.#keepers = keepers;
    this.#active = active;
  }

  /** Whether all of these may be hurt now, together. */
  affords(losses: readonly Loss[], now: number): boolean {
    const chunks = this.#chunks();
    this.#forgetMended(chunks);
    for (const [name, hits] of this.#hits(losses)) {
      const chunk = chunks.get(name);
      if (chunk === undefined) continue;
      const needed = neededCount(chunk.scheme), before = distinct(chunk, () => true);
      if (before < needed) {
        if (chunk.youngestAt + YOUNG_US > now) return false; // F3
        continue;
      }
      const left = distinct(
        chunk,
        ({ on, index }) => !hits.some((hit) => hit.on === on && hit.index === index),
      );
      if (left < needed) return false; // F1
      if ((this.#hurt.get(name) ?? 0) + hits.length > marginOf(chunk.scheme)) return false; // F2
    }
    return true;
  }

  /** To be asked before they are hurt; what it returns is to be called when they are. */
  bill(losses: readonly Loss[]): () => void {
    const hits = [...this.#hits(losses)].map(([name, { length }]) => ({ name, length }));
    return () => {
      for (const { name, length } of hits) this.#hurt.set(name, (this.#hurt.get(name) ?? 0) + length);
    };
  }

  /** Chunks that lack something since they were hurt. */
  get wounded(): number {
    this.#forgetMended(this.#chunks());
    return this.#hurt.size;
  }

  #hits(losses: readonly Loss[]): Map<string, { readonly on: ChunkDisk; readonly index: number }[]> {
    const hits = new Map<string, { readonly on: ChunkDisk; readonly index: number }[]>();
    for (const { chunks, fragments } of losses) {
      const files = fragments === null ? chunks.all() : fragments.map((fragment) => chunks.stored(fragment));
      for (const file of files) {
        if (file === null || file.harm !== null) continue;
        const name = chunkName(file.fragment), hit = { on: chunks, index: file.fragment.index };
        const list = hits.get(name);
        if (list === undefined) hits.set(name, [hit]);
        else list.push(hit);
      }
    }
    return hits;
  }

  #chunks(): Map<string, ChunkState> {
    const chunks = new Map<string, ChunkState>(), seen = new Set<ChunkDisk>();
    for (const { chunks: disk, out } of this.#keepers()) {
      // A machine that takes another's place may have its disk.
      if (out || seen.has(disk)) continue;
      seen.add(disk);
      for (const file of disk.all()) if (file.harm === null) addTo(chunks, disk, file);
    }
    return chunks;
  }

  #forgetMended(chunks: ReadonlyMap<string, ChunkState>): void {
    const active = this.#active();
    for (const name of [...this.#hurt.keys()]) {
      const chunk = chunks.get(name);
      if (chunk === undefined) continue;
      if (distinct(chunk, () => true) >= Math.min(fragmentCount(chunk.scheme), active)) {
        this.#hurt.delete(name);
      }
    }
  }
}

/** How many fragments may be lost of a chunk that was written with no more than a quorum. */
export function marginOf(scheme: Scheme): number {
  return scheme.kind === "replicated" ? Math.floor(scheme.copies / 2) : Math.ceil(scheme.parity / 2);
}

function addTo(
  chunks: Map<string, ChunkState>,
  on: ChunkDisk,
  { fragment, scheme, writtenAt }: StoredFragment,
) {
  if (scheme === null) return;
  const name = chunkName(fragment);
  let chunk = chunks.get(name);
  if (chunk === undefined) chunks.set(name, chunk = { scheme, whole: [], youngestAt: writtenAt });
  chunk.youngestAt = Math.max(chunk.youngestAt, writtenAt);
  chunk.whole.push({ on, index: fragment.index });
}

/** Fragments that count: each copy, or each index of a stripe once. */
function distinct(
  { scheme, whole }: ChunkState,
  counts: (held: { readonly on: ChunkDisk; readonly index: number }) => boolean,
): number {
  const held = whole.filter(counts);
  return scheme.kind === "replicated" ? held.length : new Set(held.map(({ index }) => index)).size;
}

function chunkName({ segment, chunk }: FragmentId): string {
  return `${segment}.${chunk}`;
}
