/**
 * Files of a journal on a simulated disk, whose names are as S1 says.
 *
 *  M1  What was written since a file's last sync reaches the disk in any order, by sectors: of each, any version since.
 *      So does its length. Sectors that a grown file never got are zero, or hold what another file left there.
 *  M2  A sync that fails has lost some of what it was to write, and the pages count as clean: programs read them as they
 *      wrote them, no later sync writes them, and it reports success.
 *  M3  A sync through the pool covers what was written when it began, and ends when complete() is called.
 */
import { Buffer } from "node:buffer";
import { basename } from "node:path";
import type { Random } from "../../../core/base/random.ts";
import type { JournalFile, JournalFileSystem } from "../../../cli/host/journal_segments.ts";
import { type Chosen, SECTOR_BYTES, SimulatedFiles, systemError } from "../../../sim/simulated_files.ts";

const ZERO = new Uint8Array(SECTOR_BYTES);

/** Sectors are never changed in place: versions share them. */
type Sector = Uint8Array;

class Inode {
  length = 0;
  readonly cache = new Map<number, Sector>();
  diskLength = 0;
  readonly disk = new Map<number, Sector>();
  /** Versions since the last sync, oldest first; those that a sync under way covers come first, in `flying`. */
  flying = new Map<number, Sector[]>();
  pending = new Map<number, Sector[]>();
  lengths: number[] = [];

  set(index: number, sector: Sector): void {
    this.cache.set(index, sector);
    const versions = this.pending.get(index);
    if (versions === undefined) this.pending.set(index, [sector]);
    else versions.push(sector);
  }

  write(at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const index = Math.floor((at + done) / SECTOR_BYTES), from = (at + done) % SECTOR_BYTES;
      const part = bytes.subarray(done, done + SECTOR_BYTES - from);
      this.set(index, this.#patched(index, part, from));
      done += part.length;
    }
    if (at + bytes.length > this.length) this.#resize(at + bytes.length);
  }

  #patched(index: number, part: Uint8Array, from: number): Sector {
    // Filling with zeros is most of what a journal writes.
    if (Buffer.compare(part, ZERO) === 0) return ZERO;
    const sector = Uint8Array.from(this.cache.get(index) ?? ZERO);
    sector.set(part, from);
    return sector;
  }

  truncate(length: number): void {
    const kept = Math.floor(length / SECTOR_BYTES), within = length % SECTOR_BYTES;
    for (const index of [...this.cache.keys()]) {
      if (index > kept || (index === kept && within === 0)) this.set(index, ZERO);
      else if (index === kept) {
        const sector = Uint8Array.from(this.cache.get(index)!);
        this.set(index, sector.fill(0, within));
      }
    }
    this.#resize(length);
  }

  #resize(length: number): void {
    this.length = length;
    this.lengths.push(length);
  }

  read(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.length / SECTOR_BYTES) * SECTOR_BYTES);
    for (const [index, sector] of this.cache) {
      if (sector !== ZERO && index * SECTOR_BYTES < bytes.length) bytes.set(sector, index * SECTOR_BYTES);
    }
    return bytes.subarray(0, this.length);
  }

  sync(): void {
    for (const versions of [this.flying, this.pending]) {
      for (const [index, sectors] of versions) this.disk.set(index, sectors.at(-1)!);
      versions.clear();
    }
    this.diskLength = this.length;
    this.lengths = [];
  }

  /** M2. */
  lose(versions: Map<number, Sector[]>, random: Random): void {
    for (const [index, sectors] of versions) {
      if (random.chance(1, 2)) this.disk.set(index, sectors.at(-1)!);
    }
    versions.clear();
  }
}

interface Flight {
  readonly end: () => void;
}

export class MemoryFiles extends SimulatedFiles<Inode> implements JournalFileSystem {
  readonly #flights: Flight[] = [];

  read(path: string): Uint8Array {
    return this.inode(basename(path)).read();
  }

  open(path: string, options: Deno.OpenOptions): JournalFile {
    const name = basename(path);
    if (options.createNew === true) this.createName(name, new Inode());
    return this.#handle(name, this.inode(name));
  }

  remove(path: string): void {
    const name = basename(path);
    this.removeName(name, this.inode(name).cache.values().filter((sector) => sector !== ZERO));
  }

