/**
 * `deno run -A bench/recording.ts [seconds] [rounds]`: what the flight recorder costs. Three real nodes without and with
 * --record, in turn so that a busy machine hurts both alike: puts of 256 bytes a second at 64 clients, and processor
 * time of all three nodes for each put.
 */
import { join } from "node:path";
import { connect } from "../mod.ts";
import { NodeProcess } from "../cli/processes.ts";
import { untilSettled } from "../cli/settled.ts";
import { table } from "../cli/terminal.ts";

const CLIENTS = 64;
const VALUE_BYTES = 256;
const KEYS_PER_CLIENT = 1000;
/** Of the clock that /proc counts processor time with. */
const TICKS_PER_SECOND = 100;

interface Measured {
  readonly putsPerSecond: number;
  readonly cpuUsPerPut: number;
  /** Of all three recordings. */
  readonly bytesPerPut: number;
}

async function measure({ record, seconds }: { record: boolean; seconds: number }): Promise<Measured> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-bench-" });
  const nodes: NodeProcess[] = [];
  const start = async (id: string, at?: string) => {
    const flags = [
      "--log-level",
      "warning",
      ...(record ? ["--record", join(directory, `${id}.flight`)] : []),
    ];
    const options = {
      id,
      data: join(directory, id),
      open: true,
      flags,
      ...(at === undefined ? {} : { join: at }),
    };
    nodes.push(await NodeProcess.start(options));
  };
  try {
    await start("a");
    await Promise.all(["b", "c"].map((id) => start(id, nodes[0]!.address)));
    using client = await connect({ addresses: nodes.map((node) => node.address) });
    await untilSettled(client, { members: 3, msMax: 30_000 });
    const value = crypto.getRandomValues(new Uint8Array(VALUE_BYTES));
    const load = async (ms: number) => {
      let puts = 0;
      const end = performance.now() + ms;
      await Promise.all(Array.from({ length: CLIENTS }, async (_, c) => {
        for (let i = 0; performance.now() < end; i++, puts++) {
          await client.put(`bench/${c}/${i % KEYS_PER_CLIENT}`, value);
        }
      }));
      return puts;
    };
    await load(1000);
    const cpu = cpuUs(nodes), bytes = recordedBytes(directory), began = performance.now();
    const puts = await load(seconds * 1000);
    const took = (performance.now() - began) / 1000;
    return {
      putsPerSecond: puts / took,
      cpuUsPerPut: (cpuUs(nodes) - cpu) / puts,
      bytesPerPut: (recordedBytes(directory) - bytes) / puts,
    };
  } finally {
    await Promise.all(nodes.map((node) => node.kill()));
    await Deno.remove(directory, { recursive: true });
  }
}

/** Processor time of all nodes since they began, with all their threads. */
function cpuUs(nodes: readonly NodeProcess[]): number {
  const ticks = nodes.map(({ pid }) => {
    const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).replace(/^.*\) /, "").split(" ");
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, one) => sum + one, 0) * 1e6 / TICKS_PER_SECOND;
}

function recordedBytes(directory: string): number {
  let bytes = 0;
  for (const { name } of Deno.readDirSync(directory)) {
    if (name.includes(".flight.")) bytes += Deno.statSync(join(directory, name)).size;
  }
  return bytes;
}

const [seconds = 4, rounds = 3] = Deno.args.map(Number);
const rows: (readonly (string | number)[])[] = [];
for (let i = 0; i < rounds; i++) {
  for (const record of [false, true]) {
    const { putsPerSecond, cpuUsPerPut, bytesPerPut } = await measure({ record, seconds });
    rows.push([record ? "recorded" : "plain", ...[putsPerSecond, cpuUsPerPut, bytesPerPut].map(Math.round)]);
  }
}
console.log(table(["RUN", "PUTS/S", "CPU US/PUT", "BYTES/PUT"], rows));
