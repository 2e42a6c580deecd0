/** What a node does for the network's keys, by itself: the node around it is played here. */
import assert from "node:assert/strict";
import { type Epoch, type Instant, type NodeId, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { KeyKeeper } from "../../../core/node/keys.ts";
import { Effects } from "../../../core/wire/kernel.ts";
import type { Member, MemberState, SystemView } from "../../../core/wire/messages.ts";

const SELF = nodeId("Alnilam"), OTHER = nodeId("Bellatrix");

function member(id: NodeId, state: MemberState, holds: number): Member {
  const identity = { key: "0".repeat(64), holds, uses: holds, statement: new Uint8Array(0) };
  return { id, state, identity, address: id, zone: "", capacity: 1, disk: "" };
}

function view(state: MemberState): SystemView {
  const authority = Uint8Array.of(1);
  return {
    version: 1,
    network: "0".repeat(32),
    settings: DEFAULT_SETTINGS,
    epoch: 1 as Epoch,
    members: [member(SELF, state, 1), member(OTHER, "active", 2)],
    assignment: [],
    security: {
      keys: [{ id: 1, state: "former", authority }, { id: 2, state: "current", authority }],
      access: [],
      invites: [],
    },
  };
}

Deno.test("Y4: a node that asked for a generation, was declared gone and is back asks again (seed 82 of swarm)", () => {
  const effects = new Effects();
  let state: MemberState = "active";
  const keeper = new KeyKeeper({
    self: SELF,
    effects,
    view: () => view(state),
    reachable: () => true,
    leads: () => false,
    ask: () => {},
  });
  const evaluated = (at: number) => {
    effects.clear();
    keeper.evaluate(at as Instant);
    return effects.sendNow.map(({ to, message }) => [to, message.kind]);
  };
  keeper.held({ holds: 1, uses: 1, statement: new Uint8Array(0) });
  assert.deepEqual(evaluated(1_000_000), [[OTHER, "key-get"]]);
  state = "gone";
  keeper.changed();
  assert.deepEqual(evaluated(1_100_000), []);
  state = "active";
  keeper.changed();
  assert.deepEqual(evaluated(1_200_000), [[OTHER, "key-get"]]);
});
