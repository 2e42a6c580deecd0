/**
 * What simulated disks of all kinds of files have in common. They keep what programs see apart from what a loss of
 * power would leave.
 *
 *  S1  A name that was made, removed or moved is certain only when the directory was synced. A rename is one of two
 *      names, never a part of a file.
 */
import type { Random } from "../core/base/random.ts";

export const SECTOR_BYTES = 512;
const STALE_KEPT = 64;

/** Which of the versions of one piece, oldest first, a loss of power leaves. */
export type Chosen = <T>(versions: readonly T[]) => T;

/** What a crash leaves of what is not certain: nothing, all, or of each piece any version. */
const ARRIVALS = ["nothing", "all", "any", "any"] as const;

function arrivals(random: Random): Chosen {
  const arrival = random.pick(ARRIVALS);
  return (versions) =>
    arrival === "nothing" ? versions[0]! : arrival === "all" ? versions.at(-1)! : random.pick(versions);
}

/** What is to fail: the nth operation of the kind from now on. */
export interface FileFault {
  readonly kind: "sync" | "write";
  after: number;
}

export abstract class SimulatedFiles<Inode> {
  protected readonly random: Random;
  readonly #names = new Map<string, Inode>();
  readonly #diskNames = new Map<string, Inode>();
  /** What a name has meant since the directory was last synced. */
  readonly #pendingNames = new Map<string, (Inode | null)[]>();
  /** Sectors that removed files have left on the disk. */
  protected readonly stale: Uint8Array[] = [];
  /** Called when an operation that changes something is done. */
  done: (operation: string) => void = () => {};
  fault: FileFault | null = null;
  openFiles = 0;

  constructor(random: Random) {
    this.random = random;
  }

  list(): string[] {
    return [...this.#names.keys()].sort();
  }

  syncDirectory(): void {
    if (this.fails("sync")) throw systemError("EIO", "Input/output error (os error 5)");
    this.#diskNames.clear();
    for (const [name, inode] of this.#names) this.#diskNames.set(name, inode);
    this.#pendingNames.clear();
    this.done("sync directory");
  }

  protected inodes(): Iterable<Inode> {
    return this.#names.values();
  }

  protected find(name: string): Inode | null {
    return this.#names.get(name) ?? null;
  }

  protected inode(name: string): Inode {
    const inode = this.find(name);
    if (inode === null) throw systemError("ENOENT", `No such file or directory (os error 2), '${name}'`);
    return inode;
  }

  protected createName(name: string, inode: Inode): void {
    if (this.#names.has(name)) throw systemError("EEXIST", `File exists (os error 17), open '${name}'`);
    this.setName(name, inode);
    this.done(`create ${name}`);
  }

  /** null: the name is gone. */
  protected setName(name: string, inode: Inode | null): void {
    if (inode === null) this.#names.delete(name);
    else this.#names.set(name, inode);
    const versions = this.#pendingNames.get(name);
    if (versions === undefined) this.#pendingNames.set(name, [inode]);
    else versions.push(inode);
  }

  /** Removes the file, which leaves these sectors on the disk. */
  protected removeName(name: string, sectors: Iterable<Uint8Array>): void {
    for (const sector of sectors) this.stale.push(sector);
    this.stale.splice(0, this.stale.length - STALE_KEPT);
    this.setName(name, null);
    this.done(`remove ${name}`);
  }

  protected fails(kind: FileFault["kind"]): boolean {
    const { fault } = this;
    if (fault === null || fault.kind !== kind || fault.after-- > 0) return false;
    this.fault = null;
    return true;
  }

  /** Puts into `after`, which is empty, what a loss of power now leaves of this disk (S1). This one stays as it was. */
  protected crashInto(
    after: SimulatedFiles<Inode>,
    left: (inode: Inode, chosen: Chosen) => Inode,
  ): void {
    const chosen = arrivals(after.random);
    const names = new Set([...this.#diskNames.keys(), ...this.#pendingNames.keys()]);
    for (const name of [...names].sort()) {
      const inode = chosen([this.#diskNames.get(name) ?? null, ...this.#pendingNames.get(name) ?? []]);
      if (inode === null) continue;
      const kept = left(inode, chosen);
      after.#names.set(name, kept);
      after.#diskNames.set(name, kept);
    }
    after.stale.push(...this.stale);
  }
}

export function systemError(code: string, text: string): Error {
  return Object.assign(new Error(text), { code });
}
