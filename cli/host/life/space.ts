import { statfsSync } from "node:fs";

const KiB = 1024, MiB = 1024 * KiB;
const RESERVE_BYTES_MAX = 256 * MiB;
/** The default reserve takes this share of a small file system. */
const RESERVE_PART = 20;
/** What a node that ran out of space waits for: room for a piece of journal and of tables. */
const RESTART_BYTES_MAX = 16 * MiB;
const LOOK_MS = 1000;
/** Looked at again as soon as this part of what was left above the reserve is written. */
const WRITTEN_PART = 4;

export interface SpaceWatchOptions {
  /** A directory of the file system that is watched. */
  readonly path: string;
  /** Below this many free bytes the disk counts as nearly full. Default: 256 MiB, or 1/20 of a smaller file system. */
  readonly reserve?: number | undefined;
  readonly changed: (low: boolean) => void;
  /** The system does not say how much is free; told once. */
  readonly blind: (why: string) => void;
}

/**
 * Watches how much space is left, once a second and sooner where much is written.
 *
 * Low begins below the reserve and ends a quarter above it, so that a node at the border does not go back and forth.
 */
export class SpaceWatch {
  readonly #options: SpaceWatchOptions;
  #timer: ReturnType<typeof setInterval> | null = null;
  #low = false;
  #blind = false;
  #journalBytes = 0;
  #written = 0;
  #writtenMax = 0;
  #free = 0;
  #total = 0;

  constructor(options: SpaceWatchOptions) {
    this.#options = options;
  }

  /** Looks for the first time. What it tells then may ask this watch already, so its maker must have it. */
  begin(): void {
    this.look();
    this.#timer = setInterval(() => this.look(), LOOK_MS);
  }

  get low(): boolean {
    return this.#low;
  }
  get freeBytes(): number {
    return this.#free;
  }
  /** The bounds depend on the size of the file system, which may grow. */
  get reserveBytes(): number {
    return this.#options.reserve ?? Math.min(RESERVE_BYTES_MAX, Math.floor(this.#total / RESERVE_PART));
  }
  get restartBytes(): number {
    return Math.min(RESTART_BYTES_MAX, Math.max(Math.floor(this.#total / RESERVE_PART), 1));
  }
  /** As far as can be known there is room to begin anew. */
  get roomToRestart(): boolean {
    return this.#blind || this.#free >= this.restartBytes;
  }

  /** The journal's segment has grown to `segmentBytes`. Called often: looks only when that may matter. */
  wrote(segmentBytes: number): void {
    this.#written += Math.max(0, segmentBytes - this.#journalBytes);
    this.#journalBytes = segmentBytes;
    if (this.#written > this.#writtenMax) this.look();
  }

  /** So much was written elsewhere on the same disk. */
  wroteBytes(bytes: number): void {
    this.#written += bytes;
    if (this.#written > this.#writtenMax) this.look();
  }

  look(): void {
    if (this.#blind) return;
    try {
      const { bavail, bsize, blocks } = statfsSync(this.#options.path);
      if (blocks === 0) return this.#goBlind("the file system does not tell its size");
      this.#free = bavail * bsize;
      this.#total = blocks * bsize;
    } catch (error) {
      // A disk that fails is told by who writes to it.
      if (error instanceof Deno.errors.NotCapable) this.#goBlind(error.message);
      return;
    }
    const reserve = this.reserveBytes;
    this.#written = 0;
    this.#writtenMax = Math.max(MiB, Math.floor((this.#free - reserve) / WRITTEN_PART));
    const low = this.#free < (this.#low ? reserve + reserve / 4 : reserve);
    if (low === this.#low) return;
    this.#low = low;
    this.#options.changed(low);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  #goBlind(why: string): void {
    this.#blind = true;
    this.#options.blind(why);
  }
}

/** In the largest of MiB, KiB and bytes of which there is one. */
export function sizeText(bytes: number): string {
  if (bytes < KiB) return `${Math.ceil(bytes)} bytes`;
  // What would be rounded to 1024 KiB is a MiB.
  const [unit, name] = bytes < MiB - KiB / 2 ? [KiB, "KiB"] : [MiB, "MiB"];
  return `${(bytes / unit).toFixed(bytes < 10 * unit ? 1 : 0)} ${name}`;
}
