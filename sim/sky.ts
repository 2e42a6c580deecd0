/** A star catalogue as fixtures/sky describes it, and what a simulated network takes from it. */

export interface Star {
  /** Number in the Hipparcos catalogue. */
  readonly hip: number;
  /** Unique in its catalogue. */
  readonly name: string;
  /** IAU abbreviation. */
  readonly constellation: string;
  /** Right ascension, 0 to 360 degrees. */
  readonly raDeg: number;
  /** Declination, -90 to 90 degrees. */
  readonly decDeg: number;
  /** Apparent magnitude: smaller is brighter. */
  readonly mag: number;
  /** B−V colour index, null where unknown. */
  readonly bv: number | null;
}

export const SKY_HEADER = "hip,name,constellation,ra,dec,mag,bv";

const HALF_TURN = 180_000_000;
const CAPACITY_MAX = 8;

/**
 * Reads a catalogue: a header line, then one star a line, separated by commas, without quotes. Lines may end in CR LF.
 *
 * @throws {SyntaxError} naming the line and the value, where the text is no such catalogue
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const [star] = parseSky("hip,name,constellation,ra,dec,mag,bv\n32349,Sirius,CMa,101.2872,-16.7161,-1.44,0.009\n");
 * assert.equal(star!.name, "Sirius");
 * ```
 */
export function parseSky(text: string): Star[] {
  const lines = text.split(/\r?\n/);
  if (lines[lines.length - 1] === "") lines.pop();
  if (lines[0] !== SKY_HEADER) {
    fail(
      1,
      `The header is ${JSON.stringify((lines[0] ?? "").slice(0, 80))}, not ${JSON.stringify(SKY_HEADER)}`,
    );
  }
  const hips = new Map<number, number>();
  const names = new Map<string, number>();
  return lines.slice(1).map((line, index) => {
    const number = index + 2;
    const star = parseStar(line, number);
    refuseRepeated(hips, star.hip, "hip", number);
    refuseRepeated(names, star.name, "name", number);
    return star;
  });
}

/** The star's name as a node's name, which has no spaces: `Rigil-Kentaurus`, `tau-Phe`. */
export function starNodeName(star: Star): string {
  return star.name.replaceAll(" ", "-");
}

/**
 * How much a star holds, as a weight of 1 to 8: one for each whole magnitude that it is brighter than the seventh.
 * Proportional to the light itself, Sirius would hold a thousand times what a star of magnitude 6 holds.
 */
export function starCapacity(star: Star): number {
  return Math.min(CAPACITY_MAX, Math.max(1, 7 - Math.floor(star.mag)));
}

/** A vector of length 1. */
export type Direction = readonly [x: number, y: number, z: number];

/** Where in the sky a star stands. */
export function direction({ raDeg, decDeg }: Star): Direction {
  const [sinDec, cosDec] = sineAndCosine(decDeg);
  const [sinRa, cosRa] = sineAndCosine(raDeg);
  return [cosDec * cosRa, cosDec * sinRa, sinDec];
}

/**
 * The angle between two stars in the sky, in millionths of a degree, 0 to 180,000,000. Computed from additions,
 * multiplications, divisions and square roots alone, which IEEE 754 rounds the same on every machine: Math.sin and its
 * like may differ in the last bit, and these angles decide the latencies of runs that must replay anywhere.
 */
export function angularDistance(a: Star, b: Star): number {
  return angleBetween(direction(a), direction(b));
}

/** angularDistance() of the stars of two directions. */
export function angleBetween(from: Direction, to: Direction): number {
  // Twice the arc sine of half the chord: exact for small angles, where the arc cosine of the dot product is not. Past
  // a right angle the same is done with the point opposite.
  const isNear = from[0] * to[0] + from[1] * to[1] + from[2] * to[2] >= 0;
  const x = isNear ? from[0] - to[0] : from[0] + to[0];
  const y = isNear ? from[1] - to[1] : from[1] + to[1];
  const z = isNear ? from[2] - to[2] : from[2] + to[2];
  const angle = Math.round(2 * arcSine(Math.sqrt(x * x + y * y + z * z) / 2) * (HALF_TURN / Math.PI));
  return isNear ? angle : HALF_TURN - angle;
}

