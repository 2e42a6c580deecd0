/**
 * `deno task compile`: makes the program one executable file.
 *
 * `deno compile` builds dist/space-opera. It downloads a base binary that not every machine can reach; where it fails,
 * this says why and builds dist/space-opera.run, which holds the Deno binary that is running, the bundled program and
 * the data it reads, behind the script launcher.sh.
 */
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION } from "./version.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const MAIN = "cli/main.ts";
/** Scripts that run as threads of their own, and the names beside the bundle by which they are started. */
const WORKERS: Readonly<Record<string, string>> = {
  "cli/host/tables/writer.ts": "tables-writer.js",
  "cli/commands/sim_worker.ts": "sim-worker.js",
};
/** What the program reads at run time, and what must go with it. */
const DATA = ["LICENSE", "fixtures/scenarios", "fixtures/sky"];
const COMPILE_MS_MAX = 60_000;

interface Outcome {
  readonly success: boolean;
  readonly stderr: string;
}

async function deno(args: readonly string[], { msMax }: { readonly msMax?: number } = {}): Promise<Outcome> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    ...(msMax === undefined ? {} : { signal: AbortSignal.timeout(msMax) }),
  }).spawn();
  const [{ success, signal }, stderr] = await Promise.all([child.status, new Response(child.stderr).text()]);
  const late = signal === "SIGTERM" && msMax !== undefined;
  return { success, stderr: late ? `No answer within ${msMax / 1000} s` : stderr };
}

/** `deno run`'s flags for each command, as the tasks of deno.json have them; under "" for all other commands. */
function permissionsOf(tasks: Readonly<Record<string, string>>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const task of Object.values(tasks)) {
    const [before, after] = task.replace(/\$\(deno eval .*?\(\)"?\)/, "deno").split(MAIN);
    if (after === undefined) continue;
    const command = /^\s*([a-z]*)\s*$/.exec(after)?.[1];
    if (command === undefined) continue;
    found.set(command, before!.split(/\s+/).filter((word) => word.startsWith("-")));
  }
  if (!found.has("")) {
    throw new Error(`Expected a task in deno.json that ends in "${MAIN}": it tells what the program may do`);
  }
  return found;
}

/** One executable with the permissions of all commands together. */
async function compileNative(
  permissions: ReadonlyMap<string, string[]>,
  output: string,
): Promise<string | null> {
  const flags = [...permissions.values()].flat().filter((flag) => flag.startsWith("--allow-"));
  const granted = new Set(flags.map((flag) => flag.replace(/=.*$/, "")));
  const included = [...Object.keys(WORKERS), ...DATA].flatMap((path) => ["--include", path]);
  const args = ["compile", "--quiet", "--no-check", ...granted, ...included, "--output", output, MAIN];
  const { success, stderr } = await deno(args, { msMax: COMPILE_MS_MAX });
  if (success) return null;
  // Of Deno's chain of causes the one with the address says most.
  const lines = stderr.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const telling = lines.find((line) => line.includes("http")) ?? lines[0];
  return telling?.replace(/^\d+: /, "") ?? "deno compile failed without a word";
}

async function bundle(folder: string): Promise<void> {
  await Deno.mkdir(join(folder, "bundle"));
  // A configuration of its own, or Deno would look for one in the folders above.
  await Deno.writeTextFile(join(folder, "bundle/deno.json"), '{ "lock": false }\n');
  const runs = [["--outdir", join(folder, "bundle"), "--code-splitting", MAIN]];
  for (const [script, name] of Object.entries(WORKERS)) {
    runs.push(["--output", join(folder, "bundle", name), script]);
  }
  for (const run of runs) {
    const { success, stderr } = await deno(["bundle", "--quiet", ...run]);
    if (!success) throw new Error(`deno bundle ${run.join(" ")} failed:\n${stderr}`);
  }
}

async function copyData(folder: string): Promise<void> {
  for (const path of DATA) {
    const from = join(ROOT, path), to = join(folder, path);
    if ((await Deno.stat(from)).isDirectory) {
      await Deno.mkdir(to, { recursive: true });
      for await (const { name } of Deno.readDir(from)) await Deno.copyFile(join(from, name), join(to, name));
    } else {
      await Deno.mkdir(dirname(to), { recursive: true });
      await Deno.copyFile(from, to);
    }
  }
}

/** Paths of the files under `folder`, relative to it and sorted. */
async function filesOf(folder: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, prefix))) {
    const path = join(prefix, name);
    if (isDirectory) found.push(...await filesOf(folder, path));
    else found.push(path);
  }
  return found.sort();
}

