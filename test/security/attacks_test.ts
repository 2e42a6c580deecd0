/** Strangers on the network, and holders of invites that are good for nothing: what they try, and what comes of it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import tls from "node:tls";
import net from "node:net";
import { nodeId } from "../../core/base/ids.ts";
import { encodeMessages, encodeRequests } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES } from "../../core/wire/framing.ts";
import type { Member, SystemView } from "../../core/wire/messages.ts";
import type { NodeStatus, Op } from "../../core/wire/requests.ts";
import { encodeSecrets, PREAMBLE } from "../../core/wire/session.ts";
import { Credentials, makeAccessKey } from "../../cli/host/identity/access_key.ts";
import { certificatePem } from "../../cli/host/identity/certificates.ts";
import { newSeed, publicKeyOfSeed } from "../../cli/host/identity/ed25519.ts";
import { Keyring } from "../../cli/host/identity/keyring.ts";
import { networkOf } from "../../cli/host/log_in.ts";
import { connectTo, parseAddress } from "../../cli/host/socket.ts";
import { Carrier } from "../../cli/host/tls_stream.ts";
import { dialTls } from "../../cli/host/tls.ts";
import { type PrivateLives, withPrivate } from "../cli/host/life/private_lives.ts";
import { text, until } from "../cli/support.ts";
import {
  forged,
  helloAs,
  Impostor,
  inClients,
  Intruder,
  joinerHello,
  withJunkBehind,
} from "./attacks_tools.ts";

async function addressOf({ nodes }: PrivateLives, id: string): Promise<string> {
  return (await nodes.get(id)!.ready).address;
}

function counted(status: NodeStatus, name: RegExp): number {
  return status.counters.reduce((sum, [each, value]) => sum + (name.test(each) ? value : 0), 0);
}

function lastOfSystem({ replicas }: NodeStatus): number {
  return replicas.find(({ partition }) => partition === 0)!.last;
}

function authorityOf({ security }: SystemView): Uint8Array {
  return security!.keys.find(({ state }) => state === "current")!.authority;
}

function joinOf(view: SystemView, id: string, key: string): Op {
  const statement = new Uint8Array(0);
  const member: Member = {
    ...view.members[0]!,
    id: nodeId(id),
    disk: "ee".repeat(8),
    address: "127.0.0.1:1",
  };
  return {
    kind: "join",
    network: null,
    member: { ...member, state: "joining", identity: { key, holds: 0, uses: 0, statement } },
  };
}

Deno.test("attack: a stranger says hello in the clear, without a proof, as a peer, with certificates of its own making", () =>
  withPrivate([], async (lives) => {
    const address = await addressOf(lives, "a"), view = await lives.view();
    const network = view.network, own = await ownAuthority(lives, network);
    const peer = helloAs({ role: "peer", network, node: nodeId("a2"), address: "127.0.0.1:9" });
    const client = inClients(authorityOf(view)), authorities = client.authorities;
    const tries: readonly [string, Intruder][] = [
      ["in the clear", await Intruder.at(address, null, () => helloAs({ network }))],
      ["in the clear, as a peer", await Intruder.at(address, null, () => peer)],
      ["without a proof", await Intruder.at(address, client, () => helloAs({ network }))],
      ["as a peer without a certificate", await Intruder.at(address, client, () => peer)],
      [
        "as a member without a certificate",
        await Intruder.at(address, { ...client, preamble: "member" }, () => peer),
      ],
      [
        "with a certificate of its own authority",
        await Intruder.at(address, { preamble: "member", own, authorities }, () => peer),
      ],
    ];
    for (const [how, intruder] of tries) {
      assert(/^(denied|closed: )/.test(intruder.outcome), `${how}: ${intruder.outcome}`);
      assert.equal(await intruder.ask({ op: { kind: "layout" } }), null, how);
      await intruder.close();
    }
    const status = await lives.operator.status();
    assert(counted(status, /^hellos refused: denied$/) >= 4, "each is counted");
    assert(counted(status, /^TLS handshakes failed$/) >= 1);
    await lives.operator.put("still", "served");
  }));

/** As an authority of this network and of another one that the stranger has. */
async function ownAuthority(lives: PrivateLives, network: string) {
  const directory = join(lives.directory, "stranger");
  await Deno.mkdir(directory);
  const { issueAuthority } = await import("../../cli/host/identity/issuing.ts");
  const secret = newSeed(), now = Date.now();
  const keyring = Keyring.create({ directory, network, disk: "ff".repeat(8) });
  const authority = await issueAuthority({ network, generation: 1, secret, now });
  keyring.addGeneration({ id: 1, state: "current", secret, authority });
  return await forged(keyring, { node: "a2" });
}

