/** Who gets into a private network by an invite, and who does not: each refusal in its own words. */
import assert from "node:assert/strict";
import { join } from "node:path";
import net from "node:net";
import { NodeProcess } from "../../cli/processes.ts";
import { formatToken, type InviteToken, parseToken } from "../../cli/host/identity/token.ts";
import { parseAddress } from "../../cli/host/socket.ts";
import { FLAGS, program, programWith, text, until } from "../cli/support.ts";
import { type PrivateLab, withPrivateLab } from "../cli/private_support.ts";

/** A token that differs from `token` in what `change` says. */
function changed(token: string, change: Partial<InviteToken>): string {
  return formatToken({ ...parseToken(token), ...change });
}

/** Runs a node that is to be refused, and returns what it said. */
async function refused(lab: PrivateLab, name: string, token: string): Promise<string> {
  const { code, stdout, stderr } = await programWith(
    { input: `${token}\n` },
    ...["node", "--id", name, "--data", join(lab.directory, name), "--listen", "127.0.0.1:0", ...FLAGS],
    ...["--log-level", "error", "--join-file", "-"],
  );
  assert.equal(code, 1, stderr);
  assert.equal(stdout, "");
  assert(!stderr.includes(token), "the token is not repeated");
  return stderr;
}

async function members(lab: PrivateLab): Promise<string[]> {
  using client = await lab.client();
  return (await client.layout()).view.members.map(({ id }) => id);
}

Deno.test("an invite lets in as many as it says, into the zone that it says, and is used up then", () =>
  withPrivateLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    const client = await lab.client();
    await client.put("k", "v");
    const token = await lab.invite({ zone: "north", uses: 1 });
    const b = await lab.start({ id: "b", token, flags: [...FLAGS, "--zone", "south"] });
    const { view } = await client.layout();
    const member = view.members.find(({ id }) => id === "b")!;
    assert.equal(member.zone, "north");
    assert.match(member.identity!.key, /^[0-9a-f]{64}$/);
    assert.deepEqual((await client.layout()).view.security!.invites.map(({ uses }) => uses), [0]);
    assert.match(await refused(lab, "c", token), /Invite "[0-9a-f]{16}" is used up; ask for another one/);
    assert.deepEqual(await members(lab), ["a", "b"]);
    // Neither token nor profile is needed to come back.
    await b.kill();
    const again = await lab.start({ id: "b", listen: b.address });
    assert.equal(again.ready.origin, "recovered");
    assert.equal(text((await client.get("k"))?.value), "v");
    assert.notEqual(a.ready.network, "");
  }));

Deno.test("expired, dropped, forged and foreign invites are refused, each in its own words", () =>
  withPrivateLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    const short = await lab.invite({ ttlMs: 1000 });
    const good = await lab.invite({ uses: 100 });
    const client = await lab.client();

    const dropped = await lab.invite();
    await client.dropInvite(parseToken(dropped).id);
    assert.match(await refused(lab, "dropped", dropped), /Invite ".*" is not known, or its secret is wrong/);

    const secret = new Uint8Array(16).fill(7);
    assert.match(await refused(lab, "forged", changed(good, { secret })), /the secret in the token is wrong/);

    const fingerprints = ["ab".repeat(32)];
    assert.match(
      await refused(lab, "pinned", changed(good, { fingerprints })),
      /does not know the authority that the invite names/,
    );

    const network = "0123456789abcdef0123456789abcdef";
    assert.match(
      await refused(lab, "other", changed(good, { network })),
      /A node of network [0-9a-f]{32} answered, and the invite is for 0123456789abcdef0123456789abcdef/,
    );

    const { expiresMs } = (await client.layout()).view.security!.invites.find(({ id }) =>
      id === parseToken(short).id
    )!;
    await until("the invite to be over", () => Promise.resolve(Date.now() > expiresMs));
    assert.match(await refused(lab, "late", short), /expired|is over/);

    assert.deepEqual(await members(lab), ["a"]);
    const [invite] = (await client.layout()).view.security!.invites.filter(({ id }) =>
      id === parseToken(good).id
    );
    assert.equal(invite!.uses, 100, "nobody used it");
    assert.notEqual(a.pid, 0);
  }));

Deno.test("an invite of another network is refused by this one, though it is sent to its address", () =>
  withPrivateLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    await withPrivateLab(async (other) => {
      await other.start({ id: "x" });
      const token = await other.invite({ addresses: [a.address] });
      assert.match(
        await refused(lab, "b", token),
        /A node of network [0-9a-f]{32} answered, and the invite is for/,
      );
    });
  }));

Deno.test("a token that was cut off or is none is wrong usage, and is not repeated", async () => {
  const data = await Deno.makeTempDir();
  try {
    for (
      const [token, words] of [
        ["so1.AAAA", /^The invite token was cut off or mistyped\. Copy all of it/],
        ["so7.AAAA", /^The invite token is of another version of Space Opera/],
        ["127.0.0.1:7070", /^A private network lets nobody in by an address: give --join the token/],
      ] as const
    ) {
      const { code, stderr } = await program("node", "--data", join(data, "n"), "--join", token);
      assert.equal(code, 2);
      assert.match(stderr, words);
    }
  } finally {
    await Deno.remove(data, { recursive: true });
  }
});

