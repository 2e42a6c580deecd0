/** Whom nodes of a private network serve: rights where a request comes in, on its way, and while a watch goes on. */
import assert from "node:assert/strict";
import { nodeId } from "../../../core/base/ids.ts";
import type { Message, SystemView } from "../../../core/wire/messages.ts";
import type { Op, RangeOp, Response, WatchOp } from "../../../core/wire/requests.ts";
import type { Principal } from "../../../core/wire/security.ts";
import { Network } from "./network.ts";
import { access, keyOf, OPERATOR, right } from "../../support/credentials.ts";
import { holderOf, invite, invited, privateMember, PrivateNetwork, refusalText } from "./private_network.ts";

const THREE = ["Alnilam", "Bellatrix", "Capella"];
const MINUTE = 60_000_000;
const put = (key: string): Op => ({ kind: "put", key, value: Uint8Array.of(1) });
const get = (key: string): Op => ({ kind: "get", key, read: "linearizable" });
const range = (start: string, end: string | null): RangeOp => ({
  kind: "range",
  start,
  end,
  limit: 100,
  reverse: false,
  keysOnly: false,
  read: "linearizable",
});
const watch = (start: string, end: string | null): WatchOp => ({ kind: "watch", start, end, from: [] });
const STAR = access("STAR", right("star/", "rw"));
const READER = access("READER", right("star/", "r"));
const star = holderOf("STAR"), reader = holderOf("READER");

function settled(): PrivateNetwork {
  const network = new PrivateNetwork(THREE);
  network.settle();
  for (const key of [STAR, READER]) network.done("Alnilam", { kind: "access-set", access: key });
  network.run(2_000_000);
  return network;
}
/** What was noted for the audit log, without who asked first. */
function audited(network: Network): string[] {
  return network.notes.flatMap(({ node, note }) =>
    note.kind === "audit" ? [`${node} ${note.who}: ${note.what}: ${note.outcome}`] : []
  );
}
function answers(network: Network, id: number): Response[] {
  return network.replies.filter((reply) => reply.id === id).map(({ response }) => response);
}

Deno.test("Every node holds every request against the rights of who asks, whoever leads the partition", () => {
  const network = settled();
  for (const name of THREE) {
    for (let i = 0; i < 6; i++) {
      assert.equal(network.ask(name, put(`star/${i}`), { who: star }).kind, "written");
      assert.match(
        network.refusal(name, put(`star/${i}`), reader),
        /^denied: Access key "READER" may not write/,
      );
      assert.match(network.refusal(name, get(`moon/${i}`), star), /^denied: .*"moon\/\d"/);
      assert.match(network.refusal(name, get(`star/${i}`), null), /^denied: The network is private/);
      assert.match(
        network.refusal(name, get(`star/${i}`), holderOf("STRANGER")),
        /not known, or was revoked/,
      );
    }
    assert.equal(network.ask(name, range("star/", "star0"), { who: reader }).kind, "values");
    assert.match(network.refusal(name, range("star/", "star1"), reader), /^denied/);
    assert.match(network.refusal(name, { kind: "keys-rotate" }, star), /^denied: .*admin on the prefix ""/);
  }
});

Deno.test("What a client writes into a request of whose it is counts for nothing (B3)", () => {
  const network = settled();
  const forged: Principal = holderOf(OPERATOR.id);
  for (const name of THREE) {
    const request = { op: { kind: "keys-rotate" } as const, by: forged };
    const id = 9_000 + THREE.indexOf(name);
    network.step(nodeId(name), { kind: "requests", requests: [{ client: 1, id, request, who: reader }] });
    network.step(nodeId(name), { kind: "requests", requests: [{ client: 1, id: id + 10, request }] });
    network.run(1_000_000);
    for (const asked of [id, id + 10]) assert.match(refusalText(answers(network, asked)[0]!), /^denied/);
  }
  assert.equal(network.keys("Alnilam"), "1 current");
  // What is left to the state machine goes there under the true name too.
  network.done("Alnilam", { kind: "invite-add", invite: invite(), nowMs: 1 });
  const op: Op = { kind: "join", member: privateMember("Deneb"), network: null };
  for (const name of THREE) {
    const request = { op, by: { kind: "member", node: nodeId("Capella") } as const };
    const id = 9_100 + THREE.indexOf(name), who = invited("0".repeat(64));
    network.step(nodeId(name), { kind: "requests", requests: [{ client: 1, id, request, who }] });
    network.run(1_000_000);
    assert.match(refusalText(answers(network, id)[0]!), /^denied: The secret of invite/);
  }
});