Deno.test("attack: a client speaks as members do, with messages and secrets, and is put out", () =>
  withPrivate([], async (lives) => {
    const address = await addressOf(lives, "a"), view = await lives.view();
    const { id } = lives.profile.access!;
    const hello = (random = crypto.getRandomValues(new Uint8Array(32))) =>
      Intruder.at(address, inClients(authorityOf(view)), (certificate) => {
        const signature = lives.profile.access!.signLogIn({
          network: view.network,
          serverCertificate: certificate!.der,
          random,
        });
        return helloAs({ proof: { kind: "access", id, random, signature } });
      });
    const forgedView: SystemView = {
      ...view,
      version: 1_000_000,
      security: { ...view.security!, access: [] },
    };
    const messages = encodeMessages([{ kind: "layout-is", view: forgedView }], FRAME_HEADER_BYTES);
    const secrets = encodeSecrets([{ id: 2, secret: new Uint8Array(32) }], FRAME_HEADER_BYTES);
    for (const payload of [messages, secrets]) {
      const client = await hello();
      assert.equal(client.outcome, "accepted");
      client.say(payload);
      await until("it to be put out", () => Promise.resolve(client.closed !== null));
    }
    assert.equal((await lives.view()).version < 1_000_000, true);
    await lives.operator.put("still", "served");
  }));

Deno.test("attack: what a node signed up for once is shown to another node: a log-in is good for one server only", () =>
  withPrivate(["b"], async (lives) => {
    const view = await lives.view(), [a, b] = [await addressOf(lives, "a"), await addressOf(lives, "b")];
    const { id } = lives.profile.access!, random = new Uint8Array(32).fill(5);
    let shown: Uint8Array | null = null;
    const secure = inClients(authorityOf(view));
    const first = await Intruder.at(a, secure, (certificate) => {
      shown = certificate!.der;
      return helloAs({});
    });
    await first.close();
    const signature = lives.profile.access!.signLogIn({
      network: view.network,
      serverCertificate: shown!,
      random,
    });
    const again = await Intruder.at(
      b,
      secure,
      () => helloAs({ proof: { kind: "access", id, random, signature } }),
    );
    assert.equal(again.outcome, "denied");
    await again.close();
    const there = await Intruder.at(
      a,
      secure,
      () => helloAs({ proof: { kind: "access", id, random, signature } }),
    );
    assert.equal(there.outcome, "accepted", "the proof itself is right");
    await there.close();
  }));

Deno.test("attack: who fails on purpose in another's name, from its very address, keeps it out nowhere", () =>
  withPrivate([], async (lives) => {
    const address = await addressOf(lives, "a"), view = await lives.view();
    const { id } = lives.profile.access!;
    const outcomes: string[] = [];
    for (let i = 0; i < 12; i++) {
      const random = crypto.getRandomValues(new Uint8Array(32)), signature = new Uint8Array(64).fill(i);
      const thief = await Intruder.at(
        address,
        inClients(authorityOf(view)),
        () => helloAs({ proof: { kind: "access", id, random, signature } }),
      );
      outcomes.push(thief.outcome);
      await thief.close();
    }
    assert.deepEqual(outcomes.slice(0, 5), Array(5).fill("denied"));
    assert(outcomes.slice(5).every((each) => each === "limited"), outcomes.join(" "));
    const victim = await lives.as(lives.profile);
    await victim.put("still", "served");
    const events = (await victim.audit({})).filter(({ what }) => what === "log in");
    assert.equal(events.length, 5, "the audit log is not filled by who fails again and again");
    assert.equal(counted(await victim.status(), /^log-ins refused: limited$/), 7);
    await lives.operator.put("and", "so is who was here");
    const wrong = { ...lives.profile, access: new Credentials({ ...makeAccessKey(), id }) };
    await assert.rejects(lives.as(wrong), /too many wrong log-ins|does not let it in/);
  }));