/** A name for the content of a folder: the same files give the same name, whenever they were built. */
async function contentName(folder: string, files: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of files) {
    hash.update(`${path}\0`).update(
      createHash("sha256").update(await Deno.readFile(join(folder, path))).digest(),
    );
  }
  return `${VERSION}-${hash.digest("hex").slice(0, 16)}`;
}

/** The script's lines that start each command with its permissions. */
function caseLines(permissions: ReadonlyMap<string, string[]>): string {
  const lines = [...permissions].filter(([command]) => command !== "").sort();
  return [...lines, ["*", permissions.get("")!] as const].map(([command, flags]) => {
    const own = flags.map((flag) => flag.replace(/^--allow-run(=.*)?$/, '--allow-run="$home/deno"')).join(
      " ",
    );
    return `  ${command}) run ${own} "$home/bundle/main.js" "$@" ;;`;
  }).join("\n");
}

async function writeSelfExtracting(
  { folder, permissions, output }: {
    readonly folder: string;
    readonly permissions: ReadonlyMap<string, string[]>;
    readonly output: string;
  },
): Promise<void> {
  const files = await filesOf(folder);
  const tar = new Deno.Command("tar", {
    args: ["-cf", "-", "-C", folder, ...files],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const packed = tar.stdout.pipeThrough(new CompressionStream("gzip"));
  const archive = new Uint8Array(await new Response(packed).arrayBuffer());
  if (!(await tar.status).success) throw new Error("tar failed: its words are above");

  const script = (await Deno.readTextFile(join(ROOT, "cli/launcher.sh")))
    .replaceAll("@version@", VERSION)
    .replaceAll("@content@", await contentName(folder, files))
    .replaceAll("@main@", "bundle/main.js")
    .replaceAll("@checksum@", createHash("sha256").update(archive).digest("hex"))
    .replace("@cases@", () => caseLines(permissions));
  // The script tells where it ends itself: spaces after the number keep its length the same whatever the number is.
  const placed = (start: number) =>
    new TextEncoder().encode(script.replace("@start@", String(start).padEnd(9)));
  await Deno.writeFile(output, new Blob([placed(placed(0).length + 1), archive]).stream(), { mode: 0o755 });
}

async function compileSelfExtracting(
  permissions: ReadonlyMap<string, string[]>,
  output: string,
): Promise<void> {
  const folder = await Deno.makeTempDir({ dir: dirname(output), prefix: "stage-" });
  try {
    await bundle(folder);
    await copyData(folder);
    await Deno.copyFile(Deno.execPath(), join(folder, "deno"));
    await Deno.chmod(join(folder, "deno"), 0o755);
    await writeSelfExtracting({ folder, permissions, output });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function removeIfThere(path: string): Promise<void> {
  await Deno.remove(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

async function compile(): Promise<void> {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const permissions = permissionsOf(tasks);
  const native = join(ROOT, "dist/space-opera"), selfExtracting = `${native}.run`;
  await Deno.mkdir(dirname(native), { recursive: true });
  await Promise.all([native, selfExtracting].map(removeIfThere));

  const refusal = await compileNative(permissions, native);
  if (refusal !== null) {
    console.error(`deno compile cannot build an executable here: ${refusal}`);
    console.error(
      "Building a self-extracting file instead, of the Deno binary at hand and the bundled program",
    );
    await compileSelfExtracting(permissions, selfExtracting);
  }
  const output = refusal === null ? native : selfExtracting;
  const { size } = await Deno.stat(output);
  console.log(`dist/${basename(output)}: ${(size / 1e6).toFixed(1)} MB`);
}

if (import.meta.main) {
  try {
    await compile();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
}
