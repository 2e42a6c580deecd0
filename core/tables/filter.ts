/**
 * A Bloom filter (Bloom 1970) over the keys of one file, so that most files that lack a key are not read for it. Ten
 * bits a key and six probes: one in a hundred absent keys is taken for a present one. The probes come from one hash by
 * double hashing (Kirsch and Mitzenmacher, "Less Hashing, Same Performance", 2006).
 */
import { hashBytes32 } from "../base/hash.ts";

const BITS_PER_KEY = 10;
const PROBES = 6;

export function filterHash(key: Uint8Array): number {
  return hashBytes32(key);
}

export function buildFilter(hashes: Uint32Array): Uint8Array {
  const filter = new Uint8Array(Math.max(8, Math.ceil(hashes.length * BITS_PER_KEY / 8)));
  const bits = filter.length * 8;
  for (let i = 0; i < hashes.length; i++) {
    let h = hashes[i]!;
    const delta = ((h >>> 17) | (h << 15)) >>> 0;
    for (let probe = 0; probe < PROBES; probe++) {
      const bit = h % bits;
      filter[bit >>> 3]! |= 1 << (bit & 7);
      h = (h + delta) >>> 0;
    }
  }
  return filter;
}

/** False only where no key with this hash was in `buildFilter`. */
export function mayContain(filter: Uint8Array, hash: number): boolean {
  const bits = filter.length * 8, delta = ((hash >>> 17) | (hash << 15)) >>> 0;
  let h = hash;
  for (let probe = 0; probe < PROBES; probe++) {
    const bit = h % bits;
    if ((filter[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;
    h = (h + delta) >>> 0;
  }
  return true;
}
