/**
 * The star catalogues of fixtures/sky, made from the npm package d3-celestial (see fixtures/sky/README.md), which Deno
 * downloads by itself:
 *
 *     deno run --allow-write=fixtures/sky/bright.csv cli/sky_package.ts
 *     deno run --allow-read=fixtures/sky/bright.csv cli/sky_package.ts --check
 *     deno run --allow-write=FILE cli/sky_package.ts --large FILE
 *
 * The first writes fixtures/sky/bright.csv, the 5,044 stars to magnitude 6. --check compares instead of writing, and
 * fails where the file differs. --large writes the same columns for all 118,216 stars to FILE, which is not committed.
 */
import { SKY_HEADER } from "../sim/sky.ts";

/** Not a literal in the import below: a literal would be fetched by whoever checks or caches this file. */
const PACKAGE = "npm:d3-celestial@0.7.35/data/";

type Position = readonly [longitude: number, latitude: number];

interface StarFeature {
  readonly id: number;
  readonly properties: { readonly mag: number; readonly bv: string };
  readonly geometry: { readonly coordinates: Position };
}

/** Only what is read here. Stars without a designation have no record, and some records no constellation. */
interface NameRecord {
  readonly name: string;
  readonly bayer?: string;
  readonly flam?: string;
  readonly var?: string;
  readonly c?: string;
}

interface BoundaryFeature {
  readonly id: string;
  readonly geometry: { readonly coordinates: readonly (readonly Position[])[] };
}

const GREEK: Readonly<Record<string, string>> = {
  α: "alpha",
  β: "beta",
  γ: "gamma",
  δ: "delta",
  ε: "epsilon",
  ζ: "zeta",
  η: "eta",
  θ: "theta",
  ι: "iota",
  κ: "kappa",
  λ: "lambda",
  μ: "mu",
  ν: "nu",
  ξ: "xi",
  ο: "omicron",
  π: "pi",
  ρ: "rho",
  σ: "sigma",
  τ: "tau",
  υ: "upsilon",
  φ: "phi",
  χ: "chi",
  ψ: "psi",
  ω: "omega",
};

/** Longitudes are right ascensions from -180 to 180, so a region may be stored one turn off, or enclose a pole. */
class Boundaries {
  readonly #regions: readonly { readonly id: string; readonly outline: readonly Position[] }[];

  constructor(features: readonly BoundaryFeature[]) {
    this.#regions = features.map(({ id, geometry }) => ({ id, outline: unrolled(geometry.coordinates[0]!) }));
  }

  has(id: string): boolean {
    return this.#regions.some((region) => region.id === id);
  }

  /** The constellation around a point. Edges are straight here and curved in the sky, so a few points lie in two: the first. */
  at([longitude, latitude]: Position): string {
    for (const { id, outline } of this.#regions) {
      for (const turn of [-360, 0, 360]) if (isInside([longitude + turn, latitude], outline)) return id;
    }
    throw new Error(
      `No constellation is around longitude ${longitude}, latitude ${latitude}; look at the boundary data`,
    );
  }
}

/** Makes longitudes run on past 180 where the outline does; one that goes round a pole is closed over that pole. */
function unrolled(outline: readonly Position[]): Position[] {
  const result: Position[] = [outline[0]!];
  for (const [longitude, latitude] of outline.slice(1)) {
    const last = result[result.length - 1]![0];
    result.push([longitude - Math.round((longitude - last) / 360) * 360, latitude]);
  }
  const first = result[0]!, last = result[result.length - 1]!;
  if (Math.abs(last[0] - first[0]) > 180) {
    const pole = first[1] > 0 ? 90 : -90;
    result.push([last[0], pole], [first[0], pole]);
  }
  return result;
}