Deno.test("networkOf() takes all IPv6 addresses of one subscriber for one, and an IPv4 address for itself", () => {
  for (
    const [host, network] of [
      ["192.0.2.7", "192.0.2.7"],
      ["::ffff:192.0.2.7", "192.0.2.7"],
      ["::1", "0:0:0:0::/64"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:0db8:1:2::9", "2001:db8:1:2::/64"],
      ["2001:db8::9", "2001:db8:0:0::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
      ["?", "?"],
    ] as const
  ) assert.equal(networkOf(host), network, host);
});

Deno.test("attack: invites that were made up let nobody ask anything, and get no word into the log", () =>
  withPrivate(["b"], async (lives) => {
    const address = await addressOf(lives, "b"), view = await lives.view();
    const before = lastOfSystem(await lives.operator.status(nodeId("a")));
    const outcomes: string[] = [];
    for (let i = 0; i < 8; i++) {
      const seed = newSeed(),
        token = { id: "ab".repeat(8), secret: new Uint8Array(16).fill(i), network: view.network };
      const stranger = await Intruder.at(address, inClients(authorityOf(view)), joinerHello(token, seed));
      outcomes.push(stranger.outcome);
      if (stranger.outcome === "accepted") {
        for (const op of [{ kind: "layout" }, { kind: "status" }, { kind: "members" }] as Op[]) {
          const answer = await stranger.ask({ op });
          assert(answer?.kind === "refused" && answer.reason === "denied", op.kind);
        }
        for (let j = 0; j < 20; j++) {
          const answer = await stranger.ask({ op: joinOf(view, "stranger", publicKeyOfSeed(seed)) });
          assert(answer?.kind === "refused" && answer.reason === "denied");
          assert.match(answer.message, /No invite is named/);
        }
        // Nor with a key that it has not shown.
        const answer = await stranger.ask({ op: joinOf(view, "stranger", "ab".repeat(32)) });
        assert(answer?.kind === "refused" && answer.reason === "denied");
      }
      await stranger.close();
    }
    assert.deepEqual(outcomes.slice(5), ["limited", "limited", "limited"]);
    const after = lastOfSystem(await lives.operator.status(nodeId("a")));
    assert(after - before <= 5, `${after - before} entries for 105 requests of strangers`);
    assert.deepEqual((await lives.view()).members.map(({ id }) => id), ["a", "b"]);
  }));

Deno.test("attack: the holder of a used token asks again and again, and gets no word into the log", () =>
  withPrivate([], async (lives) => {
    const token = await lives.token(), view = await lives.view(), address = await addressOf(lives, "a");
    await lives.join("b", { token });
    await until("b to be active", async () => {
      const { members } = await lives.view();
      return members.find(({ id }) => id === "b")?.state === "active";
    });
    await until("the log to rest", async () => {
      const one = lastOfSystem(await lives.operator.status(nodeId("a")));
      await new Promise((done) => setTimeout(done, 1000));
      return one === lastOfSystem(await lives.operator.status(nodeId("a")));
    });
    const before = lastOfSystem(await lives.operator.status(nodeId("a")));
    const seed = newSeed();
    const thief = await Intruder.at(address, inClients(authorityOf(view)), joinerHello(token, seed));
    assert.equal(thief.outcome, "accepted");
    for (let i = 0; i < 50; i++) {
      const answer = await thief.ask({ op: joinOf(view, "thief", publicKeyOfSeed(seed)) });
      assert(answer?.kind === "refused" && answer.reason === "denied");
      assert.match(answer.message, /is used up/);
    }
    // What it may see of the network names nobody's rights, and nothing but what a joiner has to know.
    const layout = await thief.ask({ op: { kind: "layout" } });
    assert(layout?.kind === "layout");
    assert.deepEqual([layout.view.security!.access, layout.view.security!.invites], [[], []]);
    for (const op of [{ kind: "get", key: "k", read: "stale" }, { kind: "audit", limit: 1 }] as Op[]) {
      const answer = await thief.ask({ op });
      assert(answer?.kind === "refused" && answer.reason === "denied");
    }
    await lives.operator.dropInvite(token.id);
    const dropped = await thief.ask({ op: { kind: "layout" } });
    assert(dropped?.kind === "refused" && dropped.reason === "denied");
    await thief.close();
    const after = lastOfSystem(await lives.operator.status(nodeId("a")));
    assert(after - before <= 3, `${after - before} entries`);
    const events = await lives.operator.audit({});
    assert(
      events.some(({ who, what, outcome }) =>
        who === `invite ${token.id}` && what.startsWith("join") && outcome.startsWith("denied")
      ),
    );
  }));

Deno.test("attack: who can make certificates sends bytes that are none behind a good one, and ends nobody by it", () =>
  withPrivate([], async (lives) => {
    const keyring = Keyring.open({ directory: join(lives.directory, "a") });
    const { authority } = keyring.generations[0]!, address = await addressOf(lives, "a");
    const good = await forged(keyring, { node: "b" });
    const answer = { network: keyring.network, open: false, authorities: [authority], statements: [] };
    for (const junk of [Uint8Array.of(1, 2, 3), new Uint8Array(100).fill(0x30), new Uint8Array(0)]) {
      const own = withJunkBehind(good, junk);
      await using impostor = await Impostor.with({ answer, own });
      // Who dials it.
      const dialled = Promise.withResolvers<string>();
      const socket = connectTo(impostor.address, inClients(authority), {
        connected: (certificate) => dialled.resolve(certificate!.node),
        frames: () => {},
        closed: (why) => dialled.resolve(why),
      });
      assert.equal(await dialled.promise, "b");
      socket.destroy();
      // Whom it dials.
      const peer = helloAs({
        role: "peer",
        network: keyring.network,
        node: nodeId("b"),
        address: impostor.address,
      });
      const secure = { preamble: "member", own, authorities: [certificatePem(authority)] } as const;
      const intruder = await Intruder.at(address, secure, () => peer);
      assert.equal(intruder.outcome, "unknown");
      await intruder.close();
    }
    await lives.operator.put("still", "served");
  }));

Deno.test("attack: older versions of TLS are not spoken", () =>
  withPrivate([], async (lives) => {
    const { host, port } = parseAddress(await addressOf(lives, "a"));
    const authority = certificatePem(authorityOf(await lives.view()));
    const raw = net.connect({ host, port });
    raw.write(PREAMBLE.client);
    const outcome = await new Promise<string>((resolve) => {
      const old = tls.connect({
        socket: raw,
        maxVersion: "TLSv1.2",
        ca: [authority],
        servername: "member.space-opera",
        checkServerIdentity: () => undefined,
      });
      old.on("secureConnect", () => resolve(`connected with ${old.getProtocol()}`));
      old.on("error", (error) => resolve(`refused: ${error.message}`));
      old.on("close", () => resolve("closed"));
    });
    assert(!outcome.startsWith("connected"), outcome);
    for (let i = 0; i < 2; i++) {
      const socket = net.connect({ host, port });
      socket.write(PREAMBLE.client);
      const stream = dialTls(new Carrier(socket), { authorities: [authority], own: null });
      await new Promise((done) => stream.on("secureConnect", done));
      assert.equal(stream.getProtocol(), "TLSv1.3");
      assert.equal(stream.isSessionReused(), false);
      stream.destroy();
    }
  }));

Deno.test({
  name: "attack: a TLS session of a client is taken up as a member's, and one of a member without its key",
  ignore: !(await hasOpenssl()),
  fn: () =>
    withPrivate(["b"], async (lives) => {
      const { host, port } = parseAddress(await addressOf(lives, "a")), { directory } = lives;
      const keyring = Keyring.open({ directory: join(directory, "b") });
      await Deno.writeTextFile(join(directory, "ca"), certificatePem(authorityOf(await lives.view())));
      await Deno.writeTextFile(join(directory, "key"), keyring.privateKeyPem());
      await Deno.writeTextFile(join(directory, "cert"), certificatePem(keyring.certificates[0]!.der));
      const refused = async () =>
        counted(await lives.operator.status(nodeId("a")), /^connections refused: TLS session/);
      const through = async (preamble: string, ...args: string[]) => {
        await using relay = await Prefixed.to({ host, port }, preamble);
        return await openssl(directory, relay.port, args);
      };
      assert.match(await through(PREAMBLE.client, "-sess_out", "c"), /New, TLSv1\.3/);
      const member = ["-cert", "cert", "-key", "key"];
      assert.match(await through(PREAMBLE.member, "-sess_out", "m", ...member), /New, TLSv1\.3/);
      assert.equal(await refused(), 0);
      const tries = [[PREAMBLE.member, "c"], [PREAMBLE.member, "m"], [PREAMBLE.client, "c"]] as const;
      for (const [i, [preamble, session]] of tries.entries()) {
        const said = await through(preamble, "-sess_in", session);
        // A runtime that takes up none has nothing to refuse.
        if (/Reused, TLSv1\.3/.test(said)) assert.equal(await refused(), i + 1, said);
        else assert.doesNotMatch(said, /Reused/);
      }
      await lives.operator.put("still", "served");
    }),
});

async function hasOpenssl(): Promise<boolean> {
  try {
    return (await new Deno.Command("openssl", { args: ["version"], stdout: "null", stderr: "null" }).output())
      .success;
  } catch {
    return false;
  }
}

/** What OpenSSL says of a connection that it holds for a second. */
async function openssl(directory: string, port: number, args: readonly string[]): Promise<string> {
  const process = new Deno.Command("openssl", {
    args: [
      ...["s_client", "-connect", `127.0.0.1:${port}`, "-CAfile", "ca", "-servername", "member.space-opera"],
      ...["-tls1_3", ...args],
    ],
    cwd: directory,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = process.output();
  await new Promise((done) => setTimeout(done, 1000));
  await process.stdin.close();
  const { stdout, stderr } = await output;
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

/** Passes on what it gets, behind a preamble. */
class Prefixed implements AsyncDisposable {
  readonly port: number;
  readonly #server: net.Server;

  private constructor(server: net.Server) {
    this.#server = server;
    this.port = (server.address() as net.AddressInfo).port;
  }

  static async to(target: { host: string; port: number }, preamble: string): Promise<Prefixed> {
    const server = net.createServer((near) => {
      const far = net.connect(target);
      far.write(preamble);
      near.pipe(far);
      far.pipe(near);
      for (const [one, other] of [[near, far], [far, near]] as const) {
        one.on("error", () => other.destroy());
        one.on("close", () => other.destroy());
      }
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return new Prefixed(server);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((done) => this.#server.close(() => done()));
  }
}

Deno.test("attack: an answer that was asked for by another client, and requests in its name, go to nobody else", () =>
  withPrivate([], async (lives) => {
    const address = await addressOf(lives, "a"), view = await lives.view();
    await lives.operator.put("ours", "x");
    const { id, secret, publicKey } = makeAccessKey();
    const rights = [{ prefix: "theirs/", read: true, write: true, admin: false }];
    await lives.operator.setAccess({ id, publicKey, name: "limited", rights });
    const access = new Credentials({ id, secret });
    const thief = await Intruder.at(address, inClients(authorityOf(view)), (certificate) => {
      const random = new Uint8Array(32);
      const signature = access.signLogIn({
        network: view.network,
        serverCertificate: certificate!.der,
        random,
      });
      return helloAs({ proof: { kind: "access", id, random, signature } });
    });
    assert.equal(thief.outcome, "accepted");
    for (
      const by of [
        { kind: "member", node: nodeId("a") },
        { kind: "access", id: lives.profile.access!.id },
      ] as const
    ) {
      for (
        const op of [
          { kind: "get", key: "ours", read: "linearizable" },
          { kind: "put", key: "ours", value: new Uint8Array(1) },
          { kind: "keys-rotate" },
          { kind: "access-drop", id: lives.profile.access!.id },
        ] as Op[]
      ) {
        const answer = await thief.ask({ op, by });
        assert(answer?.kind === "refused" && answer.reason === "denied", `${by.kind} ${op.kind}`);
      }
    }
    // In many frames at once, some of which nobody understands.
    thief.say(encodeRequests([{ id: 77, request: { op: { kind: "layout" } } }], FRAME_HEADER_BYTES));
    assert.equal(text((await lives.operator.get("ours"))?.value), "x");
    await thief.close();
    const events = await lives.operator.audit({});
    assert(events.some(({ who, outcome }) => who === `key ${id}` && outcome.startsWith("denied")));
    assert(!events.some(({ what, outcome }) => what.startsWith("keys-rotate") && outcome === "done"));
  }));
