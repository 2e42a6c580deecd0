/** Who may join under which name, by what a member's view says. */
import assert from "node:assert/strict";
import { type Epoch, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { checkName, JoinError } from "../../../cli/host/join.ts";
import type { Member, SystemView } from "../../../core/wire/messages.ts";

const DISK = "0".repeat(16), OTHER = "1".repeat(16);

const member = (change: Partial<Member>): Member => ({
  id: nodeId("b"),
  address: "b:1",
  zone: "",
  capacity: 1,
  state: "active",
  disk: DISK,
  ...change,
});
const viewWith = (...members: Member[]): SystemView => ({
  version: 9,
  network: "0".repeat(32),
  settings: DEFAULT_SETTINGS,
  epoch: 1 as Epoch,
  members,
  assignment: [],
  security: null,
});

/** What a node on DISK that calls itself b is told; null: it may join. */
function told(...members: Member[]): JoinError["reason"] | null {
  try {
    checkName(member({ state: "joining" }), viewWith(...members));
    return null;
  } catch (error) {
    if (error instanceof JoinError) return error.reason;
    throw error;
  }
}

Deno.test("checkName() leaves a name to the data directory that has it or had it, named or not", () => {
  assert.equal(told(), null);
  for (const disk of [OTHER, ""]) {
    for (const state of ["joining", "active", "draining", "gone", "removed"] as const) {
      assert.equal(told(member({ state, disk })), "name-taken", `${state} on "${disk}"`);
    }
  }
});

Deno.test("checkName() lets a node back in on its own data directory, but not one that was removed on purpose", () => {
  for (const state of ["joining", "active", "gone"] as const) assert.equal(told(member({ state })), null);
  assert.equal(told(member({ state: "removed" })), "refused");
});
