/** Mistakes in membership, in the agreed layout, in placement and in the routing of requests. */
import type { Mutant } from "./mutant.ts";

const BELIEFS = "core/membership/beliefs.ts";
const ROUTER = "core/node/router.ts";
const STEWARD = "core/node/steward.ts";
const SYSTEM = "core/system/system.ts";

export const NETWORK: readonly Mutant[] = [
  {
    name: "incarnation-not-raised",
    rule: "A node refutes with a higher incarnation (SWIM 4.2)",
    file: BELIEFS,
    original: "this.own = { ...own, incarnation: update.incarnation + 1 };",
    mutated: "this.own = { ...own, incarnation: update.incarnation };",
    first: "moves",
  },
  {
    name: "suspicion-never-expires",
    rule: "A suspicion that is not refuted ends in death (SWIM 4.2)",
    file: "core/membership/suspicion.ts",
    original: "    return this.#list.firstDue(now)?.node ?? null;",
    mutated: "    return this.#list.firstDue(now) === null ? null : null;",
    first: "moves",
  },
  {
    name: "graver-word-ignores-incarnation",
    rule: "The higher incarnation holds (SWIM 4.2)",
    file: "core/membership/member_table.ts",
    original: "    ? a.incarnation > b.incarnation\n",
    mutated: "    ? a.incarnation > b.incarnation && gravity(a.status) >= gravity(b.status)\n",
    first: "moves",
  },
  {
    name: "layout-from-an-older-base",
    rule: "A layout counts only for the view that it was computed from (S2)",
    file: SYSTEM,
    original: "  if (command.base !== view.version) {",
    mutated: "  if (command.base > view.version) {",
    first: "tests",
  },
  {
    name: "two-replicas-in-one-place",
    rule: "A partition's replicas are on different members (P1)",
    file: "core/placement/assign.ts",
    original: "return [leader, ...members.filter((m) => m !== leader)];",
    mutated: "return [leader, ...members.slice(0, -1)];",
    first: "moves",
  },
  {
    name: "gone-member-keeps-its-replicas",
    rule: "A member that is declared gone holds nothing in the next layout",
    file: "core/placement/roster.ts",
    original: `member.state === "active")`,
    mutated: `member.state === "active" || member.state === "gone")`,
    first: "moves",
  },
  {
    name: "gone-member-not-declared",
    rule: "A member that stays unreachable is declared gone",
    file: STEWARD,
    original: "now - since >= view.settings.graceUs",
    mutated: "since - now >= view.settings.graceUs",
    first: "losses",
  },
  {
    name: "read-at-a-follower",
    rule: "A linearizable read is answered by the leader",
    file: ROUTER,
    original: `isReadOp(op) && op.read === "stale" && readable(slot)`,
    mutated: `isReadOp(op) && readable(slot)`,
    first: "crashes",
  },
];
