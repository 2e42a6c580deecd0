/**
 * The members that hold the numbered fragments of one chunk, such that as few fragments as can be change their holder when
 * members come and go.
 *
 * S1. Seats are given to all members that are known, also to those that are no longer active: so nobody's seat is another
 *     because somebody was lost. The seats of those who are not active are vacant, and go to active members that have
 *     none. Who comes back has its seat again, and its deputy none.
 * S2. In the order of place(), each takes the free seat that it likes best by a hash of its own. Were seats given by
 *     position, one that comes would shift all behind it.
 */
import { fmix32 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import type { Member } from "../wire/messages.ts";
import { place } from "./place.ts";
import { type Roster, rosterOf } from "./roster.ts";
import { keyHash } from "./score.ts";

export interface Seating {
  readonly active: Roster;
  /** Of all members, whatever their state. */
  readonly known: Roster;
}

export function seatingOf(members: readonly Member[]): Seating {
  const active = rosterOf(members);
  if (active.ids.length === members.length) return { active, known: active };
  return { active, known: rosterOf(members.map((member) => ({ ...member, state: "active" }))) };
}

/**
 * @param fragment a hash of what is placed, as for place()
 * @returns by seat, who holds it; null: there are too few active members. Nobody has two.
 */
export function seats(fragment: number, count: number, { active, known }: Seating): (NodeId | null)[] {
  const seated = new Array<NodeId | null>(count).fill(null), key = keyHash(fragment);
  let vacant = 0;
  for (const node of place(fragment, count, known)) {
    seated[favourite(seated, key, known.hashes[known.indexOf.get(node)!]!)] = node;
  }
  if (known === active) return seated;
  const taken = new Set<NodeId>();
  for (const [seat, node] of seated.entries()) {
    if (node !== null && active.indexOf.has(node)) taken.add(node);
    else {
      seated[seat] = null;
      vacant++;
    }
  }
  if (vacant === 0) return seated;
  // As many of the first `count` have no seat as seats are vacant, or all have one.
  for (const node of place(fragment, count, active)) {
    if (taken.has(node)) continue;
    seated[favourite(seated, key, active.hashes[active.indexOf.get(node)!]!)] = node;
    if (--vacant === 0) break;
  }
  return seated;
}

/** Up to `count` active members that have none of these seats, in the order in which they take others' places. */
export function deputies(
  fragment: number,
  seated: readonly (NodeId | null)[],
  { count, active }: { readonly count: number; readonly active: Roster },
): NodeId[] {
  const taken = new Set(seated);
  return place(fragment, seated.length + count, active).filter((node) => !taken.has(node)).slice(0, count);
}

/** Of the free seats. There is one. */
function favourite(seated: readonly (NodeId | null)[], key: number, member: number): number {
  const own = fmix32(key ^ Math.imul(member, 0x9e3779b1));
  let best = -1, bestScore = 0;
  for (let seat = 0; seat < seated.length; seat++) {
    if (seated[seat] !== null) continue;
    const score = fmix32(own + seat);
    if (best >= 0 && score >= bestScore) continue;
    best = seat;
    bestScore = score;
  }
  return best;
}
