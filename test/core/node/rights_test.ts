import assert from "node:assert/strict";
import fc from "fast-check";
import { compareUtf8, prefixEnd } from "../../../core/base/bytes.ts";
import { nodeId, type PartitionId } from "../../../core/base/ids.ts";
import { holdsSpan } from "../../../core/node/coverage.ts";
import { denial, viewFor } from "../../../core/node/rights.ts";
import { isWriteOp } from "../../../core/wire/ops.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { Op, RangeOp, TransactOp } from "../../../core/wire/requests.ts";
import type { AccessKey, Principal } from "../../../core/wire/security.ts";
import { arbOp } from "../../support/arbitraries.ts";
import { access, OPERATOR, right } from "../../support/credentials.ts";
import { a, add, after, b, by, c, evict, genesis, ID, invite, open } from "../system/private_view.ts";

const KEYS: AccessKey[] = [
  access("ADMIN", right("team/", "a"), right("team/star/", "rw")),
  OPERATOR,
  access("READER", right("star/", "r")),
  access("WRITER", right("star/", "w"), right("lease/", "w")),
  access("BOTH", right("star/", "rw"), right("lease/", "rw")),
].sort((x, y) => (x.id < y.id ? -1 : 1));
const view: SystemView = after(
  { ...genesis, security: { ...genesis.security!, access: KEYS } },
  { kind: "set-state", node: c, state: "gone" },
  add(invite(ID)),
);
const key = (id: string): Principal => ({ kind: "access", id });
const node = (id: string): Principal => ({ kind: "member", node: nodeId(id) });
const value = Uint8Array.of(1);
const says = (who: Principal | null, op: Op, at = view): string => {
  const refused = denial(at, who, op);
  if (refused === null) return "yes";
  assert.equal(refused.reason, "denied");
  return refused.message;
};
const get = (k: string): Op => ({ kind: "get", key: k, read: "linearizable" });
const put = (k: string, lease?: string): Op => ({
  kind: "put",
  key: k,
  value,
  ...(lease === undefined ? null : { lease }),
});
const range = (start: string, end: string | null, more: Partial<RangeOp> = {}): Op => ({
  kind: "range",
  start,
  end,
  limit: 9,
  reverse: false,
  keysOnly: false,
  read: "stale",
  ...more,
});

Deno.test("denial() names the key, the right and what it would be needed for (Z2)", () => {
  assert.equal(
    says(key("READER"), put("star/1")),
    'Access key "READER" may not write "star/1": it needs the right write on a prefix of that',
  );
  assert.match(
    says(key("READER"), range("star/", null)),
    /^Access key "READER" may not read "star\/"\.\.: it needs the right read on one prefix/,
  );
  assert.match(says(key("GONE"), get("star/1")), /^Access key "GONE" is not known, or was revoked/);
  assert.match(says(null, get("star/1")), /^The network is private/);
});

Deno.test("denial() holds each key and lease of an operation against the rights (Z2)", () => {
  const cas: Op = { kind: "cas", key: "star/1", expect: { kind: "absent" }, value };
  const lease = (kind: "keep-alive" | "revoke", name: string): Op => ({ kind, lease: name });
  const table: [string, Op, boolean][] = [
    ["READER", get("star/1"), true],
    ["READER", get("star"), false],
    ["READER", { kind: "history", key: "star/1", read: "stale" }, true],
    ["READER", { kind: "history", key: "sta", read: "stale" }, false],
    ["READER", { kind: "delete", key: "star/1" }, false],
    ["WRITER", get("star/1"), false],
    ["WRITER", put("star/1"), true],
    ["WRITER", put("other"), false],
    ["WRITER", put("star/1", "lease/1"), true],
    ["WRITER", put("star/1", "other"), false],
    ["WRITER", { kind: "delete", key: "star/1" }, true],
    ["WRITER", cas, false],
    ["READER", cas, false],
    ["BOTH", cas, true],
    ["BOTH", { ...cas, lease: "other" }, false],
    ["WRITER", { kind: "grant", lease: "lease/1", ttlMs: 1000 }, true],
    ["WRITER", { kind: "grant", lease: "x", ttlMs: 1000 }, false],
    ["WRITER", lease("keep-alive", "lease/1"), true],
    ["READER", lease("keep-alive", "star/1"), false],
    ["WRITER", lease("revoke", "x"), false],
    ["OPERATOR", cas, true],
    ["ADMIN", get("team/x"), false],
    ["ADMIN", get("team/star/1"), true],
  ];
  for (const [id, op, allowed] of table) {
    assert.equal(says(key(id), op) === "yes", allowed, `${id} ${JSON.stringify(op)}`);
  }
});

