/** Holders of access keys with rights on one prefix, who want more. */
import assert from "node:assert/strict";
import { type LogIndex, nodeId, type PartitionId } from "../../core/base/ids.ts";
import { prefixEnd } from "../../core/base/bytes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { encodeMessages } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES } from "../../core/wire/framing.ts";
import type { Op, Request, Response } from "../../core/wire/requests.ts";
import type { Right } from "../../core/wire/security.ts";
import { connect } from "../../cli/client/client.ts";
import type { Profile } from "../../cli/client/profile.ts";
import { Credentials, makeAccessKey } from "../../cli/host/identity/access_key.ts";
import { type PrivateLives, withPrivate } from "../cli/host/life/private_lives.ts";
import { RequestError } from "../../cli/client/errors.ts";
import { text, until } from "../cli/support.ts";
import { right } from "../support/credentials.ts";
import { helloAs, inClients, Intruder } from "./attacks_tools.ts";

/** All nodes know soon, on a machine that is busy too: what puts a connection out is the news, and no time that passes. */
const PUT_OUT_MS_MAX = 20_000;
const bytes = (value: string) => new TextEncoder().encode(value);
const all = (prefix: string): Right => right(prefix, "rw");

async function accessTo({ operator, profile }: PrivateLives, ...rights: Right[]): Promise<Profile> {
  const { id, secret, publicKey } = makeAccessKey();
  await operator.setAccess({ id, publicKey, name: "limited", rights });
  return { ...profile, access: new Credentials({ id, secret }) };
}

/** Speaks the protocol itself, so that no client of ours refuses anything first. */
async function loggedIn(lives: PrivateLives, profile: Profile, node = "a"): Promise<Intruder> {
  const view = await lives.view(), { address } = await lives.nodes.get(node)!.ready;
  const authority = view.security!.keys.find(({ state }) => state === "current")!.authority;
  for (let tries = 0;; tries++) {
    const intruder = await Intruder.at(address, inClients(authority), (certificate) => {
      const random = crypto.getRandomValues(new Uint8Array(32)), access = profile.access!;
      const serverCertificate = certificate!.der;
      const signature = access.signLogIn({ network: view.network, serverCertificate, random });
      return helloAs({ proof: { kind: "access", id: access.id, random, signature } });
    });
    if (intruder.outcome === "accepted") return intruder;
    // The node has not heard of the key yet.
    assert(tries < 4, intruder.outcome);
    await new Promise((done) => setTimeout(done, 300));
  }
}

function assertDenied(answer: Response | null, what: string): void {
  assert(answer?.kind === "refused", `${what}: ${JSON.stringify(answer)}`);
  assert.equal(answer.reason, "denied", `${what}: ${answer.message}`);
}

Deno.test("attack: a limited key reaches past the borders of its prefix, by every operation that names a key", () =>
  withPrivate(["b"], async (lives) => {
    const { operator } = lives;
    for (const key of ["tea", "team", "team/", "team/x", "team0", "teb", "{team/}y", "\u{10ffff}"]) {
      await operator.put(key, "secret");
    }
    await operator.grant("lease", 60_000);
    await operator.put("leased", "secret", { lease: "lease" });
    const profile = await accessTo(lives, all("team/")), intruder = await loggedIn(lives, profile, "b");
    const end = prefixEnd("team/")!, read = "linearizable", stale = "stale", value = bytes("forged");
    const span = { limit: 10, reverse: false, keysOnly: true } as const;
    const expect = { kind: "value", value: bytes("secret") } as const;
    const put = { kind: "put", key: "team/{t}", value } as const;
    const tries: Op[] = [
      { kind: "get", key: "team", read },
      { kind: "get", key: "team0", read: stale },
      { kind: "get", key: "{team/}y", read },
      { kind: "history", key: "tea", read },
      { kind: "put", key: "team", value },
      { kind: "put", key: "team/x", value, lease: "lease" },
      { kind: "delete", key: "team0" },
      { kind: "cas", key: "teb", expect: { kind: "absent" }, value },
      { kind: "cas", key: "team/x", expect, value, lease: "lease" },
      { kind: "grant", lease: "lease", ttlMs: 1000 },
      { kind: "keep-alive", lease: "lease" },
      { kind: "revoke", lease: "lease" },
      { kind: "range", start: "", end: null, read, ...span },
      { kind: "range", start: "team/", end: null, read, ...span },
      { kind: "range", start: "team/", end: `${end}\0`, read, ...span },
      { kind: "range", start: "team", end, read: stale, ...span },
      { kind: "range", start: "team/", end: "\u{10ffff}", read, ...span, partition: 1 as PartitionId },
      { kind: "watch", start: "", end: null, from: [] },
      { kind: "watch", start: "team/", end: `${end}\0`, from: [[1 as PartitionId, 0 as LogIndex]] },
      { kind: "transact", conditions: [{ key: "{t}eb", expect }], then: [], otherwise: [] },
      { kind: "transact", conditions: [], then: [put], otherwise: [{ kind: "get", key: "{t}eb" }] },
      { kind: "transact", conditions: [], then: [put, { kind: "delete", key: "{t}eb" }], otherwise: [] },
      { kind: "transact", conditions: [], then: [{ ...put, lease: "{t}lease" }], otherwise: [] },
    ];
    for (const op of tries) assertDenied(await intruder.ask({ op }), JSON.stringify(op));
    // And up to the border it may.
    let own: readonly string[] = [];
    await until("an answer to what it may", async () => {
      const answer = await intruder.ask({ op: { kind: "range", start: "team/", end, read, ...span } });
      assert(answer?.kind !== "refused" || answer.reason !== "denied");
      if (answer?.kind === "values") own = answer.items.map(({ key }) => key);
      return answer?.kind === "values";
    });
    assert.deepEqual(own, ["team/", "team/x"]);
    await intruder.close();
    for (const key of ["tea", "team", "team0", "teb"]) {
      assert.equal(text((await operator.get(key))?.value), "secret", key);
    }
    assert.equal(text((await operator.get("leased"))?.value), "secret");
    const events = await operator.audit({ node: nodeId("b") });
    const noted = events.filter(({ who, outcome }) =>
      who === `key ${profile.access!.id}` && outcome.startsWith("denied")
    );
    assert(noted.length >= 1, "what it tried is noted");
  }));