Deno.test("Requests are passed on with whose they are, and without that refused (R3)", () => {
  const network = settled();
  const passed: (Principal | undefined)[] = [];
  network.sending = (_from, _to, message) => {
    if (message.kind === "forward") passed.push(message.request.by);
  };
  for (let i = 0; i < 8; i++) network.ask("Alnilam", put(`star/${i}`), { who: star });
  network.ask("Alnilam", range("star/", "star0"), { who: reader });
  assert.ok(passed.some((who) => who?.kind === "access" && who.id === "STAR"));
  assert.ok(passed.some((who) => who?.kind === "access" && who.id === "READER"));
  assert.ok(passed.every((who) => who !== undefined));
  const told: Message[] = [];
  network.sending = (from, to, message) => {
    if (from === "Alnilam" && to === "Bellatrix" && message.kind === "forward-reply") told.push(message);
  };
  const message: Message = { kind: "forward", id: 77, hops: 1, request: { op: get("star/1") } };
  network.step(nodeId("Alnilam"), { kind: "messages", from: nodeId("Bellatrix"), messages: [message] });
  assert.ok(
    told[0]?.kind === "forward-reply" &&
      /^denied: Node "Bellatrix" forwarded/.test(refusalText(told[0].response)),
  );
});

Deno.test("The leader of the system partition looks once more at who asks: what it knows of rights is the newest (R3)", () => {
  const network = settled();
  const leader = nodeId(network.leaderOf(0)), other = nodeId(THREE.find((name) => name !== leader)!);
  const told: Response[] = [];
  network.sending = (from, to, message) => {
    if (from === leader && to === other && message.kind === "forward-reply") told.push(message.response);
  };
  const ops: Op[] = [
    { kind: "keys-rotate" },
    { kind: "evict", node: other, force: true },
    { kind: "access-set", access: access("NEW", right("star/", "r")) },
    { kind: "key-status", node: leader, holds: 1, uses: 1, statement: new Uint8Array(0) },
  ];
  for (const [i, op] of ops.entries()) {
    for (const by of [reader, holderOf("STRANGER"), { kind: "member", node: other } as const]) {
      if (by.kind === "member" && op.kind !== "key-status") continue;
      const message: Message = { kind: "forward", id: 100 + i, hops: 1, request: { op, by } };
      const before = told.length;
      network.step(leader, { kind: "messages", from: other, messages: [message] });
      network.run(1_000_000);
      assert.match(refusalText(told[before]!), /^denied/, `${op.kind} by ${by.kind}`);
    }
  }
});

