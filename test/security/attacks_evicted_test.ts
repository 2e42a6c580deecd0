/** A member that was evicted, and kept all that it knew: keys, certificates, who the members are and where. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { nodeId } from "../../core/base/ids.ts";
import { encodeMessages } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES } from "../../core/wire/framing.ts";
import type { Op } from "../../core/wire/requests.ts";
import { encodeSecrets } from "../../core/wire/session.ts";
import { type Client, connect } from "../../cli/client/client.ts";
import type { Profile } from "../../cli/client/profile.ts";
import { authorityAnswer } from "../../cli/host/credentials.ts";
import { certificatePem, fingerprint } from "../../cli/host/identity/certificates.ts";
import { newSeed } from "../../cli/host/identity/ed25519.ts";
import { Keyring } from "../../cli/host/identity/keyring.ts";
import { parseToken } from "../../cli/host/identity/token.ts";
import { makeInvite } from "../../cli/invites.ts";
import { generation, NETWORK } from "../cli/identity/support.ts";
import { ownCertificate } from "../../cli/host/tls.ts";
import { keysOf, type PrivateLives, withPrivate } from "../cli/host/life/private_lives.ts";
import { text, until } from "../cli/support.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import { forged, helloAs, Impostor, inClients, Intruder, joinerHello } from "./attacks_tools.ts";

interface Evicted {
  readonly lives: PrivateLives;
  /** What "c" had in its keyring when it was evicted. */
  readonly stolen: Keyring;
  readonly address: string;
  /** As a client had it that last spoke to the network before. */
  readonly before: Profile;
}

/** "c" is evicted, and its process taken down; "a" and "b" go on. */
async function withEvicted(use: (scene: Evicted) => Promise<void>): Promise<void> {
  await withPrivate(["b", "c"], async (lives) => {
    let before = lives.profile;
    using watcher = await connect({ profile: before, profileChanged: (profile) => before = profile });
    await watcher.layout();
    const then = before;
    await lives.nodes.get("c")!.stop();
    const stolen = Keyring.open({ directory: join(lives.directory, "c") });
    await lives.operator.evict(nodeId("c"), { force: true });
    await until("new keys, without c", async () => keysOf(await lives.view()).endsWith("2:current"));
    const { address } = await lives.nodes.get("b")!.ready;
    await use({ lives, stolen, address, before: then });
  });
}

/** The authorities that a node may show a certificate by: it renews its own a little after new keys are current. */
const listed = ({ security }: SystemView) => security!.keys.map(({ authority }) => authority);

Deno.test("attack: an evicted member shows its own certificate, and ones that it made for others' names", () =>
  withEvicted(async ({ lives, stolen, address }) => {
    const view = await lives.view(), { network } = view;
    const own = ownCertificate(stolen.privateKeyPem(), stolen.certificates[0]!.der);
    const authorities = view.security!.keys.map(({ authority }) => certificatePem(authority));
    const as = (node: string) =>
      helloAs({ role: "peer", network, node: nodeId(node), address: "127.0.0.1:1" });
    const member = { preamble: "member", authorities } as const;
    const tries = [
      await Intruder.at(address, { ...member, own }, () => as("c")),
      await Intruder.at(address, { ...member, own }, () => as("a")),
      await Intruder.at(address, { ...member, own }, () => helloAs({ network })),
      await Intruder.at(address, { ...member, own: await forged(stolen, { node: "a" }) }, () => as("a")),
      await Intruder.at(address, { ...member, own: await forged(stolen, { node: "d" }) }, () => as("d")),
      await Intruder.at(
        address,
        { ...member, own: await forged(stolen, { node: "a" }) },
        () => helloAs({ network }),
      ),
    ];
    for (const [i, intruder] of tries.entries()) {
      // By name as long as the former authority is listed, as a stranger after.
      assert(/^(evicted|impostor|unknown|closed: )/.test(intruder.outcome), `${i}: ${intruder.outcome}`);
      // Nothing that it says is heard all the same.
      intruder.say(encodeMessages([{ kind: "key-get", ids: [2] }], FRAME_HEADER_BYTES));
      intruder.say(
        encodeMessages([{ kind: "layout-is", view: { ...view, version: 9_999_999 } }], FRAME_HEADER_BYTES),
      );
      intruder.say(encodeSecrets([{ id: 2, secret: new Uint8Array(32) }], FRAME_HEADER_BYTES));
      assert.equal(await intruder.ask({ op: { kind: "layout" } }), null);
      assert.equal(intruder.heard.length, 0);
      await intruder.close();
    }
    const after = await lives.view();
    assert.equal(after.members.find(({ id }) => id === "c")!.state, "evicted");
    assert(after.version < 9_999_999);
    await lives.operator.put("still", "served");
  }));

