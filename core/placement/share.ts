import { invariant } from "../base/invariant.ts";
import type { Roster } from "./roster.ts";

/** Lowest and highest allowed value by index. */
export interface Bounds {
  readonly low: Int32Array;
  readonly high: Int32Array;
}

/** An exact fraction. Both parts stay far below 2^53, and so do the products that compare two of them. */
export interface Ratio {
  readonly top: number;
  readonly bottom: number;
}

/**
 * How many replicas of one partition each zone holds (P3). The evenest spread of `replicas` over zones fills them in
 * level like water: zones with fewer members than the level are full, the others hold the level or one less.
 */
export function zoneBounds(roster: Roster, replicas: number): Bounds {
  const sizes = roster.zones.map((zone) => zone.members.length);
  const held = (level: number) => sizes.reduce((sum, size) => sum + Math.min(size, level), 0);
  let level = 0;
  while (held(level) < replicas) level++;
  const leveled = held(level) === replicas;
  return {
    low: Int32Array.from(sizes, (size) => Math.min(size, leveled ? level : level - 1)),
    high: Int32Array.from(sizes, (size) => Math.min(size, level)),
  };
}

/**
 * The fair share of each member in `partitions` × `replicas` replicas, rounded down and up (P4).
 *
 * Shares are proportional to capacity, load = level × capacity, with one level for all, but for two limits: no member
 * holds more than every partition once, and a zone holds no less and no more than `zones` allows. A zone pinned by its
 * limit has a level of its own. This is the weighted max-min fair share, and it is always reachable: giving every
 * partition the same fraction of every member satisfies all bounds, and flows with whole bounds have whole solutions.
 */
export function fairShares(roster: Roster, zones: Bounds, partitions: number, replicas: number): Bounds {
  const shares = exactShares(roster, zones, partitions, replicas);
  return {
    low: Int32Array.from(shares, ({ top, bottom }) => (top - top % bottom) / bottom),
    high: Int32Array.from(
      shares,
      ({ top, bottom }) => (top - top % bottom) / bottom + (top % bottom > 0 ? 1 : 0),
    ),
  };
}

/** The fair shares before rounding. */
export function exactShares(roster: Roster, zones: Bounds, partitions: number, replicas: number): Ratio[] {
  const waters = roster.zones.map((zone, z): ZoneWater => {
    const capacities = Int32Array.from(zone.members, (member) => roster.capacities[member]!).sort().reverse();
    const low = partitions * zones.low[z]!, high = partitions * zones.high[z]!;
    return {
      capacities,
      low,
      high,
      levelLow: levelOf(capacities, low, partitions),
      levelHigh: levelOf(capacities, high, partitions),
    };
  });
  const level = commonLevel(waters, partitions, partitions * replicas);
  const shares: Ratio[] = new Array(roster.ids.length);
  roster.zones.forEach((zone, z) => {
    const { levelLow, levelHigh } = waters[z]!;
    const own = compare(level, levelLow) < 0 ? levelLow : compare(level, levelHigh) > 0 ? levelHigh : level;
    for (const member of zone.members) {
      const top = own.top * roster.capacities[member]!;
      shares[member] = top > partitions * own.bottom
        ? { top: partitions, bottom: 1 }
        : { top, bottom: own.bottom };
    }
  });
  return shares;
}

/** A zone as the common level sees it: its load stays at `low` up to levelLow and at `high` from levelHigh on. */
interface ZoneWater {
  /** Descending. */
  readonly capacities: Int32Array;
  readonly low: number;
  readonly high: number;
  readonly levelLow: Ratio;
  readonly levelHigh: Ratio;
}

/** The level at which members of these capacities (descending), each holding at most `cap`, hold `total` together. */
function levelOf(capacities: Int32Array, total: number, cap: number): Ratio {
  let weight = capacities.reduce((sum, capacity) => sum + capacity, 0);
  let rest = total;
  for (const capacity of capacities) {
    if (rest * capacity <= cap * weight) break;
    rest -= cap;
    weight -= capacity;
  }
  return { top: rest, bottom: weight };
}

/**
 * The level at which all zones hold `total` together. The load is piecewise linear in the level, so the piece is found
 * first, by bisection over the levels where a zone or member reaches a limit, and solved exactly.
 */
function commonLevel(waters: readonly ZoneWater[], cap: number, total: number): Ratio {
  const corners: Ratio[] = [];
  for (const water of waters) {
    corners.push(water.levelLow, water.levelHigh);
    if (water.high > cap) {
      for (const capacity of water.capacities) corners.push({ top: cap, bottom: capacity });
    }
  }
  corners.sort(compare);
  let below = -1, at = corners.length - 1;
  while (at - below > 1) {
    const middle = (below + at) >> 1;
    const { fixed, weight } = piece(waters, cap, corners[middle]!);
    if (fixed * corners[middle]!.bottom + weight * corners[middle]!.top >= total * corners[middle]!.bottom) {
      at = middle;
    } else below = middle;
  }
  const { fixed, weight } = piece(waters, cap, corners[at]!);
  if (weight === 0) return corners[at]!;
  invariant(total >= fixed, "P4: zones hold no more than there is to hold");
  return { top: total - fixed, bottom: weight };
}

/** The load just below `level` and at it: what is fixed by limits, plus level × the weight of what is not. */
function piece(waters: readonly ZoneWater[], cap: number, level: Ratio): { fixed: number; weight: number } {
  let fixed = 0, weight = 0;
  for (const water of waters) {
    if (compare(level, water.levelLow) <= 0) fixed += water.low;
    else if (compare(level, water.levelHigh) > 0) fixed += water.high;
    else {
      for (const capacity of water.capacities) {
        if (capacity * level.top > cap * level.bottom) fixed += cap;
        else weight += capacity;
      }
    }
  }
  return { fixed, weight };
}

function compare(a: Ratio, b: Ratio): number {
  return a.top * b.bottom - b.top * a.bottom;
}