Deno.test("denial() looks at every condition and item of a transaction, in both branches (Z2)", () => {
  const whole: TransactOp = {
    kind: "transact",
    conditions: [{ key: "star/1", expect: { kind: "present" } }],
    then: [{ kind: "put", key: "star/1", value }, { kind: "get", key: "star/2" }],
    otherwise: [{ kind: "delete", key: "star/3" }],
  };
  assert.equal(says(key("BOTH"), whole), "yes");
  assert.match(says(key("WRITER"), whole), /may not read "star\/1"/);
  assert.match(says(key("WRITER"), { ...whole, conditions: [] }), /may not read "star\/2"/);
  assert.equal(says(key("WRITER"), { ...whole, conditions: [], then: [] }), "yes");
  assert.match(
    says(key("BOTH"), { ...whole, conditions: [{ key: "x", expect: { kind: "absent" } }] }),
    /may not read "x"/,
  );
  assert.match(
    says(key("BOTH"), { ...whole, then: [{ kind: "put", key: "x", value }] }),
    /may not write "x"/,
  );
  assert.match(
    says(key("BOTH"), { ...whole, otherwise: [{ kind: "delete", key: "x" }] }),
    /may not write "x"/,
  );
  assert.match(
    says(key("BOTH"), { ...whole, otherwise: [{ kind: "put", key: "star/1", value, lease: "x" }] }),
    /may not write "x"/,
  );
});

Deno.test("denial() lets a range or watch through only where one right covers the whole of it (Z2)", () => {
  assert.equal(says(key("READER"), range("star/", "star0")), "yes");
  assert.equal(
    says(key("READER"), range("star/a", "star/b", { reverse: true, partition: 1 as PartitionId })),
    "yes",
  );
  assert.equal(says(key("READER"), { kind: "watch", start: "star/1", end: "star/1\0", from: [] }), "yes");
  for (
    const [start, end] of [["star/", "star1"], ["star/", null], ["star", "star0"], ["", "star/a"], [
      "star0",
      "star1",
    ]] as const
  ) {
    assert.notEqual(says(key("READER"), range(start, end)), "yes", `${start}..${end}`);
    assert.notEqual(says(key("READER"), { kind: "watch", start, end, from: [] }), "yes");
  }
  assert.match(
    says(key("READER"), { kind: "watch", start: "moon/1", end: "moon/1\0", from: [] }),
    /may not read "moon\/1": it needs the right read on a prefix of that/,
  );
  assert.equal(says(key("OPERATOR"), range("", null)), "yes");
  assert.notEqual(says(key("WRITER"), range("star/", "star0")), "yes");
});

const arbText = fc.string({
  unit: fc.constantFrom(
    "a",
    "b",
    "\0",
    "\x7f",
    "\u0080",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\u{10000}",
    "\u{10ffff}",
  ),
  maxLength: 3,
});