Deno.test("attack: an evicted member comes with invites of before, and with a new one but its old key", () =>
  withPrivate(["b", "c"], async (lives) => {
    const old = await lives.token({ uses: 10 }), { address } = await lives.nodes.get("b")!.ready;
    await lives.nodes.get("c")!.stop();
    const stolen = Keyring.open({ directory: join(lives.directory, "c") });
    await lives.operator.evict(nodeId("c"), { force: true });
    await until("new keys, without c", async () => keysOf(await lives.view()).endsWith("2:current"));
    const view = await lives.view(), secure = inClients(...listed(view));
    const join1: Op = {
      kind: "join",
      network: null,
      member: {
        ...view.members.find(({ id }) => id === "c")!,
        id: nodeId("c2"),
        disk: "dd".repeat(8),
        state: "joining",
      },
    };
    const again = await Intruder.at(address, secure, joinerHello(old, newSeed()));
    const answer = await again.ask({ op: { kind: "layout" } });
    assert(
      answer === null || (answer.kind === "refused" && answer.reason === "denied"),
      "its invite is void",
    );
    await again.close();

    const token = await lives.token();
    await until("b to know of it", async () => {
      const member = await lives.as(lives.profile, [address]);
      return (await member.layout()).view.security!.invites.some(({ id }) => id === token.id);
    });
    const evicted = await Intruder.at(address, secure, joinerHello(token, newSeed()));
    const wrong = await evicted.ask({ op: join1 });
    assert(
      wrong?.kind === "refused" && wrong.reason === "denied",
      "it shows the old key, and proved another",
    );
    await evicted.close();
    await Deno.mkdir(join(lives.directory, "c2"));
    await Deno.copyFile(
      join(lives.directory, "c", "keyring.json"),
      join(lives.directory, "c2", "keyring.json"),
    );
    await assert.rejects(lives.start("c2", { open: false, token }).then((node) => node.ready), /evicted/);
    const { invites } = (await lives.view()).security!;
    assert.equal(invites.find(({ id }) => id === token.id)!.uses, 1, "the invite is as good as before");
    assert.equal(stolen.has(2), false);
  }));

Deno.test("attack: an evicted member is in between when somebody joins: new tokens name no authority that it has", () =>
  withEvicted(async ({ lives, stolen }) => {
    const view = await lives.view(), own = await forged(stolen, { node: "a" });
    await using impostor = await Impostor.with({ answer: authorityAnswer(view), own });
    const token = await lives.token({ addresses: [impostor.address] });
    const known = stolen.generations.map(({ authority }) => fingerprint(authority));
    assert(!token.fingerprints.some((each) => known.includes(each)));
    const node = await lives.start("d", { open: false, token });
    const outcome = await Promise.race([
      node.ready.then(() => "joined", (error: Error) => error.message),
      new Promise<string>((done) => setTimeout(() => done("waiting"), 4000)),
    ]);
    assert.notEqual(outcome, "joined");
    assert.deepEqual(impostor.hellos, [], "it was told no secret");
    await node.stop();
    assert.deepEqual((await lives.view()).members.map(({ id }) => id), ["a", "b", "c"]);
  }));

