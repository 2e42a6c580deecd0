import assert from "node:assert/strict";
import { type Epoch, type LogIndex, type NodeId, nodeId, type Term } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS, LIMITS } from "../../../core/base/limits.ts";
import { encodeSystemCommand, type SystemCommand } from "../../../core/system/command.ts";
import { findMember, nextView, System } from "../../../core/system/system.ts";
import type { Entry, Member, SystemView } from "../../../core/wire/messages.ts";
import type { Response } from "../../../core/wire/requests.ts";
import { MemoryTables } from "../../../sim/tables.ts";

const member = (name: string, state: Member["state"] = "active"): Member => ({
  id: nodeId(name),
  address: `${name}:7070`,
  zone: "Ori",
  capacity: 1,
  state,
  disk: name,
});
const [a, b, c] = ["Alnilam", "Betelgeuse", "Capella"].map(nodeId) as [NodeId, NodeId, NodeId];
const settings = { ...DEFAULT_SETTINGS, partitions: 2 };
const genesis: SystemView = {
  version: 0,
  network: "0".repeat(32),
  settings,
  epoch: 1 as Epoch,
  members: [member(a), member(b)],
  assignment: [[a, b], [a, b], [b, a]],
  security: null,
};

function after(view: SystemView, ...commands: SystemCommand[]): SystemView {
  return commands.reduce((v, command) => {
    const next = nextView(v, command, (v.version + 1) as LogIndex);
    assert.ok(!("reason" in next), JSON.stringify(next));
    return next;
  }, view);
}
function refusal(view: SystemView, command: SystemCommand): string {
  const next = nextView(view, command, (view.version + 1) as LogIndex);
  assert.ok("reason" in next, "The command is refused");
  return `${next.reason}: ${next.message}`;
}
const log = (...commands: SystemCommand[]): Entry[] =>
  commands.map((command, i) => ({
    term: 1 as Term,
    index: (i + 1) as LogIndex,
    kind: "command",
    data: encodeSystemCommand(command),
  }));

Deno.test("nextView() takes a newcomer in as joining, sorted by id (S1, S3)", () => {
  const view = after(genesis, { kind: "join", member: { ...member(c), state: "active" } });
  assert.equal(view.version, 1);
  assert.deepEqual(view.members.map((m) => [m.id, m.state]), [[a, "active"], [b, "active"], [c, "joining"]]);
  assert.equal(view.epoch, genesis.epoch);
});

Deno.test("nextView() lets a member that is gone come back as joining and keeps the state of one that is not", () => {
  const gone = after(genesis, { kind: "set-state", node: b, state: "gone" });
  assert.equal(findMember(after(gone, { kind: "join", member: member(b) }), b)?.state, "joining");
  const moved = after(genesis, { kind: "join", member: { ...member(b), address: "elsewhere:1" } });
  assert.deepEqual([findMember(moved, b)?.state, findMember(moved, b)?.address], ["active", "elsewhere:1"]);
});

Deno.test("nextView() keeps the last active member (S3)", () => {
  const one = after(genesis, { kind: "set-state", node: b, state: "draining" });
  assert.match(
    refusal(one, { kind: "set-state", node: a, state: "draining" }),
    /^conflict: .*"Alnilam" is the last active/,
  );
  assert.match(refusal(one, { kind: "set-state", node: a, state: "gone" }), /^conflict/);
});

Deno.test("nextView() brings nobody back from gone without joining, and names who is unknown", () => {
  const gone = after(genesis, { kind: "set-state", node: b, state: "gone" });
  assert.match(refusal(gone, { kind: "set-state", node: b, state: "active" }), /comes back by joining/);
  assert.match(refusal(genesis, { kind: "set-state", node: c, state: "gone" }), /^not-found: .*"Capella"/);
});

