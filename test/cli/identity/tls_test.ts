/**
 * The certificates in the hands of node:tls, on a loopback socket: members reach each other, whoever is none does not.
 * How the port tells members from clients is tested where the port is.
 */
import assert from "node:assert/strict";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import { certificatePem, MEMBER_NAME, publicKeyOf } from "../../../cli/host/identity/certificates.ts";
import { privateKeyPem } from "../../../cli/host/identity/ed25519.ts";
import { issueMember, MEMBER_LIFE_MS } from "../../../cli/host/identity/issuing.ts";
import { DAY_MS, der, type Generation, generation, member, resigned, type TestMember } from "./support.ts";

/** What one end brings: whom it believes, and who it says it is. */
interface End {
  readonly believes: readonly Generation[];
  readonly as: Pick<TestMember, "seed" | "der"> | null;
}

const credentials = ({ believes, as }: End) => ({
  ca: believes.map(({ authority }) => certificatePem(authority)),
  ...(as === null ? {} : { key: privateKeyPem(as.seed), cert: certificatePem(as.der) }),
  minVersion: "TLSv1.3" as const,
  rejectUnauthorized: true,
});

/** What both saw of each other, as public keys; null where there is no connection. */
async function meet(server: End, client: End): Promise<{ client: string; server: string } | null> {
  let clientKey: string | null = null;
  const listener = tls.createServer({ ...credentials(server), requestCert: true }, (socket) => {
    clientKey = publicKeyOf(Uint8Array.from(socket.getPeerCertificate().raw));
    socket.on("error", () => {}); // the client may be gone: it says so itself
    socket.end("welcome");
  });
  listener.on("tlsClientError", () => {}); // what the client sees is looked at
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", () => done()));
  const { port } = listener.address() as AddressInfo;
  try {
    const serverKey = await connect(port, client);
    return clientKey === null || serverKey === null ? null : { client: clientKey, server: serverKey };
  } finally {
    await new Promise((done) => listener.close(done));
  }
}

/** The server's key where it let this client in; TLS 1.3 tells a client only when it reads. */
function connect(port: number, client: End): Promise<string | null> {
  return new Promise((done) => {
    const raw = net.connect({ host: "127.0.0.1", port });
    raw.on("error", () => done(null));
    raw.on("close", () => done(null));
    // Not before: a key that does not fit its certificate is reported by a socket that is connected, and by no other.
    raw.on("connect", () => {
      const socket = tls.connect({ ...credentials(client), socket: raw, servername: MEMBER_NAME });
      let key: string | null = null;
      socket.on("secureConnect", () => key = publicKeyOf(Uint8Array.from(socket.getPeerCertificate().raw)));
      socket.on("data", () => done(key));
      socket.on("error", () => done(null));
      socket.on("close", () => done(null));
    });
  });
}

Deno.test("members prove their keys to each other in TLS, also while two generations are in use", async () => {
  const now = Date.now();
  const one = await generation({ now }), two = await generation({ id: 2, now });
  const a = await member(one, { node: "a", now }), b = await member(two, { node: "b", now });
  const both = [two, one];
  const met = await meet({ believes: both, as: a }, { believes: both, as: b });
  assert.deepEqual(met, { server: a.key, client: b.key });
  assert.equal(await meet({ believes: both, as: a }, { believes: [two], as: b }), null);
  assert.equal(await meet({ believes: [one], as: a }, { believes: both, as: b }), null);
});

Deno.test("attack: forged, expired, early, stolen, version 1 and missing certificates do not get through TLS", async () => {
  const now = Date.now(), past = now - 2 * MEMBER_LIFE_MS;
  const g = await generation({ now: past });
  const a = await member(g, { node: "a", now });
  const server: End = { believes: [g], as: a };
  const honest = await member(g, { node: "b", now });
  const tries = async (as: End["as"]) => await meet(server, { believes: [g], as });
  assert.deepEqual(await tries(honest), { server: a.key, client: honest.key });

  const forger = await generation({ fill: 66, now: past });
  assert.equal(await tries(await member(forger, { node: "b", now })), null, "forged");
  assert.equal(await tries(await member(g, { node: "b", now: past })), null, "expired");
  assert.equal(await tries(await member(g, { node: "b", now: now + DAY_MS })), null, "early");
  assert.equal(
    await tries({ seed: new Uint8Array(32).fill(1), der: honest.der }),
    null,
    "another's certificate",
  );
  const { key } = honest;
  const v1 = resigned(honest.der, g, (signed) => {
    const body = signed.subarray(4);
    return der(0x30, body.subarray(5, body.toHex().indexOf(key) / 2 + 32));
  });
  assert.equal(await tries({ seed: honest.seed, der: v1 }), null, "version 1");
  assert.equal(await tries(null), null, "none");
});

Deno.test("attack: a server with a certificate of its own making does not get a client", async () => {
  const now = Date.now();
  const g = await generation({ now }), forger = await generation({ fill: 66, now });
  const client: End = { believes: [g], as: await member(g, { node: "b", now }) };
  const evil = await member(forger, { node: "a", now });
  assert.equal(await meet({ believes: [g], as: evil }, client), null);
  // Even one that the client's authority signed, where it is not the server's.
  const honest = await issueMember({ ...g, node: "a", publicKey: (await member(g, { now })).key, now });
  assert.equal(await meet({ believes: [g], as: { seed: evil.seed, der: honest } }, client), null);
});
