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
  {
    name: "declared-gone-at-once",
    rule: "Unreachable time is counted by the leader, anew after each election (T2)",
    file: "core/node/steward.ts",
    original: "    this.#unreachableSince.clear();\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "dropped-on-old-word",
    rule: "A replica is dropped only on word of a configuration as new as its own (N3)",
    file: "core/node/replicas.ts",
    original: "    if (verdict.commit < slot.replica.configurationIndex) return; // N3\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "retired-vote-forgotten",
    rule: "A replica that is opened again knows the vote of its earlier life",
    file: "core/node/replicas.ts",
    original:
      "const recovered = retired === undefined ? null : emptyReplica(retired.term, retired.votedFor);",
    mutated: "const recovered = null;",
    first: "tests",
  },
  {
    name: "view-goes-back",
    rule: "A node's view never goes back (L1)",
    file: "core/node/layout.ts",
    original: "    if (view.version <= this.#view.version) return; // L1\n",
    mutated: "    if (view.version === this.#view.version) return;\n",
    first: "tests",
  },
  {
    name: "view-not-recorded",
    rule: "A view is in the journal before the node acts on it (L2)",
    file: "core/node/layout.ts",
    original: '    this.#options.effects.record({ kind: "view", view }); // L2\n',
    mutated: "",
    first: "tests",
  },
  {
    name: "write-to-a-stale-leader",
    rule: "A request that was forwarded to who does not lead is not done",
    file: "core/node/router.ts",
    original: "    if (slot !== undefined && slot.replica.isLeader) return this.#serve(slot, waiting, now);",
    mutated:
      '    if (slot !== undefined && slot.replica.isLeader) return this.#serve(slot, waiting, now);\n    if (waiting.asker.kind === "peer" && isWriteOp(op)) {\n      return this.#finish(waiting.token, { kind: "done", version: 0 }, now);\n    }',
    first: "crashes",
  },
  {
    name: "lost-write-reported-as-not-done",
    rule: "What may have been done by a lost peer is unsure (R1)",
    file: "core/node/router.ts",
    original: '  return refusal("unsure", `${why}; the write may or may not have been done`);',
    mutated: '  return refusal("no-leader", `${why}; try again`);',
    first: "tests",
  },
];