Deno.test("A watch ends with a denial at every node when its key is revoked, or its rights are narrowed (W5)", () => {
  const network = settled();
  const client = (i: number) => 10 + i;
  const kept: number[] = [], ended: number[] = [];
  for (const [i, name] of THREE.entries()) {
    kept.push(network.request(name, watch("star/", "star0"), { who: star, client: client(i) }));
    ended.push(network.request(name, watch("star/", "star0"), { who: reader, client: client(i) }));
  }
  network.run(500_000);
  network.ask("Alnilam", put("star/1"), { who: star });
  network.run(500_000);
  for (const id of [...kept, ...ended]) assert.ok(answers(network, id).some((r) => r.kind === "events"));
  network.done("Alnilam", { kind: "access-set", access: { ...READER, rights: [right("star/x", "r")] } });
  network.until(
    () => ended.every((id) => answers(network, id).at(-1)!.kind === "refused"),
    5_000_000,
    "They end",
  );
  for (const id of ended) {
    assert.match(refusalText(answers(network, id).at(-1)!), /^denied: Access key "READER" may not read/);
  }
  const counts = ended.map((id) => answers(network, id).length);
  network.ask("Alnilam", put("star/x"), { who: star });
  network.run(2_000_000);
  assert.deepEqual(ended.map((id) => answers(network, id).length), counts, "Nothing is told after that");
  for (const id of kept) assert.equal(answers(network, id).filter((r) => r.kind === "events").length, 2);
  network.done("Bellatrix", { kind: "access-drop", id: "STAR" });
  network.until(
    () => kept.every((id) => answers(network, id).at(-1)!.kind === "refused"),
    5_000_000,
    "They end",
  );
  assert.match(network.refusal("Capella", get("star/1"), star), /revoked/);
  assert.ok(
    audited(network).some((line) => /^Capella key STAR: watch "star\/"\.\."star0": denied: /.test(line)),
  );
});

Deno.test("A range over all partitions is denied as a whole, and watches are before they begin", () => {
  const network = settled();
  assert.match(network.refusal("Alnilam", range("", null), star), /^denied: .*""\.\./);
  assert.match(network.refusal("Alnilam", watch("", null), star), /^denied/);
  assert.equal(network.ask("Alnilam", range("", null)).kind, "values");
});

Deno.test("The layout is told without other keys and invites; the audit log is the operators'", () => {
  const network = settled();
  network.done("Alnilam", { kind: "invite-add", invite: invite(), nowMs: 1 });
  network.run(2_000_000);
  const told = (who: Principal) => {
    const response = network.ask("Bellatrix", { kind: "layout" }, { who });
    assert.ok(response.kind === "layout");
    const { keys, access, invites } = response.view.security!;
    return [keys.length, access.map(({ id }) => id).join(), invites.length];
  };
  assert.deepEqual(told(reader), [1, "READER", 0]);
  assert.deepEqual(told(invited()), [1, "", 0]);
  assert.deepEqual(told(holderOf(OPERATOR.id)), [1, "OPERATOR,READER,STAR", 1]);
  assert.deepEqual(told({ kind: "member", node: nodeId("Capella") }), [1, "OPERATOR,READER,STAR", 1]);
  assert.match(network.refusal("Bellatrix", { kind: "layout" }, invited("0".repeat(64))), /^denied/);
  assert.match(network.refusal("Bellatrix", { kind: "audit", limit: 1 }, reader), /^denied/);
  assert.equal(network.ask("Bellatrix", { kind: "audit", limit: 1 }).kind, "audit");
  assert.equal(network.ask("Bellatrix", { kind: "status" }, { who: reader }).kind, "status");
});

Deno.test("A join is what the invite says: as many as it lets in, under the key that was shown", () => {
  const network = settled();
  network.done("Alnilam", { kind: "invite-add", invite: invite({ uses: 2 }), nowMs: 1 });
  const join = (name: string, key = name): Op => ({
    kind: "join",
    member: {
      ...privateMember(name),
      identity: { key: keyOf(key), holds: 0, uses: 0, statement: new Uint8Array(0) },
    },
    network: null,
  });
  const asked = (op: Op, who: Principal) => network.refusal("Bellatrix", op, who);
  assert.equal(asked(join("Deneb"), invited()), "joined");
  assert.equal(asked(join("Deneb"), invited()), "joined");
  assert.match(asked(join("Deneb", "thief"), invited()), /^denied: .*another key/);
  assert.equal(asked(join("Electra"), invited()), "joined");
  assert.match(asked(join("Fomalhaut"), invited()), /^denied: Invite .* is used up/);
  assert.equal(asked(join("Fomalhaut"), { kind: "member", node: nodeId("Capella") }), "joined");
  assert.match(asked(join("Gemma"), reader), /^denied: .*needs an invite/);
});

