/** A short run of all fuzzing, with a fixed seed; `deno task fuzz` runs longer. And proof that it would notice. */
import assert from "node:assert/strict";
import { Random } from "../../core/base/random.ts";
import { WireError } from "../../core/wire/cbor.ts";
import { decoder } from "./decoder.ts";
import { DECODERS } from "./decoders.ts";
import { mutant } from "./mutate.ts";
import { fuzzNode } from "./node.ts";
import { fuzzPort } from "./port.ts";
import { DecoderRun, FuzzFailure } from "./run.ts";
import { fuzzS3Port } from "./s3_port.ts";
import { fuzzS3 } from "./s3_requests.ts";

const SEED = 4;

for (const each of DECODERS) {
  Deno.test(`fuzz: ${each.name}`, () => {
    const run = new DecoderRun(each, SEED);
    run.run({ inputs: 1500 });
    const { inputs, decoded, refused } = run.totals;
    assert.equal(decoded + refused, inputs);
    assert(each.errors.length === 0 || refused > 100, `${refused} of ${inputs} were refused`);
    assert(decoded > 100, `${decoded} of ${inputs} decoded`);
  });
}

Deno.test("fuzz: nodes in the middle of their work (K2)", () => {
  const { inputs, garbage, results, fragments } = fuzzNode({ seed: SEED, ms: Infinity, inputs: 6000 });
  assert.equal(inputs, 6000);
  assert(garbage > 1000);
  assert(results > 500);
  assert(fragments > 40, "Disks hold fragments at the end");
});

Deno.test("fuzz: requests of S3, signed and not", async () => {
  const { statuses } = await fuzzS3({ seed: SEED, ms: Infinity, inputs: 3000 });
  for (const status of [200, 204, 400, 403, 404, 412]) {
    assert(statuses.has(status), `Some are answered ${status}`);
  }
});

for (const network of ["open", "private"] as const) {
  Deno.test(`fuzz: the port of a node of ${network === "open" ? "an open" : "a private"} network that is attacked, and serves a good client`, async () => {
    const { attacks, latency } = await fuzzPort({ network, seed: SEED, ms: 7000 });
    assert(latency.during.operations > 10);
    assert(Object.values(attacks).every(({ connections }) => connections > 0));
  });
}

Deno.test("fuzz: the S3 port of a node that is attacked, and serves a good client", async () => {
  const { attacks, latency } = await fuzzS3Port({ seed: SEED, ms: 6000 });
  assert(latency.during.operations > 0);
  assert(Object.values(attacks).every(({ connections }) => connections > 0));
});

// ---- it would notice

const sound = {
  name: "pairs",
  errors: [WireError],
  sample: () => Uint8Array.of(1, 2),
  decode: (bytes: Uint8Array): number[] => {
    if (bytes.length % 2 !== 0) throw new WireError("truncated", "Half a pair");
    return [...bytes];
  },
  encode: (numbers: number[]) => Uint8Array.from(numbers),
};
const attempt = (change: Partial<typeof sound> & { msMax?: number }, inputs = 2000) => {
  new DecoderRun(decoder({ ...sound, ...change }), SEED).run({ inputs });
};

Deno.test("DecoderRun finds nothing in a sound decoder", () => attempt({}));

Deno.test("DecoderRun finds what throws another error, with the input that did (Z1)", () => {
  const decode = (bytes: Uint8Array) => bytes.length === 5 ? [bytes.at(9)!.valueOf()] : sound.decode(bytes);
  assert.throws(() => attempt({ decode }), (error) => {
    assert(error instanceof FuzzFailure);
    assert.equal(error.input.length, 5);
    assert.match(error.message, /pairs: threw TypeError .*\(seed 4, 5 bytes\)/s);
    return true;
  });
});

Deno.test("DecoderRun finds what decodes from other bytes than it encodes to (Z2)", () => {
  const decode = (bytes: Uint8Array) => sound.decode(bytes.subarray(0, bytes.length & ~1));
  assert.throws(() => attempt({ decode }), /encodes to other bytes/);
});

Deno.test("DecoderRun finds what takes long (Z3)", () => {
  const decode = (bytes: Uint8Array) => {
    const end = performance.now() + (bytes.length > 1000 ? 30 : 0);
    while (performance.now() < end);
    return sound.decode(bytes);
  };
  assert.throws(() => attempt({ decode, msMax: 20 }), /pairs: took \d+ ms/);
});

Deno.test("DecoderRun finds what keeps its inputs (Z3)", () => {
  const kept: unknown[] = [];
  const decode = (bytes: Uint8Array) => {
    kept.push(new Array(20_000).fill(bytes.length));
    return sound.decode(bytes);
  };
  assert.throws(() => attempt({ decode }, 6000), /pairs: left \d+ MiB in use/);
});

Deno.test("DecoderRun finds a decoder that refuses its own samples", () => {
  assert.throws(() => attempt({ sample: () => Uint8Array.of(1) }), /refused what should decode/);
});

Deno.test("mutant() gives the same inputs for the same seed, of bounded length", () => {
  const pool = [Uint8Array.of(0x82, 1, 2), new Uint8Array(300).fill(7)];
  const draw = () => {
    const random = Random.fromSeed(9);
    return Array.from({ length: 500 }, () => mutant(pool, random));
  };
  const inputs = draw();
  assert.deepEqual(draw(), inputs);
  assert(inputs.every(({ length }) => length <= 8 * 256 * 1024));
  assert(new Set(inputs.map(String)).size > 300);
});
