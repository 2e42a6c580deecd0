/**
 * `deno task bench:simgrid [rounds]`: messages a second that the simulator delivers on 1,000 nodes that run membership
 * alone, without and with faults, next to SimGrid with 1,000 hosts that ping each other without faults. Rounds
 * alternate; the medians count. In SimGrid a message is sent and received; in ours a node also runs the protocol on it.
 */
import { table } from "../cli/terminal.ts";
import { median, NotInstalled, outputOf } from "./external.ts";

const PACKAGES = "g++ libsimgrid-dev libboost-dev";
const BINARY = "dist/simgrid-ping";
const HOSTS = 1000;
/** Long enough that founding a thousand nodes does not count. */
const VIRTUAL_SECONDS = 600;
const ROUNDS = 3;

/** As fixtures/scenarios/membership.yaml, without its faults. */
const CALM = `name: membership-calm
seed: 1
duration: ${VIRTUAL_SECONDS}s
converge: 0
sky: { nodes: ${HOSTS} }
cluster: { kernel: membership }
checks: []
`;
const CALM_FILE = "dist/membership-calm.yaml";

interface Measured {
  readonly messages: number;
  readonly wallSeconds: number;
}

async function buildPing(): Promise<void> {
  const args = ["-O2", "-o", BINARY, "bench/simgrid/ping.cpp", "-lsimgrid"];
  await outputOf("g++", { packages: PACKAGES, args, secondsMax: 120 });
}

/** CM02, the cheapest model that still shares bandwidth, without the traffic of acknowledgements. */
async function runPing(): Promise<Measured> {
  const model = ["--cfg=network/model:CM02", "--cfg=network/crosstraffic:0", "--log=root.thres:error"];
  const args = [String(HOSTS), String(VIRTUAL_SECONDS), ...model];
  return JSON.parse(await outputOf(BINARY, { packages: PACKAGES, args, secondsMax: 300 })) as Measured;
}

async function runOurs(scenario: string): Promise<Measured> {
  const permissions = ["--allow-read", "--ignore-env=LOG_TOKENS,LOG_STREAM"];
  const command = ["cli/main.ts", "sim", "--scenario", scenario, "--json"];
  const args = ["run", "--quiet", ...permissions, ...command];
  return JSON.parse(await outputOf(Deno.execPath(), { packages: "", args, secondsMax: 300 })) as Measured;
}

function perSecond({ messages, wallSeconds }: Measured): number {
  return messages / wallSeconds;
}

const rounds = Number(Deno.args[0] ?? ROUNDS);
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error(`The number of rounds is an integer of at least 1, not "${Deno.args[0]}"`);
  Deno.exit(2);
}
await Deno.mkdir("dist", { recursive: true });
await Deno.writeTextFile(CALM_FILE, CALM);
let peer = true;
try {
  await buildPing();
} catch (error) {
  // The compiler may be there, and its headers not.
  const missing = error instanceof NotInstalled ||
    error instanceof Error && /s4u\.hpp|boost\//.test(error.message);
  if (!missing) throw error;
  console.error(`SimGrid cannot be measured here: apt-get install ${PACKAGES}`);
  peer = false;
}
const calm: number[] = [], faulty: number[] = [], theirs: number[] = [];
for (let round = 1; round <= rounds; round++) {
  calm.push(perSecond(await runOurs(CALM_FILE)));
  if (peer) theirs.push(perSecond(await runPing()));
  faulty.push(perSecond(await runOurs("membership.yaml")));
  console.error(`round ${round} of ${rounds}`);
}
const ratio = (ours: readonly number[]) => peer ? Number((median(ours) / median(theirs)).toFixed(2)) : "-";
console.log(table(["1,000 NODES", "MESSAGES/S", "OF SIMGRID'S"], [
  ["space-opera, membership", Math.round(median(calm)), ratio(calm)],
  ["space-opera, membership with faults", Math.round(median(faulty)), ratio(faulty)],
  ["simgrid, ping", peer ? Math.round(median(theirs)) : "-", ""],
]));
