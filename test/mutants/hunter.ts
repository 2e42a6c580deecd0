/**
 * Hunts in the tree it lies in, and prints one line of JSON: what was caught, or that nothing was.
 *
 *     deno run --allow-read test/mutants/hunter.ts '{"hunts":["storm","crashes"],"seeds":null}'
 *
 * Seeds are tried in rounds that double in length, each hunt in its turn: what one hunt catches at once is not kept
 * waiting by a thousand seeds of another.
 */
import { type Catch, hunt, huntNamed } from "./hunts.ts";

export interface Task {
  /** By name, in the order of their turns. */
  readonly hunts: readonly string[];
  /** In place of each hunt's own number of seeds, where that is more. */
  readonly seeds: number | null;
}

export interface Quarry extends Catch {
  readonly hunt: string;
  readonly seed: number;
}

export interface Finding {
  /** null: it got away. */
  readonly caught: Quarry | null;
  readonly seeds: number;
  readonly virtualUs: number;
  /** Of the hunting alone. */
  readonly wallMs: number;
}

/** The first round has this share of all seeds: a power of two. */
const ROUNDS = 64;

export function huntAll({ hunts, seeds }: Task): Finding {
  const order = hunts.map(huntNamed);
  const began = performance.now();
  let tried = 0, virtualUs = 0;
  const finding = (caught: Quarry | null): Finding => ({
    caught,
    seeds: tried,
    virtualUs,
    wallMs: Math.round(performance.now() - began),
  });
  const upTo = order.map(() => 0);
  for (let share = 1 / ROUNDS; share <= 1; share *= 2) {
    for (const [i, h] of order.entries()) {
      const last = Math.ceil(Math.min(seeds ?? h.seeds, h.seeds) * share);
      while (upTo[i]! < last) {
        const seed = ++upTo[i]!;
        const outcome = hunt(h, seed);
        tried++;
        virtualUs += outcome.virtualUs;
        if (outcome.caught !== null) return finding({ hunt: h.name, seed, ...outcome.caught });
      }
    }
  }
  return finding(null);
}

if (import.meta.main) console.log(JSON.stringify(huntAll(JSON.parse(Deno.args[0]!) as Task)));
