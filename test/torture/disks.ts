/** What is done to the disk of one node: a small file system of its own, and system calls that fail or take long. */
import { join } from "node:path";
import { must, run } from "./machine.ts";
import type { IoCall, IoError } from "./plan.ts";

const CHUNK = new Uint8Array(1024 * 1024);
const LAST_CHUNK = new Uint8Array(4096);
const REFILL_MS = 100;

/** A file system in memory, of a fixed size. */
export class SmallDisk {
  readonly path: string;
  #filling: Promise<void> | null = null;
  #stop = false;

  private constructor(path: string) {
    this.path = path;
  }

  static async mount(path: string, megabytes: number): Promise<SmallDisk> {
    await must("mount", "-t", "tmpfs", "-o", `size=${megabytes}m,mode=700`, "torture", path);
    return new SmallDisk(path);
  }

  /** Takes all space there is with one large file, and what comes free, until free(). Resolves when it is full. */
  async fill(): Promise<void> {
    const full = Promise.withResolvers<void>();
    this.#stop = false;
    this.#filling = this.#keepFull(full.resolve);
    await Promise.race([full.promise, this.#filling]);
  }

  async free(): Promise<void> {
    if (this.#filling === null) return;
    this.#stop = true;
    await this.#filling;
    this.#filling = null;
    await Deno.remove(this.#balloon);
  }

  /** Only while no file in it is open for writing. */
  async setReadOnly(readOnly: boolean): Promise<void> {
    await must("mount", "-o", `remount,${readOnly ? "ro" : "rw"}`, this.path);
  }

  /** Copies what is on it, for a person to look at when it is gone. */
  async saveTo(path: string): Promise<void> {
    await must("cp", "-a", this.path, path);
  }

  /** Lazily: a process that is about to end may hold a file. */
  async unmount(): Promise<void> {
    await must("umount", "-l", this.path);
  }

  get #balloon(): string {
    return join(this.path, "balloon");
  }

  async #keepFull(full: () => void): Promise<void> {
    using file = await Deno.open(this.#balloon, { create: true, write: true });
    do {
      for (const chunk of [CHUNK, LAST_CHUNK]) while (await tookAll(file, chunk));
      full();
      await new Promise((done) => setTimeout(done, REFILL_MS));
    } while (!this.#stop);
  }
}

async function tookAll(file: Deno.FsFile, chunk: Uint8Array): Promise<boolean> {
  try {
    return await file.write(chunk) === chunk.length;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOSPC") return false;
    throw error;
  }
}

const SYNCS = "fdatasync,fsync";
const WRITES = "write,pwrite64,pwritev,ftruncate";
const ATTACH_MS_MAX = 5000;

/** A tracer attached to a running node, which makes its system calls fail or take long until it is detached. */
export class Injection {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  /** From now on each such call on the files in `data` fails. */
  static failing(
    pid: number,
    { data, call, error }: { readonly data: string; readonly call: IoCall; readonly error: IoError },
  ): Promise<Injection> {
    const calls = call === "sync" ? SYNCS : WRITES;
    // Writes to sockets and to the log are no concern of the disk.
    const paths = [...Deno.readDirSync(data)].filter(({ isFile }) => isFile)
      .flatMap(({ name }) => ["-P", join(data, name)]);
    return Injection.#attach(pid, ["-e", `trace=${calls}`, "-e", `inject=${calls}:error=${error}`, ...paths]);
  }

  static slow(pid: number, delayMs: number): Promise<Injection> {
    const inject = `inject=${SYNCS}:delay_enter=${delayMs * 1000}`;
    return Injection.#attach(pid, ["-e", `trace=${SYNCS}`, "-e", inject]);
  }

  async detach(): Promise<void> {
    try {
      this.#child.kill("SIGINT");
    } catch (error) {
      // It ended with the process it was attached to.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#child.status;
  }

  /** Resolves when the process is traced. */
  static async #attach(pid: number, what: readonly string[]): Promise<Injection> {
    const child = new Deno.Command("strace", {
      args: ["-f", "-qq", "-o", "/dev/null", ...what, "-p", String(pid)],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const injection = new Injection(child);
    const giveUp = performance.now() + ATTACH_MS_MAX;
    // A process that ended at its first failing call was traced too.
    for (let status = await statusOf(pid); status !== "" && !isTraced(status); status = await statusOf(pid)) {
      if (performance.now() > giveUp) {
        await injection.detach();
        throw new Error(`strace did not attach to process ${pid}`);
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    return injection;
  }
}

/** "" where there is no such process. Reading it oneself takes more permissions than all the rest. */
async function statusOf(pid: number): Promise<string> {
  return (await run("cat", `/proc/${pid}/status`)).stdout;
}

function isTraced(status: string): boolean {
  return /^TracerPid:\s+[1-9]/m.test(status);
}

/** Changes one byte of the newest segment of a journal, so far into it. Returns what was done; null: there was none. */
export async function flipJournalByte(data: string, perMille: number): Promise<string | null> {
  const segments = [...Deno.readDirSync(data)].map(({ name }) => name).filter((name) =>
    name.startsWith("journal-")
  );
  const newest = segments.sort().at(-1);
  if (newest === undefined) return null;
  const path = join(data, newest);
  const bytes = await Deno.readFile(path);
  // Zeros behind the last record are no part of the journal yet.
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  if (end === 0) return null;
  const at = Math.floor(end * perMille / 1000);
  bytes[at]! ^= 0x10;
  await Deno.writeFile(path, bytes);
  return `byte ${at} of ${end} of ${newest}`;
}
