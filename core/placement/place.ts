import type { NodeId } from "../base/ids.ts";
import type { Roster } from "./roster.ts";
import { keyHash, score } from "./score.ts";

/**
 * The holders of one fragment or chunk among many: plain weighted rendezvous, without history or bounds on loads.
 *
 * Zones come first: they are ranked by their score, with the sum of their members' capacities as weight, and each
 * gives its own best member; when all have given one and more are wanted, each gives its next best, and so on. A member
 * that comes or goes moves only what it gains or loses itself, and what its zone gains or loses by the changed weight.
 *
 * With one holder wanted, members win exactly in proportion to their capacity. With several they come near it as long
 * as no zone has more than its `1 / count` part of all capacity: it cannot hold a second copy before the others hold one.
 *
 * @param fragment a hash of what is placed, 32 bits
 * @param roster the active members, as rosterOf() sorts them: made once for many calls
 * @returns `count` members in order of preference; all of them where there are fewer
 * @throws {RangeError} when `count` is not an integer from 0
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { nodeId } from "../base/ids.ts";
 * import { rosterOf } from "./roster.ts";
 * const roster = rosterOf(["rigel", "vega"].map((name) => (
 *   { id: nodeId(name), address: "", zone: name, capacity: 1, state: "active" as const }
 * )));
 * assert.deepEqual([...place(0xcafe, 3, roster)].sort(), ["rigel", "vega"]);
 * ```
 */
export function place(fragment: number, count: number, roster: Roster): NodeId[] {
  if (!Number.isInteger(count) || count < 0) {
    throw new RangeError(`A count of holders is an integer from 0, not ${count}`);
  }
  const key = keyHash(fragment);
  const wanted = Math.min(count, roster.ids.length);
  if (wanted === 0) return [];
  const { zones } = roster;
  const ranked = lowest(zones.length, wanted, (z) => score(key, zones[z]!.hash, zones[z]!.capacity));
  const perZone = zones.length >= wanted ? 1 : wanted;
  const inside = ranked.map((z) => {
    const { members } = zones[z]!;
    return lowest(
      members.length,
      perZone,
      (i) => score(key, roster.hashes[members[i]!]!, roster.capacities[members[i]!]!),
    )
      .map((i) => roster.ids[members[i]!]!);
  });
  const chosen: NodeId[] = [];
  for (let round = 0; chosen.length < wanted; round++) {
    for (const members of inside) {
      if (round < members.length && chosen.length < wanted) chosen.push(members[round]!);
    }
  }
  return chosen;
}

/** The `count` indices below `length` with the lowest scores, best first; the lower index wins a tie. */
function lowest(length: number, count: number, scoreOf: (index: number) => number): number[] {
  const best: number[] = [];
  const scores: number[] = [];
  for (let index = 0; index < length; index++) {
    const own = scoreOf(index);
    if (best.length === count && own >= scores[count - 1]!) continue;
    let at = best.length < count ? best.length : count - 1;
    for (; at > 0 && scores[at - 1]! > own; at--) {
      best[at] = best[at - 1]!;
      scores[at] = scores[at - 1]!;
    }
    best[at] = index;
    scores[at] = own;
  }
  return best;
}
