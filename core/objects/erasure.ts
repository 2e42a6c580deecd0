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

/** Bytes of a 32-bit word. */
const LANES = 4;
/** Columns that are summed up at once. */
const BLOCK = 4096;

const MATRICES = new Map<number, Matrix>();

export const erasureCoder: ErasureCoder = {
  encode(shards, parity) {
    const rows = codingMatrix(shards.length, parity).slice(shards.length);
    requireEqualLengths(shards);
    return combine(rows, shards);
  },

  reconstruct(shards, data) {
    const there = shards.flatMap((shard, index) => shard === null ? [] : [{ shard, index }]).slice(0, data);
    if (there.length < data) {
      throw new RangeError(`${data} shards give the data back, and only ${there.length} are there`);
    }
    const inputs = there.map(({ shard }) => shard);
    requireEqualLengths(inputs);
    const matrix = codingMatrix(data, shards.length - data);
    const missing = [...range(data)].filter((index) => (shards[index] ?? null) === null);
    if (missing.length === 0) return inputs;
    const inverse = inverted(there.map(({ index }) => matrix[index]!));
    const made = combine(missing.map((index) => inverse[index]!), inputs);
    return range(data).map((index) => shards[index] ?? made[missing.indexOf(index)]!);
  },
};

// ---- shards

function requireEqualLengths(shards: readonly Uint8Array[]): void {
  const length = shards[0]?.length ?? 0;
  if (length === 0 || shards.some((shard) => shard.length !== length)) {
    throw new RangeError("Shards are of one length, at least one byte");
  }
}

/** For each row the sum of `inputs`, each times its coefficient. */
function combine(rows: Matrix, inputs: readonly Uint8Array[]): Uint8Array[] {
  const outputs: Uint8Array[] = [];
  for (let r = 0; r < rows.length; r += LANES) {
    const some = rows.slice(r, r + LANES);
    outputs.push(...combineLanes(inputs.map((_, i) => productsOf(some, i)), inputs, some.length));
  }
  return outputs;
}

/**
 * Up to four rows at once: one look into a table of 32-bit words gives what an input's byte adds to all of them. Block by
 * block, so that the sums stay in the processor's nearest memory.
 */
function combineLanes(
  tables: readonly Int32Array[],
  inputs: readonly Uint8Array[],
  lanes: number,
): Uint8Array[] {
  const length = inputs[0]!.length, sums = new Int32Array(Math.min(BLOCK, length));
  const outputs = range(lanes).map(() => new Uint8Array(length));
  for (let from = 0; from < length; from += BLOCK) {
    const block: Block = { sums, from, size: Math.min(BLOCK, length - from) };
    let i = 0;
    for (; i + 4 <= inputs.length; i += 4) addFour(block, tables.slice(i, i + 4), inputs.slice(i, i + 4));
    for (; i + 2 <= inputs.length; i += 2) addTwo(block, tables.slice(i, i + 2), inputs.slice(i, i + 2));
    for (; i < inputs.length; i++) addOne(block, tables[i]!, inputs[i]!);
    takeLanes(block, outputs);
  }
  return outputs;
}

interface Block {
  readonly sums: Int32Array;
  readonly from: number;
  readonly size: number;
}

function addFour(
  { sums, from, size }: Block,
  tables: readonly Int32Array[],
  inputs: readonly Uint8Array[],
): void {
  const a = inputs[0]!, b = inputs[1]!, c = inputs[2]!, d = inputs[3]!;
  const ta = tables[0]!, tb = tables[1]!, tc = tables[2]!, td = tables[3]!;
  for (let i = 0, j = from; i < size; i++, j++) {
    sums[i] = sums[i]! ^ ta[a[j]!]! ^ tb[b[j]!]! ^ tc[c[j]!]! ^ td[d[j]!]!;
  }
}

function addTwo(
  { sums, from, size }: Block,
  tables: readonly Int32Array[],
  inputs: readonly Uint8Array[],
): void {
  const a = inputs[0]!, b = inputs[1]!, ta = tables[0]!, tb = tables[1]!;
  for (let i = 0, j = from; i < size; i++, j++) sums[i] = sums[i]! ^ ta[a[j]!]! ^ tb[b[j]!]!;
}

function addOne({ sums, from, size }: Block, table: Int32Array, input: Uint8Array): void {
  for (let i = 0, j = from; i < size; i++, j++) sums[i] = sums[i]! ^ table[input[j]!]!;
}

/** Spreads the sums over the outputs, and begins anew. */
function takeLanes({ sums, from, size }: Block, outputs: readonly Uint8Array[]): void {
  for (const [lane, output] of outputs.entries()) {
    const shift = 8 * lane;
    for (let i = 0, j = from; i < size; i++, j++) output[j] = sums[i]! >>> shift;
  }
  sums.fill(0);
}

/** Of every element with the coefficients that `rows` have for input `input`, a byte for each row, the first lowest. */
function productsOf(rows: Matrix, input: number): Int32Array {
  const table = new Int32Array(256);
  for (const [lane, row] of rows.entries()) {
    const factor = row[input]!;
    for (let element = 0; element < 256; element++) {
      table[element] = table[element]! | times(factor, element) << 8 * lane;
    }
  }
  return table;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
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
    for (let r = 0; r < size; r++) if (r !== c) addTimes(rows[r]!, rows[r]![c]!, rows[c]!);
  }
  return rows.map((row) => row.slice(size));
}

function scale(row: Uint8Array, factor: number): void {
  for (let i = 0; i < row.length; i++) row[i] = times(row[i]!, factor);
}

function addTimes(row: Uint8Array, factor: number, other: Uint8Array): void {
  for (let i = 0; i < row.length; i++) row[i] = row[i]! ^ times(factor, other[i]!);
}
