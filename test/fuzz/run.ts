/** Feeds decoders with bytes and holds them to what they promise (Z1 to Z3 in decoder.ts). */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { equalBytes } from "../../core/base/bytes.ts";
import { Random } from "../../core/base/random.ts";
import { type Decoder, INPUT_MS_MAX, isDeclared } from "./decoder.ts";
import { mutant, type Pool } from "./mutate.ts";

const POOL = 192;
/** What a decoder may leave in use: caches of bounded size, and what the runtime has not collected yet. */
const HEAP_GROWTH_MAX = 256 * 1024 * 1024;
/** So many inputs between two looks at the clock and the heap. */
const STRETCH = 256;

export interface Totals {
  readonly name: string;
  inputs: number;
  decoded: number;
  refused: number;
  ms: number;
  slowestMs: number;
  slowestBytes: number;
  heapGrowth: number;
}

/** What broke a promise, and the bytes that did. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";
  constructor(
    readonly part: string,
    readonly seed: number,
    readonly input: Uint8Array,
    what: string,
    options?: ErrorOptions,
  ) {
    super(`${part}: ${what} (seed ${seed}, ${input.length} bytes)`, options);
  }
}

/** One decoder with its own stream of inputs, which depends on the seed and its name only. */
export class DecoderRun {
  readonly totals: Totals;
  readonly #decoder: Decoder;
  readonly #seed: number;
  readonly #random: Random;
  readonly #pool: Pool;
  #heapAtStart: number | null = null;

  constructor(decoder: Decoder, seed: number) {
    this.#decoder = decoder;
    this.#seed = seed;
    this.#random = Random.fromSeed(seed).fork(decoder.name);
    const random = this.#random.fork("samples");
    this.#pool = Array.from({ length: POOL }, () => decoder.sample(random));
    this.totals = {
      name: decoder.name,
      inputs: 0,
      decoded: 0,
      refused: 0,
      ms: 0,
      slowestMs: 0,
      slowestBytes: 0,
      heapGrowth: 0,
    };
    for (const sample of this.#pool) this.try(sample, { valid: true });
  }

  /** Tries inputs for so long, or so many. @throws {FuzzFailure} */
  run({ ms = Infinity, inputs = Infinity }: { ms?: number; inputs?: number }): void {
    const began = performance.now(), before = this.totals.inputs;
    while (performance.now() - began < ms && this.totals.inputs - before < inputs) {
      const stretch = Math.min(STRETCH, inputs - (this.totals.inputs - before));
      for (let i = 0; i < stretch; i++) this.try(mutant(this.#pool, this.#random));
      this.#lookAtHeap();
    }
    this.totals.ms += performance.now() - began;
  }

  try(bytes: Uint8Array, { valid = false } = {}): void {
    const { totals } = this, decoder = this.#decoder;
    const began = performance.now();
    let value: unknown, error: unknown = null;
    try {
      value = decoder.decode(bytes);
    } catch (thrown) {
      error = thrown;
      if (!isDeclared(thrown, decoder)) this.#fail(bytes, `threw ${describe(thrown)}`, thrown);
      if (valid) this.#fail(bytes, `refused what should decode: ${describe(thrown)}`, thrown);
    }
    const took = performance.now() - began;
    totals.inputs++;
    if (took > totals.slowestMs) {
      totals.slowestMs = took;
      totals.slowestBytes = bytes.length;
    }
    if (took > (decoder.msMax ?? INPUT_MS_MAX)) this.#confirmSlow(bytes, took);
    if (error !== null) totals.refused++;
    else {
      totals.decoded++;
      if (decoder.encode !== undefined && !equalBytes(decoder.encode(value), bytes)) {
        this.#fail(bytes, "decoded what encodes to other bytes");
      }
    }
  }

  /** The machine may have been busy: an input that is slow is slow again. */
  #confirmSlow(bytes: Uint8Array, took: number): void {
    let best = took;
    for (let i = 0; i < 3; i++) {
      const began = performance.now();
      try {
        this.#decoder.decode(bytes);
      } catch {
        // It was looked at the first time.
      }
      best = Math.min(best, performance.now() - began);
    }
    if (best > (this.#decoder.msMax ?? INPUT_MS_MAX)) this.#fail(bytes, `took ${best.toFixed(0)} ms`);
  }

  #lookAtHeap(): void {
    let { heapUsed } = Deno.memoryUsage();
    this.#heapAtStart ??= heapUsed;
    if (heapUsed - this.#heapAtStart > HEAP_GROWTH_MAX) {
      collect();
      ({ heapUsed } = Deno.memoryUsage());
    }
    const growth = heapUsed - this.#heapAtStart;
    this.totals.heapGrowth = Math.max(this.totals.heapGrowth, growth);
    if (growth > HEAP_GROWTH_MAX) {
      this.#fail(new Uint8Array(0), `left ${Math.round(growth / 2 ** 20)} MiB in use`);
    }
  }

  #fail(input: Uint8Array, what: string, cause?: unknown): never {
    throw new FuzzFailure(this.#decoder.name, this.#seed, input, what, { cause });
  }
}

/** Makes the runtime collect what it can: on a busy machine it is far behind, which is no fault of what is measured. */
export function collect(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc === "function") gc();
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.name} ${JSON.stringify(error.message.slice(0, 300))}\n${error.stack ?? ""}`;
}
