import assert from "node:assert/strict";
import { type LogIndex, nodeId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { type SystemCommand } from "../../../core/system/command.ts";
import { isOrphaned } from "../../../core/system/security.ts";
import { findMember, nextView } from "../../../core/system/system.ts";
import { isFormer } from "../../../core/wire/members.ts";
import { type SystemView } from "../../../core/wire/messages.ts";
import { type AccessKey } from "../../../core/wire/security.ts";
import { decodeView, encodeView } from "../../../core/wire/shared_codec.ts";
import { access, keyOf, OPERATOR, right, sha256 } from "../../support/credentials.ts";
import {
  a,
  add,
  after,
  apply,
  b,
  by,
  c,
  d,
  evict,
  genesis,
  ID,
  identity,
  invite,
  join,
  keys,
  made,
  member,
  NONE,
  open,
  proofOf,
  refused,
  rotate,
  status,
  vouching,
} from "./private_view.ts";

Deno.test("Rotation: a generation is wanted, made, current when all hold it, and the one before forgotten (G1, G2)", () => {
  let view = after(genesis, rotate);
  assert.equal(keys(view), "1 current, 2 wanted");
  assert.match(refused(view, rotate), /^conflict: Generation 2 of the keys is being introduced/);
  assert.match(
    refused(view, { kind: "key-use", id: 2 }),
    /^conflict: Generation 2 of the keys is not held by all/,
  );
  view = after(view, made(2));
  assert.equal(keys(view), "1 current, 2 made");
  assert.match(refused(view, made(2)), /^conflict: Generation 2 of the keys is not wanted/);
  view = after(view, status(a, 2, 1), status(b, 2, 1));
  assert.match(refused(view, { kind: "key-use", id: 2 }), /not held by all/);
  view = after(view, status(c, 2, 1), { kind: "key-use", id: 2 });
  assert.equal(keys(view), "1 former, 2 current");
  view = after(view, status(a, 2), status(b, 2));
  assert.match(refused(view, { kind: "key-forget", id: 1 }), /^conflict: Generation 1 of the keys is in use/);
  view = after(view, status(c, 2), { kind: "key-forget", id: 1 });
  assert.equal(keys(view), "2 current");
  assert.match(refused(view, { kind: "key-forget", id: 2 }), /in use/);
});

Deno.test("Rotation waits for who joins, not for who is former; forgetting waits for who may come back (G2)", () => {
  const gone: SystemCommand = { kind: "set-state", node: c, state: "gone" };
  let view = after(genesis, gone, rotate, made(2), status(a, 2), status(b, 2));
  const joined = after(view, join(member(d), vouching(a)));
  assert.match(refused(joined, { kind: "key-use", id: 2 }), /not held by all/);
  view = after(joined, status(d, 2), { kind: "key-use", id: 2 });
  assert.match(refused(view, { kind: "key-forget", id: 1 }), /in use/);
  const removed = after(view, { kind: "set-state", node: c, state: "removed" }, {
    kind: "key-forget",
    id: 1,
  });
  assert.equal(keys(removed), "2 current");
  const back = after(view, join(member(c), vouching(c)), status(c, 2), { kind: "key-forget", id: 1 });
  assert.equal(keys(back), "2 current");
});

Deno.test("A made generation that no member has gives way to another (G6)", () => {
  let view = after(genesis, rotate, made(2));
  assert.ok(isOrphaned(view));
  assert.equal(keys(after(view, rotate)), "1 current, 3 wanted");
  view = after(view, status(a, 2, 1));
  assert.ok(!isOrphaned(view));
  assert.match(refused(view, rotate), /being introduced/);
  view = after(view, { kind: "set-state", node: a, state: "gone" });
  assert.equal(keys(after(view, rotate)), "1 current, 3 wanted");
});

Deno.test("keyMade() and keyStatus() refuse what cannot be", () => {
  const view = after(genesis, rotate);
  assert.match(refused(view, made(3)), /Generation 3 of the keys is not wanted/);
  assert.match(
    refused(view, { kind: "key-made", id: 2, authority: NONE }),
    /^invalid: An authority has 1 to 1024 bytes/,
  );
  assert.match(refused(view, status(a, 3)), /^invalid: A member cannot hold generation 3/);
  assert.match(refused(view, status(a, 1, 2)), /^invalid/);
  assert.match(refused(view, status(d, 1)), /^not-found: No member is named "Deneb"/);
  assert.equal(apply(view, status(a, 1)), view);
});

Deno.test("There are at most LIMITS.networkKeysMax generations: rotation waits, eviction does not (G1)", () => {
  let view = genesis;
  for (let id = 2; id <= LIMITS.networkKeysMax; id++) {
    view = after(view, rotate, made(id), status(a, id, 1), status(b, id, 1), status(c, id, 1), {
      kind: "key-use",
      id,
    });
  }
  assert.equal(view.security!.keys.length, LIMITS.networkKeysMax);
  assert.match(refused(view, rotate), /^conflict: 16 generations of keys are in use.*let go of generation 1/);
  const evicted = after(view, evict(c));
  assert.equal(evicted.security!.keys.length, LIMITS.networkKeysMax);
  assert.deepEqual(
    evicted.security!.keys.slice(-2).map(({ id, state }) => [id, state]),
    [[16, "current"], [17, "wanted"]],
  );
  assert.deepEqual(decodeView(encodeView(evicted)), evicted);
});

Deno.test("Who is evicted stays so, whatever it has: its name, its key under another, an invite, a voucher (G3)", () => {
  const view = after(genesis, add(invite(ID)), evict(c));
  assert.equal(findMember(view, c)?.state, "evicted");
  assert.deepEqual(view.security!.invites, []);
  assert.equal(keys(view), "1 current, 2 wanted");
  assert.equal(apply(view, evict(c)), view);
  for (const who of [undefined, by(ID), vouching(c), vouching(a)]) {
    assert.match(refused(view, join(member(c), who)), /^denied: Node "Capella" was evicted/);
    assert.match(
      refused(view, join(member(d, { identity: identity(c) }), who)),
      /^denied: The key of node "Deneb" was evicted/,
    );
  }
  assert.match(
    refused(view, join(member(d), vouching(c))),
    /^denied: Node "Capella" belongs to the network no more/,
  );
  for (const state of ["joining", "active", "draining", "gone", "removed", "evicted"] as const) {
    assert.match(refused(view, { kind: "set-state", node: c, state }), /^(denied|invalid)/);
    const layout: SystemCommand = {
      kind: "layout",
      base: view.version,
      states: [[c, state]],
      assignment: view.assignment,
    };
    if (state !== "evicted") assert.match(refused(view, layout), /^invalid: A layout neither evicts/);
  }
  assert.match(refused(view, status(c, 1)), /^denied/);
  assert.match(refused(genesis, { kind: "set-state", node: c, state: "evicted" }), /space-opera evict/);
  const layout: SystemCommand = {
    kind: "layout",
    base: 0,
    states: [[c, "evicted"]],
    assignment: genesis.assignment,
  };
  assert.match(refused(genesis, layout), /^invalid: A layout neither evicts/);
});

Deno.test("Eviction takes every member with the same key: a node that was rebuilt has it still (G3)", () => {
  const rebuilt = after(
    genesis,
    { kind: "set-state", node: c, state: "gone" },
    join(member(d, { identity: identity(c) }), vouching(c)),
  );
  for (const node of [c, d]) {
    const view = after(rebuilt, evict(node));
    assert.deepEqual(view.members.map((m) => m.state), ["active", "active", "evicted", "evicted"]);
  }
});

Deno.test("Eviction while a generation is under way replaces it, for the evicted may have it (G3)", () => {
  const wanted = after(genesis, rotate);
  assert.equal(keys(after(wanted, evict(c))), "1 current, 3 wanted");
  const spread = after(wanted, made(2), status(a, 2, 1), status(c, 2, 1));
  const view = after(spread, evict(c));
  assert.equal(keys(view), "1 current, 3 wanted");
  assert.match(refused(view, { kind: "key-use", id: 2 }), /not held/);
  assert.match(refused(view, made(2)), /not wanted/);
  // Reports of the generation that is gone come late: they count for nothing.
  const late = after(view, status(b, 2, 1), made(3));
  assert.match(refused(late, { kind: "key-use", id: 3 }), /not held/);
});

Deno.test("Eviction keeps an active member, and is refused of nobody and in an open network", () => {
  const alone = { ...genesis, members: [member(a), member(b, { state: "draining" })] };
  assert.match(refused(alone, evict(a)), /^conflict: Node "Alnilam" is the last active member/);
  const twice = { ...genesis, members: [member(a), member(b, { identity: identity(a) })] };
  assert.match(refused(twice, evict(b)), /^conflict: .*last active/);
  assert.match(refused(genesis, evict(d)), /^not-found/);
  assert.match(refused(open, evict(c)), /^conflict: The network is open/);
});

Deno.test("An open network refuses everything about keys, and admits without a key", () => {
  const commands: SystemCommand[] = [
    evict(c),
    rotate,
    made(1),
    status(a, 0),
    add(invite(ID)),
    { kind: "invite-drop", id: ID },
    { kind: "access-set", access: OPERATOR },
    { kind: "access-drop", id: "OPERATOR" },
    { kind: "key-use", id: 1 },
    { kind: "key-forget", id: 1 },
  ];
  for (const command of commands) assert.match(refused(open, command), /^conflict/, command.kind);
  const joined = after(open, join(member(d)));
  assert.equal(findMember(joined, d)?.identity, undefined);
});

Deno.test("An invite lets in as many as it says, gives the zone, and says why it does not (G4)", () => {
  const invited = after(genesis, add(invite(ID, { uses: 2, zone: "Cyg" })));
  assert.match(refused(invited, join(member(d))), /^denied: Node "Deneb" needs an invite/);
  assert.match(refused(invited, join(member(d), { kind: "access", id: "OPERATOR" })), /needs an invite/);
  assert.match(
    refused(invited, join(member(d), by(ID, sha256("00")))),
    /^denied: The secret of invite "0123456789abcdef" is wrong/,
  );
  assert.match(
    refused(invited, join(member(d), by("f".repeat(16)))),
    /^denied: No invite is named "ffffffffffffffff"/,
  );
  // Who knows no more than what the view says cannot use it.
  assert.match(refused(invited, join(member(d), by(ID, invite(ID).hash))), /is wrong/);
  const { identity: _, ...keyless } = member(d);
  assert.match(refused(invited, join(keyless, by(ID))), /^denied: Node "Deneb" shows no key/);
  let view = after(invited, join(member(d, { identity: identity(d, { holds: 9, uses: 9 }) }), by(ID)));
  assert.equal(view.security!.invites[0]!.uses, 1);
  assert.equal(findMember(view, d)?.zone, "Cyg");
  // What it holds it reports itself, when it has it.
  assert.deepEqual(findMember(view, d)?.identity, identity(d, { holds: 0, uses: 0 }));
  // The answer was lost: it asks again, with whatever it has left.
  view = after(view, join(member(d), by(ID)));
  assert.equal(view.security!.invites[0]!.uses, 1);
  assert.equal(findMember(view, d)?.zone, "Cyg");
  view = after(view, join(member("Electra"), by(ID)));
  assert.equal(view.security!.invites[0]!.uses, 0);
  assert.match(
    refused(view, join(member("Fomalhaut"), by(ID))),
    /^denied: Invite "0123456789abcdef" is used up/,
  );
  assert.match(refused(view, join(member("Fomalhaut"), by(ID, sha256("00")))), /is wrong/);
  assert.equal(apply(view, add(invite(ID, { uses: 2, zone: "Cyg" }))), view);
  assert.match(
    refused(view, join(member(d, { identity: identity("thief") }), by(ID))),
    /^denied: Node "Deneb" is known with another key/,
  );
});

Deno.test("An invite that is over lets in nobody, though who took it did not know of it yet (seed 53 of private)", () => {
  const invited = after(genesis, add(invite(ID, { expiresMs: 10_000 })));
  const at = (nowMs: number) => join(member(d), { kind: "invite", id: ID, proof: proofOf(ID), nowMs });
  assert.match(refused(invited, at(10_000)), /^denied: Invite "0123456789abcdef" is over/);
  assert.equal(findMember(after(invited, at(9_999)), d)?.state, "joining");
});

Deno.test("Members bring in others as long as they belong to the network", () => {
  const view = after(genesis, { kind: "set-state", node: b, state: "removed" });
  assert.equal(findMember(after(view, join(member(d), vouching(a))), d)?.state, "joining");
  assert.match(
    refused(view, join(member(d), vouching(b))),
    /^denied: Node "Betelgeuse" belongs to the network no more/,
  );
  assert.match(refused(view, join(member(d), vouching(nodeId("nobody")))), /^denied/);
});

Deno.test("addInvite() keeps to its bounds and forgets what is over", () => {
  const id = (n: number) => n.toString(16).padStart(16, "0");
  assert.match(
    refused(genesis, add(invite(ID, { uses: 0 }))),
    /^invalid: An invite lets in at least one, not 0/,
  );
  assert.match(refused(genesis, add(invite(ID, { expiresMs: 5 }), 5)), /^invalid: The invite would be over/);
  let view = genesis;
  for (let n = 0; n < LIMITS.invitesMax; n++) view = after(view, add(invite(id(n), { expiresMs: 1000 + n })));
  assert.match(refused(view, add(invite(ID))), /^conflict: 256 invites are open/);
  assert.match(
    refused(view, add(invite(id(3), { hash: "0".repeat(64) }))),
    /^conflict: Invite "0000000000000003" is there already/,
  );
  const used = after(view, join(member(d), by(id(7))), add(invite(ID)));
  assert.ok(!used.security!.invites.some((i) => i.id === id(7)), "What is used up makes room");
  const over = after(view, add(invite(ID), 1100));
  assert.ok(!over.security!.invites.some((i) => i.id === id(0)), "And what is over, the first to end first");
  const day = after(view, add(invite(ID, { expiresMs: 10 ** 9 }), 24 * 3_600_000 + 1000 + 100));
  assert.equal(day.security!.invites.length, LIMITS.invitesMax - 101 + 1);
  assert.match(refused(genesis, { kind: "invite-drop", id: ID }), /^not-found/);
  assert.deepEqual(after(genesis, add(invite(ID)), { kind: "invite-drop", id: ID }).security!.invites, []);
});

Deno.test("setAccess() keeps a key's public part, the last operator and its bounds (G5)", () => {
  const set = (key: AccessKey): SystemCommand => ({ kind: "access-set", access: key });
  const reader = access("READER", right("star/", "r"));
  const view = after(genesis, set(reader));
  assert.deepEqual(view.security!.access.map(({ id }) => id), ["OPERATOR", "READER"]);
  assert.match(
    refused(view, set({ ...reader, publicKey: keyOf("other") })),
    /^conflict: .*another public key/,
  );
  assert.match(
    refused(view, { kind: "access-drop", id: "OPERATOR" }),
    /^conflict: This is the last access key/,
  );
  assert.match(refused(view, set(access("OPERATOR", right("a", "rwa")))), /^conflict: This is the last/);
  assert.match(refused(view, { kind: "access-drop", id: "NOBODY" }), /^not-found/);
  const second = after(view, set(access("SECOND", right("", "a"))), { kind: "access-drop", id: "OPERATOR" });
  assert.deepEqual(second.security!.access.map(({ id }) => id), ["READER", "SECOND"]);
  const bad: [AccessKey, RegExp][] = [
    [access("NONE"), /would have no rights/],
    [access("EMPTY", right("a", "")), /rights on "a" are none/],
    [access("TWICE", right("a", "r"), right("a", "w")), /name the prefix "a" twice/],
    [access("LONG", right("é".repeat(641), "r")), /at most 1280 bytes/],
    [{ ...reader, id: "a b" }, /letters, digits or hyphens/],
    [{ ...reader, name: "x".repeat(65) }, /at most 64 bytes/],
    [access("MANY", ...Array.from({ length: 33 }, (_, i) => right(`p${i}`, "r"))), /at most 32 prefixes/],
  ];
  for (const [key, why] of bad) {
    // Some are stopped by the codec already.
    const next = nextView(view, set(key), 9 as LogIndex);
    assert.ok("reason" in next && why.test(next.message), JSON.stringify(next));
  }
  const many = Array.from(
    { length: LIMITS.accessKeysMax - 1 },
    (_, i) => access(`K${i + 10_000}`, right("a", "r")),
  );
  const full = { ...genesis, security: { ...genesis.security!, access: [...many, OPERATOR] } };
  assert.match(refused(full, set(access("MORE", right("a", "r")))), /1024 access keys, and 1024 is the most/);
  after(full, set(access("K10003", right("b", "r"))));
});

Deno.test("All access keys together keep to a bound, so that the view fits a frame", () => {
  let view = genesis;
  const long = (i: number) => `${i}`.padStart(LIMITS.keyBytesMax, "x");
  const wide = (id: string) =>
    access(id, ...Array.from({ length: LIMITS.rightsMax }, (_, i) => right(long(i), "r")));
  const set = (id: string): SystemCommand => ({ kind: "access-set", access: wide(id) });
  for (let i = 10; i < 22; i++) view = after(view, set(`K${i}`));
  assert.match(refused(view, set("K22")), /^too-large: All access keys together .* 524288 is the most/);
  after(view, set("K21"));
  const bytes = encodeView(view).length - encodeView(genesis).length;
  assert.ok(bytes > LIMITS.accessBytesMax * 0.9 && bytes < LIMITS.accessBytesMax, `${bytes}`);
});

Deno.test("Evicted members are forgotten last, and only past LIMITS.goneMembersKept", () => {
  const name = (i: number) => `n${String(i).padStart(4, "0")}`;
  const members = Array.from(
    { length: LIMITS.goneMembersKept + 20 },
    (_, i) => member(name(i), { state: i < 10 ? "evicted" : "gone" }),
  );
  const view = { ...genesis, members: [...genesis.members, ...members] };
  const layout = (v: SystemView): SystemCommand => ({
    kind: "layout",
    base: v.version,
    states: [],
    assignment: v.assignment,
  });
  const next = after(view, layout(view));
  assert.equal(next.members.filter((m) => m.state === "evicted").length, 10);
  assert.equal(next.members.filter((m) => isFormer(m.state)).length, LIMITS.goneMembersKept);
  const evicted = {
    ...view,
    members: view.members.map((m) => m.state === "gone" ? { ...m, state: "evicted" as const } : m),
  };
  assert.equal(
    after(evicted, layout(evicted)).members.filter((m) => isFormer(m.state)).length,
    LIMITS.goneMembersKept,
  );
});
