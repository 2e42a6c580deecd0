/** Makes bytes that nearly make sense out of some that do. */
import type { Random } from "../../core/base/random.ts";
import { concatBytes } from "../../core/base/bytes.ts";

export type Pool = readonly Uint8Array[];

/** Inputs grow no longer than this by splicing and repeating. */
const LENGTH_MAX = 256 * 1024;
const NESTING_MAX = 100_000;

/** Heads of CBOR that promise much, are of no use here, or are not in their shortest form. */
const HEADS: Pool = [
  [0x00],
  [0x17],
  [0x18, 0x00],
  [0x1b, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x1b, 0x00, 0x20, 0, 0, 0, 0, 0, 0],
  [0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x20],
  [0x40],
  [0x5a, 0x7f, 0xff, 0xff, 0xff],
  [0x5a, 0xff, 0xff, 0xff, 0xff],
  [0x5b, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x5f],
  [0x60],
  [0x61, 0xff],
  [0x7a, 0xff, 0xff, 0xff, 0xff],
  [0x80],
  [0x81],
  [0x9a, 0x00, 0x03, 0x0d, 0x40],
  [0x9a, 0xff, 0xff, 0xff, 0xff],
  [0x9b, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x9f],
  [0xa1],
  [0xc0],
  [0xf4],
  [0xf5],
  [0xf6],
  [0xfb],
  [0xff],
].map((bytes) => Uint8Array.from(bytes));

/** What numbers of 1, 2, 4 and 8 bytes are set to. */
const EXTREMES: Pool = [
  [0, 0, 0, 0],
  [0, 0, 0, 1],
  [0x7f, 0xff, 0xff, 0xff],
  [0x80, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0, 0x20, 0, 0, 0, 0, 0, 0],
  [0, 0x40, 0, 0],
  [0, 0x40, 0, 1],
  [0, 0],
  [0xff, 0xff],
].map((bytes) => Uint8Array.from(bytes));

/** What makes trouble in texts that are JSON or YAML, or become paths and names. */
const TEXTS: Pool = [
  "__proto__",
  '"__proto__":{"x":1},',
  '"constructor":{"prototype":{}},',
  "null",
  "[]",
  "{}",
  "-1",
  "1e999",
  "0.5",
  "9007199254740993",
  '"',
  "\\u0000",
  "\\ud800",
  "../../",
  "\0",
  "&a [*a, *a]",
  "*x",
  "<<: ",
  "!!js/function ",
  "---\n",
  "? ",
  ": ",
  "\n  - ",
  "\ufeff",
  "\u202e",
].map((text) => new TextEncoder().encode(text));

/** One input: a valid one, a mutated one, or noise. */
export function mutant(pool: Pool, random: Random): Uint8Array {
  const choice = random.below(16);
  if (choice === 0) return noise(random, 1 << random.below(12));
  let bytes: Uint8Array = random.pick(pool);
  if (choice === 1) return bytes.slice();
  const rounds = 1 + random.below(random.chance(1, 4) ? 8 : 2);
  for (let i = 0; i < rounds; i++) bytes = changed(bytes, pool, random);
  return bytes;
}

function changed(bytes: Uint8Array, pool: Pool, random: Random): Uint8Array {
  const at = random.below(bytes.length + 1);
  switch (random.below(12)) {
    case 0:
    case 1:
      return flipped(bytes, random);
    case 2:
      return overwritten(bytes, at, Uint8Array.of(random.below(256)));
    case 3:
      return bytes.slice(0, at);
    case 4:
      return spliced(
        bytes,
        at,
        Math.min(bytes.length, at + random.below(16)),
        noise(random, random.below(9)),
      );
    case 5:
      return spliced(bytes, at, at + random.below(2), random.pick(HEADS));
    case 6:
      return overwritten(bytes, at, random.pick(random.chance(1, 2) ? HEADS : EXTREMES));
    case 7:
      return overwritten(bytes, random.below(Math.min(bytes.length, 64) + 1), random.pick(EXTREMES));
    case 8: {
      const other = random.pick(pool), from = random.below(other.length + 1);
      return concatBytes([bytes.subarray(0, at), other.subarray(from)]);
    }
    case 9:
      return repeated(bytes, at, random);
    case 10:
      return nested(bytes, at, random);
    default:
      return spliced(bytes, at, at + random.below(4), random.pick(TEXTS));
  }
}

export function noise(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.below(256);
  return bytes;
}

function flipped(bytes: Uint8Array, random: Random): Uint8Array {
  const out = bytes.slice();
  if (out.length > 0) out[random.below(out.length)]! ^= 1 << random.below(8);
  return out;
}

function overwritten(bytes: Uint8Array, at: number, part: Uint8Array): Uint8Array {
  const out = bytes.slice();
  out.set(part.subarray(0, Math.max(0, out.length - at)), Math.min(at, out.length));
  return out;
}

function spliced(bytes: Uint8Array, from: number, to: number, part: Uint8Array): Uint8Array {
  return concatBytes([bytes.subarray(0, from), part, bytes.subarray(Math.min(to, bytes.length))]);
}

/** Some part of it, many times over. */
function repeated(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const part = bytes.subarray(at, at + 1 + random.below(32));
  if (part.length === 0) return bytes.slice();
  const times = Math.min(1 << random.below(13), Math.floor(LENGTH_MAX / part.length));
  const many = new Uint8Array(part.length * times);
  for (let i = 0; i < times; i++) many.set(part, i * part.length);
  return spliced(bytes, at, at, many).slice(0, LENGTH_MAX);
}

/** A value within many arrays, or the brackets of such. */
function nested(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const depth = Math.min(NESTING_MAX, 1 << random.below(18));
  const open = random.pick([0x81, 0x5b, 0x7b, 0x2d, 0x28]);
  return spliced(bytes, at, at, new Uint8Array(depth).fill(open)).slice(0, LENGTH_MAX);
}
