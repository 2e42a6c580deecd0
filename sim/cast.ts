import { type NodeId, nodeId } from "../core/base/ids.ts";
import { utf8Encode } from "../core/base/bytes.ts";
import { angleBetween, direction, type Star, starCapacity, starNodeName } from "./sky.ts";

/** A star's part in a run. */
export interface Role {
  readonly id: NodeId;
  readonly star: Star;
  readonly zone: string;
  readonly capacity: number;
}

/** A row of the catalogue as a record. */
export interface StarRecord {
  readonly key: string;
  readonly value: Uint8Array;
}

/**
 * The `nodes` brightest stars as nodes, the brightest first: names become ids, brightness capacity, and constellations
 * zones, unless they are dealt to as many as `zones` says.
 * @throws {RangeError} when the catalogue has fewer stars
 */
export function castStars(catalogue: readonly Star[], nodes: number, zones?: number): Role[] {
  if (catalogue.length < nodes) {
    throw new RangeError(
      `The catalogue has ${catalogue.length} stars, fewer than the ${nodes} nodes asked for`,
    );
  }
  return [...catalogue].sort((a, b) => a.mag - b.mag || a.hip - b.hip).slice(0, nodes).map((star, i) => ({
    id: nodeId(starNodeName(star)),
    star,
    zone: zones === undefined ? star.constellation : zoneName(i % zones),
    capacity: starCapacity(star),
  }));
}

/** Of zones that are dealt out. */
export function zoneName(number: number): string {
  return `zone-${number}`;
}

/** Millionths of a degree between the stars of two roles, by their places in the list. */
export function distances(roles: readonly Role[]): (from: number, to: number) => number {
  const directions = roles.map(({ star }) => direction(star));
  return (from, to) => {
    const a = directions[from], b = directions[to];
    return a === undefined || b === undefined ? 0 : angleBetween(a, b);
  };
}

/** The first `count` rows of the catalogue, in its order. */
export function starRecords(catalogue: readonly Star[], count: number): StarRecord[] {
  return catalogue.slice(0, count).map((star) => ({
    key: `star/${star.hip}`,
    value: utf8Encode(JSON.stringify(star)),
  }));
}