Deno.test("holdsSpan() is true exactly where no key of the span lacks the prefix, at the ends of Unicode too", () => {
  let yes = 0, no = 0;
  fc.assert(
    fc.property(
      arbText,
      arbText,
      fc.option(arbText),
      fc.array(arbText, { minLength: 8, size: "max", maxLength: 40 }),
      (prefix, start, end, probes) => {
        const inside = (k: string) => compareUtf8(start, k) <= 0 && (end === null || compareUtf8(k, end) < 0);
        const beyond = prefixEnd(prefix);
        const stray = [
          start,
          "",
          ...probes,
          ...(beyond === null ? [] : [beyond]),
          ...probes.map((p) => start + p),
          "\u{10ffff}".repeat(4),
        ]
          .find((k) => inside(k) && !k.startsWith(prefix));
        const held = holdsSpan(prefix, start, end);
        if (held) {
          yes++;
          assert.equal(stray, undefined, `${JSON.stringify([prefix, start, end, stray])}`);
        } else if (end === null || compareUtf8(start, end) < 0) {
          no++;
          assert.notEqual(stray, undefined, `${JSON.stringify([prefix, start, end])}`);
        }
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(yes > 100 && no > 100, `${yes} ${no}`);
});

Deno.test("holdsSpan() ends where UTF-8 does, whatever the order of UTF-16 (Z2)", () => {
  // U+10000 comes after U+E000, which ends the prefix U+D7FF, but its first unit comes before.
  assert.equal(holdsSpan("\ud7ff", "\ud7ff", "\ue000"), true);
  assert.equal(holdsSpan("\ud7ff", "\ud7ff", "\u{10000}"), false);
  assert.equal(holdsSpan("\uffff", "\uffff", "\u{10000}"), true);
  assert.equal(holdsSpan("\uffff", "\uffff", "\u{10001}"), false);
});

Deno.test("denial() leaves the network to operators and what members say of themselves to members (Z3, Z4)", () => {
  const running: Op[] = [
    evict(b) as Op,
    { kind: "set-state", node: b, state: "draining", force: false },
    { kind: "invite-add", invite: invite(ID), nowMs: 1 },
    { kind: "invite-drop", id: ID },
    { kind: "keys-rotate" },
    { kind: "audit", limit: 1 },
  ];
  for (const op of running) {
    assert.equal(says(key("OPERATOR"), op), "yes", op.kind);
    assert.equal(says(node(a), op), "yes", op.kind);
    for (const id of ["ADMIN", "BOTH"]) {
      assert.match(says(key(id), op), /needs the right admin on the prefix ""/, op.kind);
    }
  }
  const own: Op[] = [
    { kind: "set-address", node: a, address: "x:1" },
    { kind: "key-status", node: a, holds: 1, uses: 1, statement: new Uint8Array(0) },
    { kind: "key-made", id: 2, authority: value },
  ];
  for (const op of own) {
    assert.equal(says(node(a), op), "yes", op.kind);
    assert.match(says(key("OPERATOR"), op), /^Only a member asks/, op.kind);
    if (op.kind !== "key-made") assert.match(says(node(b), op), /speaks for itself, and not for "Alnilam"/);
  }
  assert.match(
    says(key("OPERATOR"), { kind: "join", member: genesis.members[0]!, network: null }),
    /needs an invite/,
  );
  for (
    const op of [{ kind: "status" }, { kind: "members" }, { kind: "layout" }, {
      kind: "unwatch",
      watch: 1,
    }] as const
  ) {
    assert.equal(says(key("READER"), op), "yes");
  }
});

Deno.test("denial() lets who administers a prefix give what it has and take what lies within, and no more (Z3)", () => {
  const set = (k: AccessKey): Op => ({ kind: "access-set", access: k });
  const drop = (id: string): Op => ({ kind: "access-drop", id });
  const yes = [
    set(access("NEW", right("team/star/x", "rw"))),
    set(access("NEW", right("team/", "a"))),
    set(access("NEW", right("team/y", "a"), right("team/star/", "r"))),
  ];
  for (const op of yes) assert.equal(says(key("ADMIN"), op), "yes", JSON.stringify(op));
  assert.match(
    says(key("ADMIN"), set(access("NEW", right("team/x", "r")))),
    /may not give the right read on "team\/x"/,
  );
  assert.match(
    says(key("ADMIN"), set(access("NEW", right("team", "a")))),
    /may not give rights on "team"/,
  );
  assert.match(says(key("ADMIN"), set(access("NEW", right("", "a")))), /rights on ""/);
  assert.match(
    says(key("ADMIN"), set(access("NEW", right("team/star/", "r"), right("star/", "r")))),
    /rights on "star\/"/,
  );
  assert.match(
    says(key("ADMIN"), set(access("READER", right("team/star/", "r")))),
    /may not change or drop "READER"/,
    "It was another's",
  );
  for (const other of ["READER", "OPERATOR", "UNKNOWN"]) {
    const words =
      `denied: Access key "ADMIN" may not change or drop "${other}": it needs the right admin on all prefixes that key has rights on`;
    assert(
      words.endsWith(says(key("ADMIN"), drop(other))),
      "its rights are not told, nor whether it is there",
    );
  }
  assert.match(says(key("BOTH"), set(access("NEW", right("star/", "r")))), /needs the right admin/);
  assert.match(says(key("BOTH"), drop("BOTH")), /needs the right admin/);
  assert.equal(says(key("OPERATOR"), set(access("NEW", right("any", "rwa")))), "yes");
  assert.equal(says(key("OPERATOR"), drop("READER")), "yes");
});

Deno.test("denial() lets an invite ask for the layout and join, a former member come back, and an evicted one nothing (Z5)", () => {
  const joining: Op = { kind: "join", member: genesis.members[0]!, network: null };
  assert.equal(says(by(ID), { kind: "layout" }), "yes");
  assert.equal(says(by(ID), joining), "yes");
  assert.match(says(by(ID, "0".repeat(64)), { kind: "layout" }), /not known, or its secret is wrong/);
  assert.match(says(by("f".repeat(16)), { kind: "layout" }), /not known/);
  for (const op of [get("k"), { kind: "members" }, { kind: "status" }, { kind: "keys-rotate" }] as Op[]) {
    assert.match(says(by(ID), op), /^An invite lets a node join/);
  }
  assert.equal(says(node(c), joining), "yes");
  assert.match(says(node(c), get("k")), /^Node "Capella" is gone; it comes back by joining/);
  const evicted = after(view, evict(b));
  for (const op of [joining, get("k"), { kind: "layout" }] as Op[]) {
    assert.match(
      says(node(b), op, evicted),
      /^Node "Betelgeuse" does not belong to the network: it was evicted/,
    );
    assert.match(says(node("nobody"), op), /does not belong/);
  }
});

/** A transaction may be empty here: what is wrong with that another part says. */
const onlyReads = (op: Op) =>
  op.kind === "transact" && [...op.then, ...op.otherwise].every((i) => i.kind === "get");

Deno.test("denial() of nobody known is certain, whatever is asked, and an open network lets everything through (Z1)", () => {
  fc.assert(fc.property(arbOp, (op) => {
    assert.notEqual(says(null, op), "yes");
    assert.notEqual(says(key("REVOKED"), op), "yes");
    assert.equal(denial(open, null, op), null);
    if (isWriteOp(op) && !onlyReads(op)) assert.notEqual(says(key("READER"), op), "yes");
    if (isWriteOp(op) && op.kind !== "transact") assert.equal(says(key("OPERATOR"), op), "yes");
  }));
});

Deno.test("viewFor() tells the whole view to members and operators, and others only what concerns them", () => {
  assert.equal(viewFor(view, node(a)), view);
  assert.equal(viewFor(view, key("OPERATOR")), view);
  assert.equal(viewFor(open, null), open);
  const told = (who: Principal) => {
    const { security, ...rest } = viewFor(view, who);
    const { security: _, ...whole } = view;
    assert.deepEqual(rest, whole);
    assert.deepEqual([security!.keys, security!.invites], [view.security!.keys, []]);
    return security!.access.map(({ id }) => id);
  };
  assert.deepEqual(told(key("READER")), ["READER"]);
  assert.deepEqual(told(key("ADMIN")), ["ADMIN"]);
  assert.deepEqual(told(by(ID)), []);
  assert.deepEqual(told(key("REVOKED")), []);
});