Deno.test("What was done to the network, and what was denied, is noted for the audit log, a second's denials once", () => {
  const network = settled();
  network.notes.length = 0;
  network.done("Bellatrix", { kind: "invite-add", invite: invite(), nowMs: 1 });
  assert.match(
    network.refusal("Bellatrix", { kind: "evict", node: nodeId("Nobody"), force: false }),
    /^not-found/,
  );
  network.ask("Bellatrix", put("star/1"), { who: star });
  for (let i = 0; i < 5; i++) network.refusal("Bellatrix", put("star/1"), reader);
  // Nor does another connection of the same key have lines of its own.
  network.ask("Bellatrix", get("moon"), { who: reader, client: 2 });
  network.run(1_000_000);
  network.refusal("Bellatrix", put("star/2"), reader);
  const denied = 'denied: Access key "READER" may not';
  assert.deepEqual(audited(network), [
    "Bellatrix key OPERATOR: invite-add 0123456789abcdef uses 1 until 10000: done",
    'Bellatrix key OPERATOR: evict Nobody: not-found: No member is named "Nobody"',
    `Bellatrix key READER: put "star/1": ${denied} write "star/1": it needs the right write on a prefix of that`,
    `Bellatrix key READER: put "star/2": ${denied} write "star/2": it needs the right write on a prefix of that ` +
    "(after 5 more denials)",
  ]);
  network.notes.length = 0;
  network.kill("Alnilam");
  network.kill("Capella");
  network.request("Bellatrix", { kind: "keys-rotate" }, { client: 7 });
  network.step(nodeId("Bellatrix"), { kind: "client-gone", client: 7 });
  assert.deepEqual(audited(network), [
    "Bellatrix key OPERATOR: keys-rotate: the client left before it was answered",
  ]);
});

Deno.test("Of an evicted member a node hears only what lets it learn so (B1)", () => {
  const network = new PrivateNetwork([...THREE, "Deneb"]);
  network.settle();
  network.done("Alnilam", { kind: "evict", node: nodeId("Deneb"), force: false });
  network.until(
    () => THREE.every((name) => network.stateOf("Deneb", name) === "evicted"),
    MINUTE,
    "All know",
  );
  const { version } = network.node("Alnilam").view();
  const forged = { ...network.node("Alnilam").view(), version: version + 1000, security: null };
  const heard: Message[] = [
    { kind: "layout-is", view: forged },
    { kind: "forward", id: 1, hops: 1, request: { op: { kind: "keys-rotate" }, by: holderOf(OPERATOR.id) } },
    { kind: "key-get", ids: [1] },
    { kind: "ping-request", sequence: 1, target: nodeId("Bellatrix"), updates: [] },
  ];
  network.notes.length = 0;
  const answered: string[] = [];
  network.sending = (from, to, message) => {
    if (from === "Alnilam" && to === "Deneb") answered.push(message.kind);
  };
  network.story.length = 0;
  network.step(nodeId("Alnilam"), { kind: "messages", from: nodeId("Deneb"), messages: heard });
  const refused = network.notes.flatMap(({ node, note }) =>
    note.kind === "refused" && node === "Alnilam" ? [`${note.message} ${note.why}`] : []
  );
  assert.deepEqual(refused, heard.map(({ kind }) => `${kind} evicted`));
  assert.deepEqual([answered, network.story], [[], []]);
  network.step(nodeId("Alnilam"), {
    kind: "messages",
    from: nodeId("Deneb"),
    messages: [{ kind: "layout-get", version: 0 }],
  });
  assert.deepEqual(answered, ["layout-is"]);
});