  /** Ends the syncs under way. */
  complete(): void {
    for (const { end } of this.#flights.splice(0)) end();
  }

  /** Changes the bits of `mask` of one byte that is on the disk. Behind the end of the file it changes nothing. */
  flip(name: string, at: number, mask: number): void {
    const inode = this.inode(name), index = Math.floor(at / SECTOR_BYTES);
    const sector = Uint8Array.from(inode.cache.get(index) ?? ZERO);
    sector[at % SECTOR_BYTES]! ^= mask;
    inode.cache.set(index, sector);
    inode.disk.set(index, sector);
  }

  /** The disk after a loss of power now. */
  crash(random: Random): MemoryFiles {
    const after = new MemoryFiles(random);
    this.crashInto(after, (inode, chosen) => this.#crashed(inode, chosen, random));
    return after;
  }

  #crashed(inode: Inode, chosen: Chosen, random: Random): Inode {
    const left = new Inode();
    left.length = left.diskLength = chosen([inode.diskLength, ...inode.lengths]);
    const put = (index: number, sector: Sector) => {
      if (index * SECTOR_BYTES >= left.length) return;
      // Nothing of the file lies behind its end.
      const within = left.length - index * SECTOR_BYTES;
      const kept = within >= SECTOR_BYTES || sector === ZERO
        ? sector
        : Uint8Array.from(sector).fill(0, within);
      left.cache.set(index, kept);
      left.disk.set(index, kept);
    };
    const stale = this.stale.length > 0 && random.chance(1, 4);
    const unsynced = new Set([...inode.flying.keys(), ...inode.pending.keys()]);
    for (const [index, sector] of inode.disk) if (!unsynced.has(index)) put(index, sector);
    for (const index of unsynced) {
      const never = stale ? random.pick(this.stale) : ZERO;
      const first = inode.disk.get(index) ?? never;
      put(index, chosen([first, ...inode.flying.get(index) ?? [], ...inode.pending.get(index) ?? []]));
    }
    return left;
  }

  #handle(name: string, inode: Inode): JournalFile {
    this.openFiles++;
    let at = 0, open = true;
    const sync = () => {
      if (this.fails("sync")) {
        inode.lose(inode.pending, this.random);
        throw systemError("EIO", "Input/output error (os error 5)");
      }
      inode.sync();
      this.done(`sync ${name}`);
    };
    return {
      readSync: (into) => {
        const bytes = inode.read().subarray(at, at + into.length);
        into.set(bytes);
        at += bytes.length;
        return bytes.length === 0 ? null : bytes.length;
      },
      writeSync: (bytes) => {
        const fails = this.fails("write");
        const length = fails || this.random.chance(1, 20)
          ? 1 + this.random.below(bytes.length)
          : bytes.length;
        inode.write(at, bytes.subarray(0, length));
        this.done(`write ${name} at ${at}, ${length} of ${bytes.length} bytes`);
        at += length;
        if (fails) throw systemError("ENOSPC", "No space left on device (os error 28)");
        return length;
      },
      seekSync: (offset, whence) => at = Number(offset) + (whence === Deno.SeekMode.End ? inode.length : 0),
      truncateSync: (length = 0) => {
        inode.truncate(length);
        this.done(`truncate ${name} at ${length}`);
      },
      syncSync: sync,
      syncDataSync: sync,
      syncData: () => this.#syncThroughPool(name, inode),
      close: () => {
        if (!open) throw systemError("EBADF", `Bad resource ID: ${name} is closed`);
        open = false;
        this.openFiles--;
      },
    };
  }

  #syncThroughPool(name: string, inode: Inode): Promise<void> {
    inode.flying = inode.pending;
    inode.pending = new Map();
    const { length, lengths } = inode;
    const fails = this.fails("sync");
    if (fails) inode.lose(inode.flying, this.random);
    return new Promise((done, failed) => {
      const end = () => {
        if (fails) return failed(systemError("EIO", "Input/output error (os error 5)"));
        for (const [index, sectors] of inode.flying) inode.disk.set(index, sectors.at(-1)!);
        inode.flying.clear();
        if (inode.lengths === lengths) {
          inode.diskLength = length;
          inode.lengths = lengths.slice(lengths.lastIndexOf(length) + 1);
        }
        this.done(`sync ${name} through the pool`);
        done();
      };
      this.#flights.push({ end });
    });
  }
}
