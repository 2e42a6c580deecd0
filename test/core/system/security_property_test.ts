import assert from "node:assert/strict";
import fc from "fast-check";
import { type LogIndex, nodeId } from "../../../core/base/ids.ts";
import { type SystemCommand } from "../../../core/system/command.ts";
import { isOperator } from "../../../core/system/security.ts";
import { findMember, nextView } from "../../../core/system/system.ts";
import { isFormer } from "../../../core/wire/members.ts";
import { type Member, type SystemView } from "../../../core/wire/messages.ts";
import { type Principal, type Right } from "../../../core/wire/security.ts";
import { decodeView, encodeView } from "../../../core/wire/shared_codec.ts";
import { access, right, sha256 } from "../../support/credentials.ts";
import {
  add,
  by,
  evict,
  genesis,
  ID,
  identity,
  invite,
  join,
  made,
  member,
  proofOf,
  rotate,
  status,
  vouching,
} from "./private_view.ts";

const NAMES = ["Alnilam", "Betelgeuse", "Capella", "Deneb", "Electra"];
const INVITES = [ID, "f".repeat(16)];
const arbNode = fc.constantFrom(...NAMES).map(nodeId);
const arbBy: fc.Arbitrary<Principal | undefined> = fc.oneof(
  fc.constant(undefined),
  arbNode.map(vouching),
  fc.constantFrom(...INVITES).chain((id) => fc.constantFrom(by(id), by(id, sha256("00")))),
);
const arbGeneration = fc.integer({ min: 0, max: 6 });
const arbRights = fc.constantFrom<Right[]>([right("", "rwa")], [right("a/", "rw")], [
  right("a/", "a"),
  right("b", "r"),
], []);
const arbCommand: fc.Arbitrary<SystemCommand> = fc.oneof(
  { weight: 2, arbitrary: arbNode.map(evict) },
  { weight: 4, arbitrary: fc.constant(rotate) },
  { weight: 6, arbitrary: arbGeneration.map(made) },
  {
    weight: 12,
    arbitrary: fc.tuple(arbNode, arbGeneration, arbGeneration).map(([n, h, u]) => status(n, h, u)),
  },
  { weight: 4, arbitrary: arbGeneration.map((id): SystemCommand => ({ kind: "key-use", id })) },
  { weight: 3, arbitrary: arbGeneration.map((id): SystemCommand => ({ kind: "key-forget", id })) },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom(...INVITES), fc.integer({ min: 0, max: 2 })).map(([id, uses]) =>
      add(invite(id, { uses }))
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...INVITES).map((id): SystemCommand => ({ kind: "invite-drop", id })),
  },
  {
    weight: 8,
    arbitrary: fc.tuple(arbNode, fc.constantFrom(...NAMES), arbBy).map(([n, k, who]) =>
      join(member(n, { identity: identity(k) }), who)
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom("K1", "K2", "OPERATOR"), arbRights).map((
      [id, rights],
    ): SystemCommand => ({ kind: "access-set", access: access(id, ...rights) })),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom("K1", "K2", "OPERATOR").map((id): SystemCommand => ({
      kind: "access-drop",
      id,
    })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(
      arbNode,
      fc.constantFrom<Member["state"]>("active", "draining", "gone", "removed", "evicted", "joining"),
    ).map(([node, state]): SystemCommand => ({ kind: "set-state", node, state })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(arbNode, fc.constantFrom<Member["state"]>("active", "gone", "evicted")).map((
      [node, state],
    ): SystemCommand => ({
      kind: "layout",
      base: -1,
      states: [[node, state]],
      assignment: genesis.assignment,
    })),
  },
);

/** All that a host and the steward do for a rotation, as far as it is allowed. */
function progress({ security, members }: SystemView): SystemCommand[] {
  const [oldest, newest] = [security!.keys[0]!.id, security!.keys.at(-1)!.id];
  const told = members.map(({ id }) => status(id, newest));
  return [made(newest), ...told, { kind: "key-use", id: newest }, { kind: "key-forget", id: oldest }];
}

function* unrolled(
  asked: readonly (SystemCommand | null)[],
  view: () => SystemView,
): Generator<SystemCommand> {
  for (const one of asked) {
    if (one === null) yield* progress(view());
    else yield one;
  }
}

/** What was ever so, kept beside the state machine. */
class Chronicle {
  readonly evictedKeys = new Set<string>();
  readonly generations = new Map<number, string>();
  /** Newcomers that came in by each invite, and how many were allowed over its whole life. */
  readonly admitted = new Map<string, number>();
  readonly allowed = new Map<string, number>();

  step(before: SystemView, command: SystemCommand, after: SystemView): void {
    const { keys: list, access: holders, invites } = after.security!;
    for (const items of [list, holders, invites, after.members]) {
      const ids = items.map(({ id }) => id as string | number);
      assert.ok(ids.every((id, i) => i === 0 || ids[i - 1]! < id), `Sorted: ${ids}`);
    }
    this.#generations(after);
    this.#members(before, after);
    this.#invites(before, command, after);
    assert.ok(holders.some(isOperator), "G5");
    assert.deepEqual(decodeView(encodeView(after)), after);
  }

  #generations({ security }: SystemView): void {
    const list = security!.keys, states = list.map(({ state }) => state);
    assert.equal(states.filter((s) => s === "current").length, 1, "G1");
    const current = states.indexOf("current");
    assert.ok(
      states.slice(0, current).every((s) => s === "former") && states.length - current <= 2,
      `G1: ${states}`,
    );
    for (const { id, authority } of list) {
      const hex = authority.toHex(), known = this.generations.get(id);
      assert.ok(known === undefined || known === "" || known === hex, "A generation is made once");
      this.generations.set(id, hex);
    }
  }

  #members(before: SystemView, after: SystemView): void {
    for (const m of before.members) {
      if (m.state === "evicted") this.evictedKeys.add(m.identity!.key);
      assert.equal(findMember(after, m.id)?.identity?.key, m.identity!.key, "A name keeps its key");
    }
    for (const m of after.members) {
      if (this.evictedKeys.has(m.identity!.key)) assert.equal(m.state, "evicted", "G3");
    }
    assert.ok(after.members.some((m) => m.state === "active"));
    const was = before.security!.keys.find((k) => k.state === "current")!.id;
    const is = after.security!.keys.find((k) => k.state === "current")!.id;
    if (was !== is) {
      for (const m of before.members) assert.ok(isFormer(m.state) || m.identity!.holds >= is, "G2");
    }
  }

  #invites(before: SystemView, command: SystemCommand, after: SystemView): void {
    for (const { id, uses } of after.security!.invites) {
      assert.ok(uses >= 0, "G4");
      const known = before.security!.invites.find((i) => i.id === id);
      if (known === undefined) this.allowed.set(id, (this.allowed.get(id) ?? 0) + uses);
      else assert.ok(uses <= known.uses, "G4");
    }
    if (command.kind !== "join" || command.by?.kind !== "invite" || after === before) return;
    if (findMember(before, command.member.id) !== null) return;
    const { id } = command.by;
    assert.equal(command.by.proof, proofOf(id), "G4");
    this.admitted.set(id, (this.admitted.get(id) ?? 0) + 1);
    assert.ok(this.admitted.get(id)! <= (this.allowed.get(id) ?? 0), "G4");
  }
}

Deno.test("Whatever is asked in whatever order, G1 to G6 hold, and what is refused changes nothing", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 9, arbitrary: arbCommand }, fc.constant(null)), {
        maxLength: 60,
        size: "max",
      }),
      (asked) => {
        const chronicle = new Chronicle();
        let view = genesis, index = 0;
        for (const command of unrolled(asked, () => view)) {
          const based = command.kind === "layout" ? { ...command, base: view.version } : command;
          const next = nextView(view, based, ++index as LogIndex);
          if ("reason" in next) {
            assert.ok(next.message.length > 0);
            continue;
          }
          seen.add(command.kind);
          if (next !== view) assert.equal(next.version, index);
          chronicle.step(view, command, next);
          view = next;
        }
      },
    ),
    { numRuns: 300 },
  );
  assert.deepEqual([...seen].sort(), [
    "access-drop",
    "access-set",
    "evict",
    "invite-add",
    "invite-drop",
    "join",
    "key-forget",
    "key-made",
    "key-status",
    "key-use",
    "keys-rotate",
    "layout",
    "set-state",
  ]);
});