/**
 * The one-way latency between two stars in microseconds, from `usMin` for the same place to `usMax` for opposite ends
 * of the sky.
 */
export function starLatencyUs(
  a: Star,
  b: Star,
  range: { readonly usMin: number; readonly usMax: number },
): number {
  return range.usMin + Math.floor((range.usMax - range.usMin) * angularDistance(a, b) / HALF_TURN);
}

function parseStar(line: string, number: number): Star {
  if (line.includes('"')) fail(number, "Fields have no quotes here; remove them, and commas inside fields");
  const fields = line.split(",");
  if (fields.length !== 7) {
    fail(number, `A star has 7 fields, not ${fields.length}: ${JSON.stringify(line.slice(0, 80))}`);
  }
  const [hip, name, constellation, ra, dec, mag, bv] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  if (!/^[1-9]\d{0,6}$/.test(hip)) {
    fail(number, `The hip is a whole number from 1, not ${JSON.stringify(hip)}`);
  }
  if (name === "") fail(number, "The name is empty; where there is none, write HIP and the number");
  if (!/^[A-Z][A-Za-z]{2}$/.test(constellation)) {
    fail(
      number,
      `The constellation is an abbreviation of three letters, not ${JSON.stringify(constellation)}`,
    );
  }
  return {
    hip: Number(hip),
    name,
    constellation,
    raDeg: decimal(ra, { what: "ra", low: 0, high: 360, number }),
    decDeg: decimal(dec, { what: "dec", low: -90, high: 90, number }),
    mag: decimal(mag, { what: "mag", low: -30, high: 30, number }),
    bv: bv === "" ? null : decimal(bv, { what: "bv", low: -10, high: 10, number }),
  };
}

interface Expected {
  readonly what: string;
  readonly low: number;
  readonly high: number;
  readonly number: number;
}

function decimal(text: string, { what, low, high, number }: Expected): number {
  const value = Number(text);
  if (!/^-?\d+(\.\d+)?$/.test(text) || value < low || value > high) {
    fail(number, `The ${what} is a decimal number from ${low} to ${high}, not ${JSON.stringify(text)}`);
  }
  return value;
}

function refuseRepeated<T>(seen: Map<T, number>, value: T, what: string, number: number): void {
  const earlier = seen.get(value);
  if (earlier !== undefined) {
    fail(number, `The ${what} ${JSON.stringify(value)} was used on line ${earlier}; make it unique`);
  }
  seen.set(value, number);
}

function fail(number: number, message: string): never {
  throw new SyntaxError(`Line ${number}: ${message}`);
}

/** Taylor's series about 0 after a reduction to -45 .. 45 degrees; good to the last few bits. */
function sineAndCosine(degrees: number): readonly [sine: number, cosine: number] {
  const quarters = Math.round(degrees / 90);
  const x = (degrees - quarters * 90) * (Math.PI / 180);
  let sine = 0, cosine = 0;
  for (let n = 20; n > 0; n -= 2) {
    sine = (1 - sine) * x * x / (n * (n + 1));
    cosine = (1 - cosine) * x * x / (n * (n - 1));
  }
  sine = (1 - sine) * x;
  cosine = 1 - cosine;
  switch (((quarters % 4) + 4) % 4) {
    case 0:
      return [sine, cosine];
    case 1:
      return [cosine, -sine];
    case 2:
      return [-sine, -cosine];
    default:
      return [-cosine, sine];
  }
}

/** Newton's method on the sine, for 0 to 0.8. */
function arcSine(value: number): number {
  const square = value * value;
  // The series starts within 1/100, and each round squares that and halves it: three are past the last bit.
  let angle = value * (1 + square * (1 / 6 + square * (3 / 40)));
  for (let round = 0; round < 3; round++) {
    const [sine, cosine] = sineAndCosine(angle * (180 / Math.PI));
    angle -= (sine - value) / cosine;
  }
  return angle;
}
