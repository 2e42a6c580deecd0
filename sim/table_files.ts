/**
 * Files of tables on a simulated disk, whose names are as S1 says.
 *
 *  T1  What was appended since a file's last sync reaches the disk in any order, by sectors: of each nothing, all, or as
 *      much as one of the appends made of it. So does the file's length. What never came is zero, or stale.
 *  T2  A sync that fails has lost some of what it was to write, and the pages count as clean: programs read them as
 *      they wrote them, no later sync writes them, and it reports success.
 */
import type { Random } from "../core/base/random.ts";
import { SALT_BYTES } from "../core/base/vault.ts";
import type { ReadableFile, TableFiles, WritableFile } from "../core/tables/files.ts";
import { type Chosen, SECTOR_BYTES, SimulatedFiles, systemError } from "./simulated_files.ts";

class Inode {
  bytes = new Uint8Array(0);
  /** Certain up to here, but for what a failed sync lost. */
  synced = 0;
  /** Lengths after each append since the last sync. */
  lengths: number[] = [];
  /** Sectors that are as nobody wrote them on the disk. */
  readonly lost = new Set<number>();

  append(more: Uint8Array): void {
    const grown = new Uint8Array(this.bytes.length + more.length);
    grown.set(this.bytes);
    grown.set(more, this.bytes.length);
    this.bytes = grown;
    this.lengths.push(grown.length);
  }

  sync(): void {
    this.synced = this.bytes.length;
    this.lengths = [];
  }
}

export class SimTableFiles extends SimulatedFiles<Inode> implements TableFiles {
  /** All that was appended. */
  written = 0;

  create(name: string): WritableFile {
    const inode = new Inode();
    this.createName(name, inode);
    this.openFiles++;
    return {
      append: (bytes) => this.#append(name, inode, bytes),
      sync: () => this.#sync(name, inode),
      close: () => void this.openFiles--,
    };
  }

  open(name: string): ReadableFile | null {
    const inode = this.find(name);
    if (inode === null) return null;
    this.openFiles++;
    return {
      read: (at, into) => {
        const part = inode.bytes.subarray(at, at + into.length);
        into.set(part);
        return part.length;
      },
      size: () => inode.bytes.length,
      close: () => void this.openFiles--,
    };
  }

  rename(from: string, to: string): void {
    this.setName(to, this.inode(from));
    this.setName(from, null);
    this.done(`rename ${from} to ${to}`);
  }

  remove(name: string): void {
    const { bytes } = this.inode(name), sectors: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      sectors.push(bytes.subarray(at, at + SECTOR_BYTES));
    }
    this.removeName(name, sectors);
  }

  salt(): Uint8Array {
    return Uint8Array.from({ length: SALT_BYTES }, () => this.random.below(256));
  }

  describe(name: string): string {
    return name;
  }

  /** What a program would read of a file. */
  read(name: string): Uint8Array | null {
    return this.find(name)?.bytes ?? null;
  }

  /** All bytes of all files. */
  get size(): number {
    let sum = 0;
    for (const { bytes } of this.inodes()) sum += bytes.length;
    return sum;
  }

  /** Puts `bytes` into a file at `at`, on the disk and for who reads it. Behind the file's end they change nothing. */
  overwrite(name: string, at: number, bytes: Uint8Array): void {
    const inode = this.inode(name);
    const changed = inode.bytes.slice();
    changed.set(bytes.subarray(0, Math.max(0, changed.length - at)), at);
    inode.bytes = changed;
  }

  /** Changes the bits of `mask` of one byte. */
  flip(name: string, at: number, mask: number): void {
    this.overwrite(name, at, Uint8Array.of(this.read(name)![at]! ^ mask));
  }

  /** The disk as it is left by a loss of power now. This one stays as it was. */
  crash(random: Random): SimTableFiles {
    const after = new SimTableFiles(random);
    this.crashInto(after, (inode, chosen) => {
      const left = new Inode();
      left.bytes = this.#crashed(inode, chosen, random);
      left.sync();
      return left;
    });
    return after;
  }

  /** T1 */
  #crashed(inode: Inode, chosen: Chosen, random: Random): Uint8Array<ArrayBuffer> {
    const { synced, lengths } = inode;
    const left = new Uint8Array(chosen([synced, ...lengths]));
    const stale = this.stale.length > 0 && random.chance(1, 4);
    for (let sector = 0; sector * SECTOR_BYTES < left.length; sector++) {
      const at = sector * SECTOR_BYTES, end = Math.min(at + SECTOR_BYTES, left.length);
      if (stale && (at >= synced || inode.lost.has(sector))) {
        left.set(random.pick(this.stale).subarray(0, end - at), at);
      }
      if (inode.lost.has(sector)) continue;
      const within = (length: number) => Math.min(end, Math.max(at, length));
      const certain = within(synced);
      const upTo = certain === end ? end : chosen([certain, ...lengths.map(within)]);
      if (upTo > at) left.set(inode.bytes.subarray(at, upTo), at);
    }
    return left;
  }

  #append(name: string, inode: Inode, bytes: Uint8Array): void {
    const fails = this.fails("write");
    const length = fails ? this.random.below(bytes.length) : bytes.length;
    inode.append(bytes.subarray(0, length));
    this.written += length;
    this.done(`append ${length} of ${bytes.length} bytes to ${name}`);
    if (fails) throw systemError("ENOSPC", "No space left on device (os error 28)");
  }

  #sync(name: string, inode: Inode): void {
    if (this.fails("sync")) {
      const from = Math.floor(inode.synced / SECTOR_BYTES);
      for (let sector = from; sector * SECTOR_BYTES < inode.bytes.length; sector++) {
        if (this.random.chance(1, 2)) inode.lost.add(sector);
      }
      inode.sync();
      throw systemError("EIO", "Input/output error (os error 5)");
    }
    inode.sync();
    this.done(`sync ${name}`);
  }
}
