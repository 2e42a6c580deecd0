/**
 * Reed-Solomon erasure coding over GF(256), as Backblaze's JavaReedSolomon and what follows it does it: the field of the
 * polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), and the Vandermonde matrix of rows r^0, r^1, …, multiplied by the inverse
 * of its upper square, so that the first `data` rows give the data back unchanged. Any `data` rows of it can be inverted.
 *
 * See J. S. Plank, "A Tutorial on Reed-Solomon Coding for Fault-Tolerance in RAID-like Systems" (1997), and the note of 2003
 * that corrects its matrix to this one.
 */
import { invariant } from "../base/invariant.ts";
import type { ErasureCoder } from "../base/ports.ts";

const POLYNOMIAL = 0x11d;
/** Of data and parity together: as many different elements as the field has. */
const SHARDS_MAX = 256;

type Matrix = readonly Uint8Array[];

const EXP = new Uint8Array(510);
const LOG = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i++) {
  EXP[i] = EXP[i + 255] = x;
  LOG[x] = i;
  x = x << 1 ^ (x < 128 ? 0 : POLYNOMIAL);
}

/** Rows of 256 products, made as they are needed. */
const PRODUCTS: (Uint8Array | undefined)[] = [];
const MATRICES = new Map<number, Matrix>();

export const erasureCoder: ErasureCoder = {
  encode(shards, parity) {
    const rows = codingMatrix(shards.length, parity).slice(shards.length);
    requireEqualLengths(shards);
    return rows.map((row) => combine(row, shards));
  },

  reconstruct(shards, data) {
    const there = shards.flatMap((shard, index) => shard === null ? [] : [{ shard, index }]).slice(0, data);
    if (there.length < data) {
      throw new RangeError(`${data} shards give the data back, and only ${there.length} are there`);
    }
    const inputs = there.map(({ shard }) => shard);
    requireEqualLengths(inputs);
    const matrix = codingMatrix(data, shards.length - data);
    let inverse: Matrix | null = null;
    return Array.from({ length: data }, (_, index) => {
      const shard = shards[index] ?? null;
      if (shard !== null) return shard;
      inverse ??= inverted(there.map((t) => matrix[t.index]!));
      return combine(inverse[index]!, inputs);
    });
  },
};

// ---- shards

function requireEqualLengths(shards: readonly Uint8Array[]): void {
  const length = shards[0]?.length ?? 0;
  if (length === 0 || shards.some((shard) => shard.length !== length)) {
    throw new RangeError("Shards are of one length, at least one byte");
  }
}

/** The sum of `inputs`, each times its coefficient. Four at a time: what is read from memory and written to it counts. */
function combine(row: Uint8Array, inputs: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(inputs[0]!.length);
  for (let i = 0; i < inputs.length; i += 4) {
    if (i + 4 <= inputs.length) addFour(out, row.subarray(i, i + 4), inputs.slice(i, i + 4));
    else for (let j = i; j < inputs.length; j++) addOne(out, row[j]!, inputs[j]!);
  }
  return out;
}

function addFour(out: Uint8Array, row: Uint8Array, inputs: readonly Uint8Array[]): void {
  const a = inputs[0]!, b = inputs[1]!, c = inputs[2]!, d = inputs[3]!;
  const ta = products(row[0]!), tb = products(row[1]!), tc = products(row[2]!), td = products(row[3]!);
  for (let i = 0; i < out.length; i++) {
    out[i] = out[i]! ^ ta[a[i]!]! ^ tb[b[i]!]! ^ tc[c[i]!]! ^ td[d[i]!]!;
  }
}

function addOne(out: Uint8Array, factor: number, input: Uint8Array): void {
  const table = products(factor);
  for (let i = 0; i < out.length; i++) out[i] = out[i]! ^ table[input[i]!]!;
}

/** Of `factor` with every element. */
function products(factor: number): Uint8Array {
  return PRODUCTS[factor] ??= Uint8Array.from({ length: 256 }, (_, element) => times(factor, element));
}

// ---- the field and its matrices

function times(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a]! + LOG[b]!]!;
}

function power(base: number, exponent: number): number {
  if (exponent === 0) return 1;
  return base === 0 ? 0 : EXP[LOG[base]! * exponent % 255]!;
}

/** `data + parity` rows of `data` coefficients: the first ones are those of the identity. */
function codingMatrix(data: number, parity: number): Matrix {
  if (data < 1 || parity < 0 || data + parity > SHARDS_MAX) {
    throw new RangeError(`There are 1 to ${SHARDS_MAX} shards with data among them, not ${data} + ${parity}`);
  }
  const name = data * (SHARDS_MAX + 1) + parity, known = MATRICES.get(name);
  if (known !== undefined) return known;
  const vandermonde = Array.from(
    { length: data + parity },
    (_, r) => Uint8Array.from({ length: data }, (_, c) => power(r, c)),
  );
  const top = inverted(vandermonde.slice(0, data));
  const matrix = vandermonde.map((row) => {
    const result = new Uint8Array(data);
    for (let c = 0; c < data; c++) {
      for (let i = 0; i < data; i++) result[c] = result[c]! ^ times(row[i]!, top[i]![c]!);
    }
    return result;
  });
  MATRICES.set(name, matrix);
  return matrix;
}

/** By Gauss and Jordan. */
function inverted(square: Matrix): Matrix {
  const size = square.length;
  const rows = square.map((row, r) => {
    const wide = new Uint8Array(2 * size);
    wide.set(row);
    wide[size + r] = 1;
    return wide;
  });
  for (let c = 0; c < size; c++) {
    const pivot = rows.findIndex((row, r) => r >= c && row[c] !== 0);
    invariant(pivot >= 0, "Any so many rows of a coding matrix can be inverted");
    [rows[c], rows[pivot]] = [rows[pivot]!, rows[c]!];
    scale(rows[c]!, EXP[255 - LOG[rows[c]![c]!]!]!);
    for (let r = 0; r < size; r++) if (r !== c) addOne(rows[r]!, rows[r]![c]!, rows[c]!);
  }
  return rows.map((row) => row.slice(size));
}

function scale(row: Uint8Array, factor: number): void {
  for (let i = 0; i < row.length; i++) row[i] = times(row[i]!, factor);
}
