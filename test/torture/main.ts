/**
 * `deno task torture`: hurts real node processes, with their disks and their network, under a recorded history of
 * clients, and checks that history. `deno task torture check FILE` checks one again.
 */
import { Command, InvalidArgumentError } from "commander";
import { checkHistory, type CheckResult } from "./check.ts";
import { FAULT_KINDS, type FaultKind } from "./plan.ts";
import { NODES_MAX, type ObjectsResult, torture } from "./run.ts";

interface Flags {
  readonly minutes: number;
  readonly nodes: number;
  readonly clients: number;
  readonly objects: number;
  readonly seed?: number;
  readonly faults: readonly FaultKind[];
  readonly history?: string;
  readonly partitions: number;
  readonly record?: boolean;
  readonly open?: boolean;
  readonly keep?: boolean;
  readonly quiet?: boolean;
}

function program(): Command {
  const command = new Command("torture")
    .description("hurt real node processes under recorded clients, and check the history")
    .option("--minutes <n>", "how long faults go on", positive, 5)
    .option("--nodes <n>", `from 3 to ${NODES_MAX}`, integer(3, NODES_MAX), 5)
    .option("--clients <n>", "each does one operation after the other", integer(1, 256), 8)
    .option("--objects <n>", "clients of objects besides; 0: none", integer(0, 64), 4)
    .option("--seed <n>", "of the plan of faults (default: drawn at random)", integer(0, 2 ** 32 - 1))
    .option("--faults <kinds>", `of ${FAULT_KINDS.join(",")}`, faultKinds, FAULT_KINDS)
    .option("--history <file>", "where the history goes (default: beside the nodes' data)")
    .option("--partitions <n>", "of the network: a power of two", integer(1, 1024), 16)
    .option("--open", "an open network, without TLS and encryption; faults of the network are left out")
    .option("--record", "nodes record what they are told; each recording is replayed afterwards")
    .option("--keep", "keep data, logs and history though all is well")
    .option("--quiet", "print the summary only")
    .addHelpText("after", "\nExample:\n  deno task torture --minutes 1 --nodes 3 --faults kill,stop,cut")
    .action(run);
  command.command("check").description("check a history again").argument("<file>").action(check);
  return command;
}

async function run(flags: Flags): Promise<void> {
  const seed = flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!;
  const { nodes, clients, objects, faults, partitions } = flags;
  const result = await torture({
    seconds: flags.minutes * 60,
    nodes,
    clients,
    objects,
    seed,
    faults,
    partitions,
    history: flags.history ?? null,
    record: flags.record === true,
    open: flags.open === true,
    keep: flags.keep === true,
    tell: (line) => flags.quiet === true ? undefined : console.error(line),
  });
  const healed = result.healedAfterMs === null
    ? "never whole again"
    : `whole ${result.healedAfterMs} ms after the last`;
  console.log(
    `Seed ${seed}: ${result.seconds.toFixed(0)} s, ${nodes} nodes started ${result.starts} times, ${healed}`,
  );
  for (const line of result.leftOut) console.log(`Left out: ${line}`);
  if (result.objects !== null) summariseObjects(result.objects);
  summarise(result.check);
  if (result.check.problems.length === 0) return;
  const only = faults.length === FAULT_KINDS.length ? "" : ` --faults ${faults.join(",")}`;
  console.log(`Data, logs and history: ${result.kept}`);
  console.log(`Check the history again: deno task torture check ${result.history}`);
  console.log(
    `The same plan again: deno task torture --seed ${seed} --minutes ${flags.minutes} --nodes ${nodes} ` +
      `--clients ${clients} --objects ${objects} --partitions ${partitions}${
        flags.record ? " --record" : ""
      }${flags.open ? " --open" : ""}${only}`,
  );
  Deno.exitCode = 1;
}

async function check(path: string): Promise<void> {
  const result = await checkHistory(path);
  summarise(result);
  if (result.problems.length > 0) Deno.exitCode = 1;
}

function summariseObjects(result: ObjectsResult): void {
  const { operations, keys, undecided, versions, fragments, mendedAfterMs, counts } = result;
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  console.log(
    `Objects: ${operations} operations on ${keys} keys${undecided > 0 ? ` (${undecided} undecided)` : ""}, ${
      mb(result.bytesWritten)
    } written, ${mb(result.bytesRead)} read; ${versions} versions and ` +
      `${fragments} fragments at the end, ${
        mendedAfterMs === null ? "never mended" : `mended after ${mendedAfterMs} ms`
      }`,
  );
  console.log(`Of objects: ${countsOf(counts)}`);
}

function countsOf(map: ReadonlyMap<string, number>): string {
  return [...map].sort(([a], [b]) => a < b ? -1 : 1).map(([what, times]) => `${what} ${times}`).join(", ") ||
    "none";
}

function summarise(result: CheckResult): void {
  const { operations, ok, failed, unknown, keys, replicas, problems } = result;
  console.log(`Faults: ${countsOf(new Map([...result.faults].filter(([kind]) => kind !== "heal")))}`);
  console.log(`Operations: ${operations}, of which ${ok} ok, ${failed} failed, ${unknown} unknown`);
  console.log(`Not ok: ${countsOf(result.errors)}`);
  console.log(
    `Checked: ${keys} keys and groups of keys for linearizability, ${replicas} replicas for equality`,
  );
  for (const problem of problems) console.log(`PROBLEM: ${problem}`);
  console.log(problems.length === 0 ? "All is well" : `${problems.length} problems`);
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError(`A positive number is wanted, not "${text}"`);
  return value;
}

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`An integer from ${least} to ${most} is wanted, not "${text}"`);
  };
}

function faultKinds(text: string): FaultKind[] {
  return text.split(",").map((name) => {
    const kind = FAULT_KINDS.find((known) => known === name);
    if (kind === undefined) {
      throw new InvalidArgumentError(`There is no fault "${name}"; there are ${FAULT_KINDS.join(", ")}`);
    }
    return kind;
  });
}

if (import.meta.main) await program().parseAsync(Deno.args, { from: "user" });