Deno.test("attack: a limited key asks for what only members and operators may, and to pass on what others would deny it", () =>
  withPrivate(["b"], async (lives) => {
    const profile = await accessTo(lives, all("team/")), { members, security } = await lives.view();
    const operator = lives.profile.access!.id, own = profile.access!.id;
    const tries: Op[] = [
      { kind: "evict", node: nodeId("b"), force: true },
      { kind: "set-state", node: nodeId("b"), state: "removed", force: true },
      { kind: "set-address", node: nodeId("b"), address: "127.0.0.1:1" },
      { kind: "keys-rotate" },
      { kind: "key-made", id: 2, authority: new Uint8Array(40) },
      { kind: "key-status", node: nodeId("b"), holds: 1, uses: 1, statement: new Uint8Array(64) },
      { kind: "audit", limit: 10 },
      { kind: "join", member: { ...members[1]!, address: "127.0.0.1:1" }, network: null },
      {
        kind: "invite-add",
        invite: { id: "ab".repeat(8), hash: "cd".repeat(32), zone: null, expiresMs: 2 ** 50, uses: 9 },
        nowMs: 0,
      },
      { kind: "invite-drop", id: "ab".repeat(8) },
      { kind: "access-drop", id: operator },
      { kind: "access-drop", id: own },
      { kind: "access-drop", id: "SOAAAAAAAAAAAAAAAA" },
      { kind: "access-set", access: { ...security!.access[0]!, rights: [all("")] } },
      {
        kind: "access-set",
        access: { ...security!.access.find(({ id }) => id === own)!, rights: [all("")] },
      },
    ];
    const intruder = await loggedIn(lives, profile, "b");
    for (const op of tries) {
      for (
        const by of [undefined, { kind: "member", node: nodeId("a") }, {
          kind: "access",
          id: operator,
        }] as const
      ) {
        const request: Request = by === undefined ? { op } : { op, by };
        assertDenied(await intruder.ask(request), op.kind);
      }
    }
    // As a peer would have it passed on.
    const request: Request = { op: { kind: "keys-rotate" }, by: { kind: "access", id: operator } };
    intruder.say(encodeMessages([{ kind: "forward", id: 1, hops: 1, request }], FRAME_HEADER_BYTES));
    await until("it to be put out", () => Promise.resolve(intruder.closed !== null));
    const after = await lives.view();
    assert.equal(after.security!.keys.length, 1);
    assert.deepEqual(after.security!.invites, security!.invites);
    assert.deepEqual(after.members.map(({ id, state }) => `${id} ${state}`), ["a active", "b active"]);
  }));

Deno.test("attack: a limited key looks for what others have: nothing that is answered names their prefixes or keys", () =>
  withPrivate(["b"], async (lives) => {
    const administrator = await accessTo(lives, { prefix: "team/", read: true, write: true, admin: true });
    const profile = await accessTo(lives, all("team/public/"));
    const other = await accessTo(lives, all("zanzibar/"), all("team/private/"));
    const otherId = other.access!.id,
      publicKey = (await lives.view()).security!.access.find(({ id }) => id === otherId)!.publicKey;
    const token = await lives.token();
    for (const asking of [profile, administrator]) {
      const intruder = await loggedIn(lives, asking);
      const answers: (Response | null)[] = [];
      for (
        const op of [
          { kind: "layout" },
          { kind: "members" },
          { kind: "status" },
          { kind: "access-drop", id: otherId },
          { kind: "access-drop", id: "SOAAAAAAAAAAAAAAAA" },
          { kind: "access-set", access: { id: otherId, publicKey, name: "", rights: [all("team/public/")] } },
          {
            kind: "range",
            start: "zanzibas",
            end: null,
            limit: 1,
            read: "stale",
            reverse: true,
            keysOnly: true,
          },
        ] as Op[]
      ) answers.push(await intruder.ask({ op }));
      const said = JSON.stringify(answers);
      assert(!said.includes("zanzibar"), "a prefix");
      assert(!said.includes("private"), "a prefix");
      assert(!said.includes(publicKey), "a key");
      assert(!said.includes(token.id), "an invite");
      const [known, unknown] = [answers[3], answers[4]].map((answer) => {
        assert(answer?.kind === "refused");
        return answer.message.replace(/"SO[A-Z2-7]{16}" may not change or drop "SO[A-Z2-7]{16}"/, "…");
      });
      assert.equal(known, unknown, "whether there is such a key is not told either");
      await intruder.close();
    }
    assert((await lives.view()).security!.access.some(({ id }) => id === otherId));
  }));