Deno.test("a node whose clock is off is refused, and told so", () =>
  withPrivateLab(async (lab) => {
    await lab.start({ id: "a" });
    const token = await lab.invite();
    for (const minutes of [-6, 6]) {
      const preload = join(lab.directory, "clock.ts");
      await Deno.writeTextFile(
        preload,
        `const now = Date.now.bind(Date); Date.now = () => now() + ${minutes} * 60_000;`,
      );
      const command = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "--quiet", "--no-prompt", "--preload", preload, "-A"],
          new URL("../../cli/main.ts", import.meta.url).href,
          ...["node", "--id", "b", "--data", join(lab.directory, `b${minutes}`), "--listen", "127.0.0.1:0"],
          ...["--log-level", "error", "--join", token],
        ],
        env: { NO_COLOR: "1" },
      });
      const { code, stderr } = await command.output();
      assert.equal(code, 1);
      assert.match(new TextDecoder().decode(stderr), /clock/);
    }
    assert.deepEqual(await members(lab), ["a"]);
    await lab.start({ id: "b", token });
  }));

Deno.test("what a joiner sent, sent once more, lets nobody in; what was overheard has no secret in it", () =>
  withPrivateLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    await using relay = await Relay.to(a.address);
    const token = await lab.invite({ uses: 2, addresses: [relay.address] });
    await lab.start({ id: "b", token });
    const client = await lab.client();
    const uses = async () => (await client.layout()).view.security!.invites[0]!.uses;
    assert.equal(await uses(), 1);
    const { secret, id } = parseToken(token);
    const heard = relay.heard.map(({ up, down }) => [...up, ...down]).flat();
    assert(heard.length > 3, "the join went through the relay");
    for (const bytes of heard) {
      const hex = bytes.toHex();
      assert(!hex.includes(secret.toHex()));
      assert(!hex.includes(new TextEncoder().encode(id).toHex()));
    }
    for (const { up } of relay.heard) {
      const answer = await replay(a.address, up);
      assert(answer < 8192, "no more than a handshake and its end comes back");
    }
    assert.equal(await uses(), 1);
    assert.deepEqual(await members(lab), ["a", "b"]);
  }));

Deno.test("who is in between and alters a joiner's traffic keeps it out, and gets nothing in", () =>
  withPrivateLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    // After the handshake's own messages, which are altered by other means elsewhere.
    await using relay = await Relay.to(a.address, (bytes, sent) => {
      if (sent > 600) bytes[bytes.length - 1]! ^= 1;
      return bytes;
    });
    const token = await lab.invite({ addresses: [relay.address] });
    const data = join(lab.directory, "b");
    const failed = NodeProcess.start({ id: "b", data, token, flags: [...FLAGS] });
    await assert.rejects(failed, /did not get ready/);
    assert.deepEqual(await members(lab), ["a"]);
    const client = await lab.client();
    await client.put("still", "served");
  }));

interface Conversation {
  readonly up: Uint8Array[];
  readonly down: Uint8Array[];
}

/** Passes on what it hears, and keeps it. */
class Relay implements AsyncDisposable {
  readonly heard: Conversation[] = [];
  readonly address: string;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(server: net.Server, address: string) {
    this.#server = server;
    this.address = address;
  }

  static async to(
    target: string,
    alter: (bytes: Uint8Array, sent: number) => Uint8Array = (bytes) => bytes,
  ): Promise<Relay> {
    const server = net.createServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const relay = new Relay(server, `127.0.0.1:${(server.address() as net.AddressInfo).port}`);
    server.on("connection", (near) => {
      const { host, port } = parseAddress(target);
      const far = net.connect({ host, port });
      const conversation: Conversation = { up: [], down: [] };
      relay.heard.push(conversation);
      let sent = 0;
      near.on("data", (bytes: Uint8Array) => {
        conversation.up.push(bytes.slice());
        sent += bytes.length;
        far.write(alter(bytes.slice(), sent));
      });
      far.on("data", (bytes: Uint8Array) => {
        conversation.down.push(bytes.slice());
        near.write(bytes);
      });
      for (const [one, other] of [[near, far], [far, near]] as const) {
        relay.#sockets.add(one);
        one.on("error", () => other.destroy());
        one.on("close", () => other.destroy());
      }
    });
    return relay;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }
}

/** Sends the same bytes again; resolves to how many came back before the other end closed, or a second was over. */
function replay(address: string, chunks: readonly Uint8Array[]): Promise<number> {
  return new Promise((resolve) => {
    const { host, port } = parseAddress(address);
    const socket = net.connect({ host, port });
    let received = 0;
    const late = setTimeout(() => socket.destroy(), 1000);
    for (const chunk of chunks) socket.write(chunk);
    socket.on("data", (bytes: Uint8Array) => received += bytes.length);
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      clearTimeout(late);
      resolve(received);
    });
  });
}
