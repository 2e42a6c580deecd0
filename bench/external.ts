/** Runs programs that are not ours, which may be missing: the peers that benchmarks compare with. */

/** A program that is not on this machine. */
export class NotInstalled extends Error {
  override readonly name = "NotInstalled";

  constructor(command: string, packages: string) {
    super(`"${command}" is not installed: on Debian it comes with apt-get install ${packages}`);
  }
}

export interface RunOptions {
  /** The Debian packages that bring it. */
  readonly packages: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly secondsMax: number;
}

/** Starts a program. `Deno.Command` throws only when it is spawned, and in two ways where the program is missing. */
export function spawn(
  command: string,
  { packages, args, env = {} }: Omit<RunOptions, "secondsMax">,
  output: Pick<Deno.CommandOptions, "stdout" | "stderr">,
): Deno.ChildProcess {
  try {
    return new Deno.Command(command, { args: [...args], env: { ...env }, stdin: "null", ...output }).spawn();
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable;
    throw missing ? new NotInstalled(command, packages) : error;
  }
}

/**
 * What a program prints to its standard output.
 * @throws {NotInstalled} where it is missing
 * @throws {Error} with its last words when it fails or takes longer than `secondsMax`
 */
export async function outputOf(command: string, options: RunOptions): Promise<string> {
  const child = spawn(command, options, { stdout: "piped", stderr: "piped" });
  const late = setTimeout(() => child.kill("SIGKILL"), options.secondsMax * 1000);
  const { success, code, stdout, stderr } = await child.output();
  clearTimeout(late);
  const decoder = new TextDecoder();
  if (!success) {
    const words = decoder.decode(stderr).trim().split("\n").slice(-5).join("\n");
    throw new Error(`${command} ${options.args.join(" ")} ended with exit code ${code}: ${words}`);
  }
  return decoder.decode(stdout);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Ports of this machine that were free a moment ago, all different. */
export function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  return listeners.map((listener) => {
    const { port } = listener.addr;
    listener.close();
    return port;
  });
}
