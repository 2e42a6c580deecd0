/**
 * `deno task bench:simgrid [rounds]`: messages a second that the simulator delivers on 1,000 nodes that run membership
 * alone, next to SimGrid with 1,000 hosts that ping each other. Rounds alternate; the medians count. In SimGrid a
 * message is drawn, sent and received; in ours a node also runs the whole protocol on it.
 */
import { table } from "../cli/terminal.ts";
import { median, NotInstalled, outputOf } from "./external.ts";

const PACKAGES = "g++ libsimgrid-dev libboost-dev";
const BINARY = "dist/simgrid-ping";
const HOSTS = 1000;
const VIRTUAL_SECONDS = 60;
const ROUNDS = 3;

interface Measured {
  readonly messages: number;
  readonly wallSeconds: number;
}

async function buildPing(): Promise<void> {
  await Deno.mkdir("dist", { recursive: true });
  const args = ["-O2", "-o", BINARY, "bench/simgrid/ping.cpp", "-lsimgrid"];
  await outputOf("g++", { packages: PACKAGES, args, secondsMax: 120 });
}

/** CM02, the cheapest model that still shares bandwidth, without the traffic of acknowledgements. */
async function runPing(): Promise<Measured> {
  const model = ["--cfg=network/model:CM02", "--cfg=network/crosstraffic:0", "--log=root.thres:error"];
  const args = [String(HOSTS), String(VIRTUAL_SECONDS), ...model];
  return JSON.parse(await outputOf(BINARY, { packages: PACKAGES, args, secondsMax: 300 })) as Measured;
}

async function runOurs(): Promise<Measured> {
  const permissions = ["--allow-read", "--ignore-env=LOG_TOKENS,LOG_STREAM"];
  const command = ["cli/main.ts", "sim", "--scenario", "membership.yaml", "--json"];
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
const ours: number[] = [], theirs: number[] = [];
for (let round = 1; round <= rounds; round++) {
  ours.push(perSecond(await runOurs()));
  if (peer) theirs.push(perSecond(await runPing()));
  console.error(`round ${round} of ${rounds}`);
}
const rows = [["space-opera, membership", Math.round(median(ours)), ""]];
if (peer) {
  rows.push(["simgrid, ping", Math.round(median(theirs)), ""]);
  rows.push(["ratio", "", Number((median(ours) / median(theirs)).toFixed(2))]);
}
console.log(table(["1,000 NODES", "MESSAGES/S", "RATIO"], rows));
