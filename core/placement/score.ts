import { fmix32, hashString32 } from "../base/hash.ts";

/*
 * Weighted rendezvous (highest random weight) hashing: for a key every node draws a uniform number u from (key, node)
 * and the smallest -log(u) / weight wins, so a node wins in proportion to its weight, and a change of one weight moves
 * only what that node gains or loses (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005; Resch 2015).
 *
 * Math.log may differ between engines in its last bit, and one bit can swap two nodes. So the logarithm comes from a
 * table made with integers and is interpolated in integers. The one division by the weight is IEEE 754's, which is
 * rounded the same everywhere.
 */

const TABLE_BITS = 10;
const REST_BITS = 31 - TABLE_BITS;
const FRACTION_BITS = 25;

/** log2 of (1 + i / 1024), in units of 2^-25. */
const LOG2_TABLE: Int32Array = buildLog2Table();

/** What is hashed once for each node or zone and then used with every key. */
export function nameHash(name: string, seed: number): number {
  return hashString32(name, seed);
}

/** What is hashed once for each key (a partition's number, a fragment's hash) and then used with every name. */
export function keyHash(key: number): number {
  return fmix32((key ^ 0x9e3779b9) | 0);
}

/** The place of a name in the order of preference of a key: the smallest score comes first. Never negative. */
export function score(key: number, name: number, weight: number): number {
  return negativeLog2(fmix32(key ^ name)) / weight;
}

/**
 * -log2((hash + 1) / 2^32) in units of 2^-46, an integer from 0 to 2^51, decreasing in `hash`. Off by less than
 * 2^-21 of a whole, as the table is interpolated linearly.
 */
export function negativeLog2(hash: number): number {
  const x = hash + 1;
  if (x > 0xffff_ffff) return 0;
  const zeros = Math.clz32(x);
  const mantissa = x << zeros;
  const slot = (mantissa >>> REST_BITS) & ((1 << TABLE_BITS) - 1);
  const rest = mantissa & ((1 << REST_BITS) - 1);
  const low = LOG2_TABLE[slot]!;
  const step = LOG2_TABLE[slot + 1]! - low;
  return ((zeros + 1) * 2 ** FRACTION_BITS - low) * 2 ** REST_BITS - step * rest;
}

/** Digit by digit: squaring doubles the logarithm, and each doubling past two gives one binary digit. */
function buildLog2Table(): Int32Array {
  const one = 2 ** FRACTION_BITS;
  const size = 1 << TABLE_BITS;
  const table = new Int32Array(size + 1);
  for (let i = 0; i < size; i++) {
    let y = one + i * (one / size);
    let log = 0;
    for (let bit = FRACTION_BITS - 1; bit >= 0; bit--) {
      y = Math.floor((y * y) / one);
      if (y >= 2 * one) {
        log += 2 ** bit;
        y = Math.floor(y / 2);
      }
    }
    table[i] = log;
  }
  table[size] = one;
  return table;
}
