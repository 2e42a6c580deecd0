/**
 * `deno task bench:sim`: how fast the simulator is. Prints a table: the bare loop, full nodes under load, many nodes
 * with little to do, and membership alone on a thousand nodes. Needs leave to read the star catalogue.
 */
import { Random } from "../core/base/random.ts";
import { Loop } from "../sim/loop.ts";
import { Run } from "../sim/run.ts";
import { type ScenarioInput, scenarioOf } from "../sim/scenario.ts";
import { parseSky } from "../sim/sky.ts";

const stars = parseSky(Deno.readTextFileSync(new URL("../fixtures/sky/bright.csv", import.meta.url)));

function bareLoop(events: number): void {
  const loop = new Loop(), random = Random.fromSeed(1);
  const delays = Int32Array.from({ length: 1 << 14 }, () => 1 + random.below(100_000));
  const handler = {
    handle(kind: number, a: number, b: number, payload: unknown): void {
      if (loop.events >= events) loop.halt();
      else loop.at(loop.now + delays[loop.events & 0x3fff]!, kind, a, b, payload);
    },
    alarm(): void {},
  };
  for (let i = 0; i < 1_000; i++) loop.at(delays[i]!, 0, i, 0, null);
  const began = performance.now();
  loop.run(handler, Number.MAX_SAFE_INTEGER);
  line({ what: "bare loop", events, messages: 0, virtualSeconds: loop.now / 1e6, began, ok: true });
}

function scenario(what: string, input: ScenarioInput): void {
  const run = new Run({ scenario: scenarioOf(input), stars, seed: 1 }), began = performance.now();
  const { events, messages, virtualSeconds, ok } = run.run();
  line({ what, events, messages, virtualSeconds, began, ok });
}

interface Line {
  readonly what: string;
  readonly events: number;
  readonly messages: number;
  readonly virtualSeconds: number;
  readonly began: number;
  readonly ok: boolean;
}

function line({ what, events, messages, virtualSeconds, began, ok }: Line): void {
  const seconds = (performance.now() - began) / 1000;
  const cells = [
    what.padEnd(44),
    seconds.toFixed(2).padStart(8),
    virtualSeconds.toFixed(0).padStart(9),
    events.toString().padStart(11),
    Math.round(events / seconds).toString().padStart(10),
    Math.round(messages / seconds).toString().padStart(11),
  ];
  console.log(cells.join(" ") + (ok ? "" : "  a check did not hold"));
}

function busy(nodes: number, duration: string): ScenarioInput {
  return {
    name: `busy-${nodes}`,
    duration,
    sky: { nodes, records: 100 },
    cluster: { settings: { partitions: 64 } },
    workload: { clients: 64, every: "10ms", keys: 2000 },
  };
}

function calm(nodes: number, duration: string): ScenarioInput {
  return {
    name: `calm-${nodes}`,
    duration,
    sky: { nodes, records: 100 },
    cluster: { settings: { partitions: 64 } },
    workload: { clients: 4, every: "1s", keys: 200 },
  };
}

console.log(
  ["".padEnd(44), "wall s", "virtual s", "events", "events/s", "messages/s"].map((title, i) =>
    title.padStart([44, 8, 9, 11, 10, 11][i]!)
  ).join(" "),
);
bareLoop(5_000_000);
scenario("3 full nodes, 64 clients", busy(3, "60s"));
scenario("64 full nodes, 64 clients", busy(64, "60s"));
scenario("500 full nodes, 64 clients", busy(500, "20s"));
scenario("500 full nodes, calm, one virtual hour", calm(500, "1h"));
scenario("1,000 nodes, membership alone", {
  name: "membership",
  duration: "2m",
  converge: "0",
  sky: { nodes: 1000 },
  cluster: { kernel: "membership" },
  checks: [],
});
