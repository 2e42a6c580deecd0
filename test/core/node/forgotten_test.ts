/** A node that the newest view does not name any more. */
import assert from "node:assert/strict";
import { type Instant, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import { Node } from "../../../core/node/node.ts";
import type { Member, MemberState } from "../../../core/wire/messages.ts";
import type { SystemOp } from "../../../core/wire/requests.ts";
import { MemoryTables } from "../../../sim/tables.ts";
import { member } from "./network.ts";

/** What Deneb, last known to be in `state`, asks the network for once a view does not name it. */
function asks(state: MemberState): unknown[] {
  const deneb = member("Deneb");
  const others = [member("Alnilam"), member("Bellatrix")];
  const settings = { ...DEFAULT_SETTINGS, partitions: 1 };
  const before = genesisView({ network: "0".repeat(32), settings, members: others });
  const members: Member[] = [...before.members, { ...deneb, state }];
  const node = new Node({
    id: nodeId("Deneb"),
    address: "moved:1",
    origin: { kind: "joined", view: { ...before, version: 3, members } },
    random: Random.fromSeed(1),
    tables: new MemoryTables(),
  });
  node.step({ kind: "start" }, 0 as Instant);
  const from = nodeId("Alnilam");
  const view = { ...before, version: 9 };
  const { sendNow, sendAfterPersist } = node.step(
    { kind: "messages", from, messages: [{ kind: "layout-is", view }] },
    1000 as Instant,
  );
  const ops: SystemOp[] = [];
  for (const { message } of [...sendNow, ...sendAfterPersist]) {
    if (message.kind === "forward") ops.push(message.request.op as SystemOp);
  }
  return ops;
}

Deno.test("Node that was forgotten asks to join by its last record, at its address of now", () => {
  for (const state of ["joining", "active", "gone"] as const) {
    assert.deepEqual(asks(state), [{
      kind: "join",
      network: "0".repeat(32),
      member: { ...member("Deneb"), state, address: "moved:1" },
    }]);
  }
});

Deno.test("Node that was forgotten after it was to leave stays out", () => {
  for (const state of ["draining", "removed"] as const) assert.deepEqual(asks(state), []);
});