Deno.test("nextView() obeys a layout only when it was computed from this very view (S2)", () => {
  const joined = after(genesis, { kind: "join", member: member(c) });
  const assignment = [[a, b, c], [a, b, c], [b, a, c]];
  const layout = (base: number): SystemCommand => ({
    kind: "layout",
    base,
    states: [[c, "active"]],
    assignment,
  });
  assert.match(refusal(joined, layout(0)), /computed from version 0, and 1 is current/);
  const next = after(joined, layout(1));
  assert.equal(next.epoch, genesis.epoch + 1);
  assert.equal(findMember(next, c)?.state, "active");
  assert.deepEqual(next.assignment, assignment);
  assert.match(
    refusal(next, { kind: "layout", base: next.version, states: [], assignment: [[a]] }),
    /names 3 partitions, not 1/,
  );
});

Deno.test("nextView() refuses a member past LIMITS.membersMax", () => {
  const members = Array.from(
    { length: LIMITS.membersMax },
    (_, i) => member(`n${String(i).padStart(6, "0")}`),
  );
  const full = { ...genesis, members };
  assert.match(
    refusal(full, { kind: "join", member: member("zeta") }),
    new RegExp(`${LIMITS.membersMax} is the most`),
  );
});

Deno.test("nextView() forgets the oldest of very many gone members and nobody else", () => {
  const members = Array.from(
    { length: LIMITS.goneMembersKept + 144 },
    (_, i) => member(`n${String(i).padStart(4, "0")}`, i < LIMITS.goneMembersKept + 44 ? "gone" : "active"),
  );
  const named = members[3]!.id;
  const view = { ...genesis, members, assignment: [[a, named], [a, b], [b, a]] };
  const next = after(view, { kind: "layout", base: 0, states: [], assignment: genesis.assignment });
  assert.equal(next.members.filter((m) => m.state === "gone").length, LIMITS.goneMembersKept);
  assert.equal(next.members.filter((m) => m.state === "active").length, 100);
  assert.notEqual(findMember(next, named), null, "A layout named it until now");
  assert.equal(findMember(next, members[4]!.id), null);
});

Deno.test("System.apply() gives every replica the same view, digest and answers", () => {
  const commands: SystemCommand[] = [
    { kind: "join", member: member(c) },
    { kind: "set-state", node: c, state: "gone" },
    { kind: "set-address", node: a, address: "moved:1" },
  ];
  const apply = (batches: Entry[][]) => {
    const system = new System({ tables: new MemoryTables(), initial: genesis });
    const answers: Response["kind"][] = [];
    for (const batch of batches) system.apply(batch, 0, (_, r) => answers.push(r.kind));
    return { view: system.view, digest: system.stateDigest(), answers };
  };
  const entries = log(...commands);
  const together = apply([entries]);
  assert.deepEqual(together, apply(entries.map((e) => [e])));
  assert.deepEqual(together.answers, ["joined", "done", "done"]);
  assert.notEqual(together.digest, 0);
});

Deno.test("System starts from the journal's view where its tables are older and passes over what is in it (S4)", () => {
  const entries = log({ kind: "join", member: member(c) }, { kind: "set-state", node: c, state: "gone" });
  const ahead = after(genesis, { kind: "join", member: member(c) }, {
    kind: "set-state",
    node: c,
    state: "gone",
  });
  const system = new System({ tables: new MemoryTables(), initial: ahead });
  assert.equal(system.stateDigest(), 0);
  system.apply(entries, 0, () => {});
  assert.deepEqual(system.view, ahead);
  assert.notEqual(system.stateDigest(), 0);
});

Deno.test("System keeps its view and position in the tables and hands them on as a snapshot", () => {
  const tables = new MemoryTables();
  const system = new System({ tables, initial: genesis });
  system.apply(log({ kind: "join", member: member(c) }), 0, () => {});
  const again = new System({ tables, initial: null });
  assert.deepEqual([again.view, again.appliedIndex, again.stateDigest()], [
    system.view,
    1,
    system.stateDigest(),
  ]);
  const source = system.snapshot();
  const other = new System({ tables: new MemoryTables(), initial: genesis });
  other.beginInstall();
  for (let rows = source.next(1000); rows.length > 0; rows = source.next(1000)) other.installRows(rows);
  other.finishInstall(source.index, source.term);
  assert.deepEqual([other.view, other.appliedIndex, other.stateDigest()], [
    system.view,
    1,
    system.stateDigest(),
  ]);
});
