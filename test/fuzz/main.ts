/**
 * `deno task fuzz [--minutes M] [--inputs N] [--seed S] [--only NAME[,NAME]] [--input FILE]`: feeds every decoder, a node and
 * the port of a node process with hostile input, and prints what it did. docs/fuzzing.md tells more. Exit code 1 where
 * a promise was broken; the input is then in a file, and the last line says how to try it again.
 */
import { parseArgs } from "node:util";
import { table } from "../../cli/terminal.ts";
import { DECODERS } from "./decoders.ts";
import type { Decoder } from "./decoder.ts";
import { fuzzNode, type NodeTotals } from "./node.ts";
import { fuzzPort, portReport } from "./port.ts";
import { DecoderRun, FuzzFailure } from "./run.ts";
import { fuzzS3Port, s3PortReport } from "./s3_port.ts";
import { fuzzS3, type S3Totals } from "./s3_requests.ts";

const PARTS = ["node", "port", "s3", "s3 port"];
/** Of the time, each. */
const SHARES = { node: 0.15, port: 0.15, s3: 0.1, s3Port: 0.1 } as const;
/** A decoder's turn, so that all are tried however early the run is ended. */
const TURN_MS = 500;

interface Options {
  readonly ms: number;
  readonly inputs: number;
  readonly seed: number;
  readonly only: readonly string[];
  readonly input: string | null;
}

function options(): Options {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      minutes: { type: "string", default: "1" },
      inputs: { type: "string" },
      seed: { type: "string" },
      only: { type: "string" },
      input: { type: "string" },
    },
  });
  const number = (name: string, text: string, least: number) => {
    const value = Number(text);
    if (!Number.isFinite(value) || value < least) {
      throw new TypeError(`--${name} is a number from ${least}, not ${JSON.stringify(text)}`);
    }
    return value;
  };
  const names = [...DECODERS.map(({ name }) => name), ...PARTS];
  const only = values.only?.split(",").map((name) => name.trim()) ?? names;
  const unknown = only.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`Nothing is named ${JSON.stringify(unknown)}. There are: ${names.join(", ")}`);
  }
  return {
    ms: number("minutes", values.minutes, 0) * 60_000,
    inputs: values.inputs === undefined ? Infinity : number("inputs", values.inputs, 1),
    seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : number("seed", values.seed, 0),
    only,
    input: values.input ?? null,
  };
}

/** All decoders in turns, until the time is over or each has had its inputs. */
function fuzzDecoders(
  decoders: readonly Decoder[],
  { seed, ms, inputs }: Pick<Options, "seed" | "ms" | "inputs">,
) {
  const runs = decoders.map((decoder) => new DecoderRun(decoder, seed));
  const end = performance.now() + ms;
  for (let left = true; left && performance.now() < end;) {
    left = false;
    for (const run of runs) {
      const due = inputs - run.totals.inputs;
      if (due <= 0) continue;
      left = true;
      run.run({ ms: Math.min(TURN_MS, ms / runs.length), inputs: due });
    }
  }
  return runs.map(({ totals }) => totals);
}

function printDecoders(totals: ReturnType<typeof fuzzDecoders>): void {
  const rows = totals.map((t) => [
    t.name,
    t.inputs,
    t.decoded,
    t.refused,
    Math.round(t.inputs / Math.max(0.001, t.ms / 1000)),
    Number(t.slowestMs.toFixed(1)),
    t.slowestBytes,
    Number((t.heapGrowth / 2 ** 20).toFixed(1)),
  ]);
  console.log(
    table(
      ["DECODER", "INPUTS", "DECODED", "REFUSED", "PER SECOND", "SLOWEST MS", "OF BYTES", "HEAP MIB"],
      rows,
    ),
  );
  const all = totals.reduce((sum, { inputs }) => sum + inputs, 0);
  console.log(`${all} inputs to ${totals.length} decoders`);
}

function printNode(t: NodeTotals): void {
  console.log(
    `Node: ${t.inputs} inputs (${t.messages} messages, ${t.requests} requests, ${t.garbage} mutated, ${t.results} ` +
      `results of disks) to ` +
      `${t.networks} networks in ${(t.ms / 1000).toFixed(0)} s, slowest step ${
        t.slowestMs.toFixed(1)
      } ms, ${t.fragments} ` +
      `fragments on their disks, ` +
      `heap grew by ${(t.heapGrowth / 2 ** 20).toFixed(1)} MiB`,
  );
}

function printS3(t: S3Totals): void {
  const statuses = [...t.statuses].sort(([a], [b]) => a - b).map(([status, times]) =>
    `${status} ${times} times`
  );
  console.log(
    `S3: ${t.inputs} requests (${t.impossible} could be none) in ${(t.ms / 1000).toFixed(0)} s, slowest ` +
      `${t.slowestMs.toFixed(1)} ms; answered ${statuses.join(", ")}`,
  );
}

/** Tries one saved input again. */
function tryAgain({ input, only, seed }: Options): void {
  const bytes = Deno.readFileSync(input!);
  const decoder = DECODERS.find(({ name }) => name === only[0])!;
  new DecoderRun(decoder, seed).try(bytes);
  console.log(`${decoder.name} stands ${bytes.length} bytes`);
}

async function main(): Promise<void> {
  const chosen = options();
  const { seed, only, ms, inputs } = chosen;
  if (chosen.input !== null) return tryAgain(chosen);
  console.log(`Seed ${seed}`);
  const decoders = DECODERS.filter(({ name }) => only.includes(name));
  const shares = {
    node: only.includes("node") ? SHARES.node : 0,
    port: only.includes("port") ? SHARES.port : 0,
    s3: only.includes("s3") ? SHARES.s3 : 0,
    s3Port: only.includes("s3 port") ? SHARES.s3Port : 0,
    decoders: decoders.length > 0 ? 0.5 : 0,
  };
  const all = Object.values(shares).reduce((sum, share) => sum + share, 0);
  const msOf = (part: keyof typeof shares) => ms * shares[part] / all;
  if (decoders.length > 0) printDecoders(fuzzDecoders(decoders, { seed, ms: msOf("decoders"), inputs }));
  if (shares.s3 > 0) printS3(await fuzzS3({ seed, ms: msOf("s3"), inputs }));
  if (shares.node > 0) printNode(fuzzNode({ seed, ms: msOf("node"), inputs }));
  for (const network of shares.port > 0 ? ["open", "private"] as const : []) {
    console.log(portReport(await fuzzPort({ network, seed, ms: msOf("port") / 2 })));
  }
  if (shares.s3Port > 0) console.log(s3PortReport(await fuzzS3Port({ seed, ms: msOf("s3Port") })));
}

function save(failure: FuzzFailure): string {
  const file = `fuzz-${failure.part.replaceAll(" ", "-")}-${failure.seed}.bin`;
  Deno.writeFileSync(file, failure.input);
  return file;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof FuzzFailure)) throw error;
  console.error(error.message);
  const again = PARTS.includes(error.part)
    ? `--seed ${error.seed}`
    : `--input ${save(error)} --seed ${error.seed}`;
  console.error(`Try again: deno task fuzz --only ${JSON.stringify(error.part)} ${again}`);
  Deno.exit(1);
}
