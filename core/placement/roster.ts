import { LIMITS } from "../base/limits.ts";
import type { NodeId } from "../base/ids.ts";
import type { Member } from "../wire/messages.ts";
import { nameHash } from "./score.ts";

const NODE_SEED = 0x0de;
const ZONE_SEED = 0x20e;

/** The active members, sorted by id and grouped by zone. Members and zones are then known by their index. */
export interface Roster {
  readonly ids: readonly NodeId[];
  readonly indexOf: ReadonlyMap<NodeId, number>;
  readonly capacities: Int32Array;
  readonly hashes: Int32Array;
  readonly zoneOf: Int32Array;
  /** Sorted by name. */
  readonly zones: readonly Zone[];
}

export interface Zone {
  readonly name: string;
  readonly hash: number;
  /** The sum over its members. */
  readonly capacity: number;
  readonly members: Int32Array;
}

/**
 * Takes the active members out of `members`, in an order that does not depend on theirs.
 * @throws {RangeError} when a capacity is not an integer from 1 to 1,000,000 or two members share an id
 */
export function rosterOf(members: readonly Member[]): Roster {
  const active = members.filter((member) => member.state === "active").sort((a, b) =>
    compareText(a.id, b.id)
  );
  const indexOf = new Map<NodeId, number>();
  const byZone = new Map<string, number[]>();
  active.forEach((member, index) => {
    requireValid(member, indexOf);
    indexOf.set(member.id, index);
    const zone = byZone.get(member.zone);
    if (zone === undefined) byZone.set(member.zone, [index]);
    else zone.push(index);
  });
  const zoneOf = new Int32Array(active.length);
  const zones = [...byZone.keys()].sort(compareText).map((name, z): Zone => {
    const inside = Int32Array.from(byZone.get(name)!);
    let capacity = 0;
    for (const index of inside) {
      zoneOf[index] = z;
      capacity += active[index]!.capacity;
    }
    return { name, hash: nameHash(name, ZONE_SEED), capacity, members: inside };
  });
  return {
    ids: active.map((member) => member.id),
    indexOf,
    capacities: Int32Array.from(active, (member) => member.capacity),
    hashes: Int32Array.from(active, (member) => nameHash(member.id, NODE_SEED)),
    zoneOf,
    zones,
  };
}

function requireValid(member: Member, known: ReadonlyMap<NodeId, number>): void {
  if (!Number.isInteger(member.capacity) || member.capacity < 1 || member.capacity > LIMITS.capacityMax) {
    throw new RangeError(
      `The capacity of ${member.id} is an integer from 1 to ${LIMITS.capacityMax}, not ${member.capacity}`,
    );
  }
  if (known.has(member.id)) throw new RangeError(`The member ${member.id} is listed twice`);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