Deno.test("A node that is evicted ends its watches and comes back in no way, also when it starts anew (B2, G3)", () => {
  const network = new PrivateNetwork([...THREE, "Deneb"]);
  network.settle();
  const id = network.request("Deneb", watch("", null), { client: 5 });
  network.run(500_000);
  network.done("Alnilam", { kind: "evict", node: nodeId("Deneb"), force: false });
  network.until(() => network.stateOf("Deneb", "Deneb") === "evicted", MINUTE, "Deneb knows");
  assert.match(refusalText(answers(network, id).at(-1)!), /^down: Node "Deneb" was evicted/);
  network.restart("Deneb");
  network.run(20_000_000);
  assert.equal(network.stateOf("Deneb", "Alnilam"), "evicted");
  assert.ok(
    network.notes.some(({ node, note }) =>
      node === "Deneb" && note.kind === "standing" && note.state === "evicted"
    ),
  );
  const join: Op = { kind: "join", member: privateMember("Deneb"), network: null };
  for (
    const who of [{ kind: "member", node: nodeId("Deneb") }, {
      kind: "member",
      node: nodeId("Capella"),
    }] as const
  ) {
    assert.match(network.refusal("Alnilam", join, who), /^denied/);
  }
});

Deno.test("A node that was cut off while it was evicted learns so when it comes back", () => {
  const network = new PrivateNetwork([...THREE, "Deneb"]);
  network.settle();
  for (const name of THREE) network.cut.add(`${name} Deneb`).add(`Deneb ${name}`);
  network.run(1_000_000);
  network.done(THREE.find((name) => name === network.leaderOf(0)) ?? "Alnilam", {
    kind: "evict",
    node: nodeId("Deneb"),
    force: false,
  });
  network.run(10_000_000);
  network.cut.clear();
  network.until(() => network.stateOf("Deneb", "Deneb") === "evicted", MINUTE, "Deneb knows");
  assert.equal(network.stateOf("Deneb", "Alnilam"), "evicted");
});

Deno.test("No view that a peer makes up opens a private network, or takes its keys away", () => {
  const network = settled();
  const view = network.node("Alnilam").view(), security = view.security!;
  const [member, ...members] = view.members, { identity: _, ...keyless } = member!;
  const key = security.keys[0]!;
  const forged: SystemView[] = [
    { ...view, security: null },
    { ...view, security: { ...security, keys: [] } },
    { ...view, security: { ...security, keys: [{ ...key, state: "former" }] } },
    { ...view, security: { ...security, keys: [key, { ...key, id: 2 }] } },
    {
      ...view,
      security: {
        ...security,
        keys: [key, { ...key, id: 2, state: "made" }, { ...key, id: 3, state: "wanted" }],
      },
    },
    { ...view, security: { ...security, keys: [{ ...key, id: 2 }, { ...key, state: "made" }] } },
    { ...view, security: { ...security, access: [...security.access].reverse() } },
    { ...view, members: [keyless, ...members] },
  ];
  for (const [i, made] of forged.entries()) {
    const message: Message = { kind: "layout-is", view: { ...made, version: view.version + 100 + i } };
    network.step(nodeId("Alnilam"), { kind: "messages", from: nodeId("Bellatrix"), messages: [message] });
    assert.equal(network.node("Alnilam").view().version, view.version, `Forgery ${i}`);
  }
  assert.match(network.refusal("Alnilam", get("star/1"), null), /^denied/);
  const open = new Network(THREE);
  open.settle();
  const closed: Message = { kind: "layout-is", view: { ...view, version: 500 } };
  open.step(nodeId("Alnilam"), { kind: "messages", from: nodeId("Bellatrix"), messages: [closed] });
  assert.equal(open.node("Alnilam").view().security, null);
});

Deno.test("An open network asks nobody who they are, and notes nothing for an audit log", () => {
  const network = new Network(THREE);
  network.settle();
  assert.equal(network.ask("Alnilam", put("k")).kind, "written");
  const drain: Op = { kind: "set-state", node: nodeId("Capella"), state: "draining", force: false };
  assert.equal(network.ask("Alnilam", drain).kind, "done");
  assert.deepEqual(audited(network), []);
  assert.match(
    refusalText(network.ask("Alnilam", { kind: "evict", node: nodeId("Bellatrix"), force: true })),
    /^conflict: The network is open/,
  );
});
