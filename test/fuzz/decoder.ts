/**
 * What fuzzing needs to know of a decoder. To have one fuzzed, add it to a list in decoders.ts or files.ts.
 *
 *  Z1  decode() throws one of the declared errors, or gives a value.
 *  Z2  Where there is encode(): what decoded has just the bytes that it came from.
 *  Z3  The time for one input, and the memory that stays in use over a run, are bounded.
 */
import fc from "fast-check";
import type { Random } from "../../core/base/random.ts";

// deno-lint-ignore no-explicit-any
export type ErrorClass = abstract new (...args: any[]) => Error;

export interface Decoder {
  readonly name: string;
  /** Bytes that decode. */
  sample(random: Random): Uint8Array;
  decode(bytes: Uint8Array): unknown;
  /** What decode() may throw (Z1). */
  readonly errors: readonly ErrorClass[];
  /** Of a canonical codec: the bytes of what was decoded (Z2). */
  encode?(value: unknown): Uint8Array;
  /** Milliseconds that one input may take; INPUT_MS_MAX where left out. */
  readonly msMax?: number;
}

/** A garbage collection may fall into any input, and a busy machine may hold up a process. */
export const INPUT_MS_MAX = 250;

/** A decoder whose values are known by type, as one of a list of any. */
export function decoder<T>(
  of: Omit<Decoder, "decode" | "encode"> & {
    decode(bytes: Uint8Array): T;
    encode?(value: T): Uint8Array;
  },
): Decoder {
  return of as Decoder;
}

/** Samples drawn from an arbitrary of fast-check. */
export function drawn<T>(arb: fc.Arbitrary<T>, encode: (value: T) => Uint8Array) {
  return (random: Random): Uint8Array => {
    const [value] = fc.sample(arb, { numRuns: 1, seed: random.uint32() | 0 });
    return encode(value!);
  };
}

export function isDeclared(error: unknown, { errors }: Pick<Decoder, "errors">): boolean {
  return errors.some((declared) => error instanceof declared);
}

export function someBytes(random: Random): Uint8Array {
  const bytes = new Uint8Array(1 + random.below(200));
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
  return bytes;
}