Deno.test("attack: who administers a prefix makes keys that have more than it has, and takes over others", () =>
  withPrivate([], async (lives) => {
    const profile = await accessTo(lives, { prefix: "team/", read: true, write: false, admin: true });
    const own = profile.access!.id, intruder = await loggedIn(lives, profile);
    const { publicKey } = makeAccessKey(), id = "SOAAAAAAAAAAAAAAAA";
    const set = (access: { id: string; rights: Right[] }): Op => ({
      kind: "access-set",
      access: { publicKey, name: "", ...access },
    });
    for (
      const rights of [
        [right("", "a")],
        [right("team", "r")],
        [right("team/x", "w")],
        [right("team/", "rwa")],
        [right("team/x", "r"), right("", "r")],
      ]
    ) {
      assertDenied(await intruder.ask({ op: set({ id, rights }) }), "a new key");
      assertDenied(await intruder.ask({ op: set({ id: own, rights }) }), "its own");
    }
    // Another public part under its own id, or one of its rights of before and one it made: as far as it may.
    const replaced = await intruder.ask({ op: set({ id: own, rights: [right("team/", "ra")] }) });
    assert(replaced?.kind === "refused" && replaced.reason === "conflict");
    assert.equal((await intruder.ask({ op: set({ id, rights: [right("team/x", "r")] }) }))?.kind, "done");
    await intruder.close();
  }));

Deno.test("attack: access keys as large as they may be are made until there is no room, and the network goes on", () =>
  withPrivate(["b"], async (lives) => {
    const made = new Set<string>();
    let refused: unknown = null;
    for (let tries = 0; refused === null && tries < 1000; tries++) {
      const { id, publicKey } = makeAccessKey();
      const rights = Array.from(
        { length: LIMITS.rightsMax },
        (_, i) => all(`${String(i).padStart(4, "0")}${"x".repeat(LIMITS.keyBytesMax - 4)}`),
      );
      await lives.operator.setAccess({ id, publicKey, name: "n".repeat(LIMITS.accessNameBytesMax), rights })
        .then(() => made.add(id), (error) => {
          // The leader is another now: a machine that is busy is late for its peers.
          if (!(error instanceof RequestError && error.reason === "unsure")) refused = error;
        });
    }
    assert.match(String(refused), /accessBytesMax|accessKeysMax/);
    assert(made.size > 0);
    await until("b to have them all", async () => {
      const client = await lives.as(lives.profile, [(await lives.nodes.get("b")!.ready).address]);
      const there = new Set((await client.layout()).view.security!.access.map(({ id }) => id));
      return made.isSubsetOf(there);
    });
    await lives.operator.put("still", "served");
    const profile = await lives.token();
    assert.equal(profile.id.length, 16, "and invites are made");
  }));

Deno.test("attack: a key is used as fast as can be while it is revoked: once that is known, nothing more is done", () =>
  withPrivate(["b", "c"], async (lives) => {
    const profile = await accessTo(lives, all("race/"));
    const intruders = await Promise.all(["a", "b", "c"].map((node) => loggedIn(lives, profile, node)));
    let stopped = false;
    const last: number[] = [];
    const flood = intruders.map(async (intruder, n) => {
      for (let i = 0; !stopped; i++) {
        const answer = await intruder.ask({ op: { kind: "put", key: `race/${n}`, value: bytes(String(i)) } });
        if (answer === null) return;
        if (answer.kind === "written") last[n] = i;
      }
    });
    await until("all to write", () => Promise.resolve(last.filter((i) => i > 10).length === 3));
    await lives.operator.dropAccess(profile.access!.id);
    const began = performance.now();
    await until("all to be put out", () => Promise.resolve(intruders.every(({ closed }) => closed !== null)));
    const ms = performance.now() - began;
    assert(ms < PUT_OUT_MS_MAX, `it took ${ms} ms`);
    stopped = true;
    await Promise.all(flood);
    const there = async () => {
      const found: (string | null)[] = [];
      for (let n = 0; n < 3; n++) found.push(text((await lives.operator.get(`race/${n}`))?.value));
      return found;
    };
    const found = await there();
    await new Promise((done) => setTimeout(done, 1000));
    assert.deepEqual(await there(), found);
    await assert.rejects(connect({ profile, timeoutMs: 2000 }), /does not let it in/);
  }));
