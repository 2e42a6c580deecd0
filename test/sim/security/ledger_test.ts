/** The checker's model of the system partition against the state machine: two readings of the same rules. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type LogIndex, type NodeId, nodeId, SYSTEM_PARTITION, type Term } from "../../../core/base/ids.ts";
import { encodeSystemCommand, type SystemCommand } from "../../../core/system/command.ts";
import { nextView } from "../../../core/system/system.ts";
import { Effects } from "../../../core/wire/kernel.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { Principal } from "../../../core/wire/security.ts";
import { Ledger } from "../../../sim/security/ledger.ts";
import { sha256Hex } from "../../../sim/security/keyring.ts";
import { access, OPERATOR, right } from "../../support/credentials.ts";
import { genesis, identity, member } from "../../core/system/private_view.ts";

const TERM = 1 as Term;
const NAMES = [...genesis.members.map(({ id }) => id), nodeId("Deneb"), nodeId("Electra")];
const INVITES = ["0123456789abcdef", "fedcba9876543210"];
const proofOf = (id: string) => sha256Hex(id);

const node: fc.Arbitrary<NodeId> = fc.constantFrom(...NAMES);
const small = fc.integer({ min: 0, max: 4 });
const principal: fc.Arbitrary<Principal> = fc.oneof(
  node.map((name) => ({ kind: "member" as const, node: name })),
  fc.tuple(fc.constantFrom(...INVITES), fc.constantFrom(...INVITES), fc.constantFrom(500, 5000)).map((
    [id, from, nowMs],
  ) => ({ kind: "invite" as const, id, proof: proofOf(from), nowMs })),
);
const state = fc.constantFrom("joining", "active", "draining", "gone", "removed", "evicted" as const);
const command: fc.Arbitrary<SystemCommand> = fc.oneof(
  fc.tuple(node, node, principal).map(([id, key, by]): SystemCommand => ({
    kind: "join",
    member: member(id, { identity: identity(key), state: "joining" }),
    by,
  })),
  fc.tuple(node, state).map(([name, to]): SystemCommand => ({ kind: "set-state", node: name, state: to })),
  node.map((name): SystemCommand => ({ kind: "evict", node: name, force: true })),
  fc.tuple(fc.constantFrom(...INVITES), small, fc.constantFrom(1000, 9000)).map((
    [id, uses, expiresMs],
  ): SystemCommand => ({
    kind: "invite-add",
    invite: { id, uses, expiresMs, zone: null, hash: sha256Hex(proofOf(id)) },
    nowMs: 2000,
  })),
  fc.constantFrom(...INVITES).map((id): SystemCommand => ({ kind: "invite-drop", id })),
  fc.constant<SystemCommand>({ kind: "access-set", access: access("LIMITED", right("a/", "rw")) }),
  fc.constantFrom("LIMITED", "NOBODY").map((id): SystemCommand => ({ kind: "access-drop", id })),
  fc.constant<SystemCommand>({ kind: "keys-rotate" }),
  small.map((id): SystemCommand => ({ kind: "key-made", id: id + 1, authority: Uint8Array.of(id) })),
  fc.tuple(node, small, small).map(([name, holds, uses]): SystemCommand => ({
    kind: "key-status",
    node: name,
    holds,
    uses,
    statement: new Uint8Array(0),
  })),
  small.map((id): SystemCommand => ({ kind: "key-use", id })),
  small.map((id): SystemCommand => ({ kind: "key-forget", id })),
);

function ledgerOf(found: string[]): Ledger {
  return new Ledger(genesis, (_check, detail) => found.push(detail));
}

function commit(ledger: Ledger, each: SystemCommand, index: number): void {
  const effects = new Effects(), data = encodeSystemCommand(each);
  const entry = { term: TERM, index: index as LogIndex, kind: "command" as const, data };
  effects.record({ kind: "entries", partition: SYSTEM_PARTITION, entries: [entry] });
  ledger.wrote(effects);
  ledger.committed(index, TERM);
}

Deno.test("Ledger makes of any commands what the state machine makes of them", () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      const found: string[] = [], ledger = ledgerOf(found);
      let view: SystemView = genesis;
      for (const [i, each] of commands.entries()) {
        commit(ledger, each, i + 1);
        const next = nextView(view, each, (i + 1) as LogIndex);
        if (!("reason" in next)) view = next;
        ledger.compare(NAMES[0]!, view);
        assert.deepEqual(found, [], `${i}: ${each.kind}`);
      }
    }),
    { numRuns: 1000 },
  );
});

Deno.test("Ledger knows since when somebody is out, what it must not know, and what rights were when", () => {
  const found: string[] = [], ledger = ledgerOf(found), [first, second] = NAMES as [NodeId, NodeId];
  commit(ledger, { kind: "access-set", access: access("LIMITED", right("a/", "r")) }, 1);
  commit(ledger, { kind: "keys-rotate" }, 2);
  commit(ledger, { kind: "evict", node: first, force: true }, 3);
  commit(ledger, { kind: "access-drop", id: "LIMITED" }, 4);
  assert.equal(ledger.evictedAt(identity(first).key), 3);
  assert.equal(ledger.evictedAt(identity(second).key), undefined);
  assert.deepEqual([1, 2, 3].map((id) => ledger.wantedAt(id)), [0, 2, 3]);
  assert.ok(ledger.rotating);
  assert.deepEqual([0, 1, 3, 4].map((version) => ledger.rightsOf("LIMITED", version)?.length ?? 0), [
    0,
    1,
    1,
    0,
  ]);
  assert.equal(ledger.rightsOf(OPERATOR.id, 4)?.[0]?.admin, true);
});

Deno.test("Ledger finds a view that nothing committed makes, and one of a version that never was", () => {
  const found: string[] = [], ledger = ledgerOf(found);
  const [one, ...rest] = genesis.members;
  ledger.compare(NAMES[0]!, { ...genesis, members: [{ ...one!, state: "evicted" }, ...rest] });
  ledger.compare(NAMES[0]!, { ...genesis, version: 7 });
  assert.equal(found.length, 2);
  assert.match(found[1]!, /nothing that was committed makes one of this version/);
});