Deno.test("a token names the authorities of now and of soon, and no former one, though members still show it", async () => {
  const generations = await Promise.all([1, 2, 3].map((id) => generation({ id })));
  const states = ["former", "current", "made"] as const;
  const keys = generations.map(({ id, authority }, i) => ({ id, authority, state: states[i]! }));
  const view = { network: NETWORK, members: [], security: { keys, access: [], invites: [] } };
  const client = {
    layout: () => Promise.resolve({ view, leaders: [] }),
    addInvite: () => Promise.resolve(1),
  };
  const { token } = await makeInvite(client as unknown as Client, {
    ttlMs: 1000,
    uses: 1,
    zone: null,
    addresses: ["127.0.0.1:1"],
  });
  const named = generations.filter(({ authority }) =>
    parseToken(token).fingerprints.includes(fingerprint(authority))
  );
  assert.deepEqual(named.map(({ id }) => id), [2, 3]);
});

Deno.test("attack: an evicted member poses as a node: a client that has spoken to the network since tells it nothing", () =>
  withEvicted(async ({ lives, stolen, before }) => {
    let profile = before;
    using client = await connect({ profile: before, profileChanged: (next) => profile = next });
    await client.layout();
    await until("the profile to follow", () => Promise.resolve(profile !== before));
    assert.deepEqual(profile.authorities.map(({ generation }) => generation), [2]);
    assert(!profile.members.some(({ key }) => key === stolen.publicKey));
    const own = ownCertificate(stolen.privateKeyPem(), stolen.certificates[0]!.der);
    // It tells of the new authority, which it has from anyone, and of one of its own with the votes that it can make up.
    await using impostor = await Impostor.with({ answer: authorityAnswer(await lives.view()), own });
    await assert.rejects(connect({ profile, addresses: [impostor.address], timeoutMs: 2000 }));
    assert.deepEqual(impostor.hellos, []);
    assert.equal(text((await client.get("nothing"))?.value), text(undefined));
  }));

Deno.test("attack: an evicted member poses as a node to a client of before, at an address that the client's profile names", () =>
  withEvicted(async ({ lives, stolen, before }) => {
    const own = ownCertificate(stolen.privateKeyPem(), stolen.certificates[0]!.der);
    const { authority } = stolen.generations[0]!;
    // As if nothing had happened.
    const answer = { network: before.network, open: false, authorities: [authority], statements: [] };
    await using impostor = await Impostor.with({ answer, own });
    assert.deepEqual(before.authorities.map(({ generation }) => generation), [1]);
    const addresses = [impostor.address, ...before.addresses];
    for (
      const options of [
        { profile: { ...before, addresses } },
        { profile: before, addresses: [impostor.address, before.addresses[0]!] },
      ]
    ) {
      using client = await connect({ ...options, timeoutMs: 10_000 });
      await client.put("told", "to a member");
      assert.notEqual(client.home, "impostor");
    }
    // Also where it is asked for by name: the others are listened to all the same.
    await assert.rejects(connect({ profile: before, addresses: [impostor.address], timeoutMs: 1000 }));
    assert.deepEqual(impostor.hellos, []);
    assert.equal(text((await lives.operator.get("told"))?.value), "to a member");
  }));

Deno.test("attack: a log-in that an evicted member was shown by a client of before lets it in nowhere", () =>
  withEvicted(async ({ lives, stolen, address, before }) => {
    const { access, network } = before, view = await lives.view();
    const der = stolen.certificates[0]!.der, random = crypto.getRandomValues(new Uint8Array(32));
    const signature = access!.signLogIn({ network, serverCertificate: der, random });
    const thief = await Intruder.at(
      address,
      inClients(...listed(view)),
      () => helloAs({ proof: { kind: "access", id: access!.id, random, signature } }),
    );
    assert.equal(thief.outcome, "denied");
    await thief.close();
    await lives.operator.put("still", "served");
  }));