/** Counts the edges that a ray from the point crosses. */
function isInside([x, y]: Position, outline: readonly Position[]): boolean {
  let inside = false;
  for (let i = 0, j = outline.length - 1; i < outline.length; j = i++) {
    const [x1, y1] = outline[i]!, [x2, y2] = outline[j]!;
    if ((y1 > y) !== (y2 > y) && x < (x2 - x1) * (y - y1) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}

/** From the best known: proper name, Bayer letter, Flamsteed number, variable designation. */
function namesOf(record: NameRecord | undefined, constellation: string): string[] {
  if (record === undefined) return [];
  const names: string[] = [];
  const proper = record.name.normalize("NFD").replace(/\p{Mn}/gu, "").trim();
  if (/^[A-Za-z][A-Za-z0-9' -]*$/.test(proper)) names.push(proper);
  const bayer = /^(\p{L})(\d?)$/u.exec(record.bayer ?? "");
  if (bayer !== null) names.push(`${GREEK[bayer[1]!] ?? bayer[1]}${bayer[2]} ${constellation}`);
  for (const designation of [record.flam, record.var]) {
    if (designation) names.push(`${designation} ${constellation}`);
  }
  return names;
}

/** One row a star, by number. A name borne by several goes to the brightest, so it is the same in both catalogues. */
function makeRows(
  stars: readonly StarFeature[],
  names: Readonly<Record<string, NameRecord>>,
  boundaries: Boundaries,
): Map<number, string> {
  const taken = new Set<string>();
  const rows = new Map<number, string>();
  const brightestFirst = [...stars].sort((a, b) => a.properties.mag - b.properties.mag || a.id - b.id);
  for (const { id, properties, geometry } of brightestFirst) {
    const record = names[id];
    const [longitude, latitude] = geometry.coordinates;
    const said = record?.c ?? "";
    const constellation = boundaries.has(said) ? said : boundaries.at(geometry.coordinates);
    const name = namesOf(record, constellation).find((each) => !taken.has(each)) ?? `HIP ${id}`;
    taken.add(name);
    const rightAscension = Number((longitude < 0 ? longitude + 360 : longitude).toFixed(4));
    const bv = properties.bv.trim();
    rows.set(id, [id, name, constellation, rightAscension, latitude, properties.mag, bv].join(","));
  }
  return new Map([...rows].sort(([a], [b]) => a - b));
}

async function read<T>(file: string): Promise<T> {
  return (await import(PACKAGE + file, { with: { type: "json" } })).default;
}

/**
 * A catalogue in the form of fixtures/sky: bright, the 5,044 stars to magnitude 6; large, the 118,216 to magnitude 14.
 *
 * @throws {Error} when the package cannot be had
 */
export async function skyCatalogue(kind: "bright" | "large"): Promise<string> {
  const all = await read<{ features: StarFeature[] }>("stars.14.json");
  const names = await read<Record<string, NameRecord>>("starnames.json");
  const boundaries = new Boundaries(
    (await read<{ features: BoundaryFeature[] }>("constellations.bounds.json")).features,
  );
  const rows = makeRows(all.features, names, boundaries);
  if (kind === "large") return [SKY_HEADER, ...rows.values(), ""].join("\n");
  const bright = await read<{ features: StarFeature[] }>("stars.6.json");
  const numbers = bright.features.map(({ id }) => id).sort((a, b) => a - b);
  return [SKY_HEADER, ...numbers.map((id) => rows.get(id)!), ""].join("\n");
}

const BRIGHT = "fixtures/sky/bright.csv";
const USAGE =
  "Usage: sky_package.ts [--check | --large FILE]; its first lines say which permissions each needs";

async function main(args: readonly string[]): Promise<number> {
  const [option, file] = args;
  const isCheck = option === "--check" && args.length === 1;
  const isLarge = option === "--large" && args.length === 2;
  if (args.length > 0 && !isCheck && !isLarge) {
    console.error(USAGE);
    return 2;
  }
  const text = await skyCatalogue(isLarge ? "large" : "bright");
  if (isCheck) {
    const same = await Deno.readTextFile(BRIGHT) === text;
    console.error(
      same ? `${BRIGHT} is as the package makes it` : `${BRIGHT} differs; run this script without --check`,
    );
    return same ? 0 : 1;
  }
  const target = isLarge ? file! : BRIGHT;
  await Deno.writeTextFile(target, text);
  console.error(`Wrote ${text.split("\n").length - 2} stars to ${target}`);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
