/** Far more than three nodes can do: they stay a network and serve who asks little. */
import assert from "node:assert/strict";
import { nodeId } from "../../core/base/ids.ts";
import { encodeRequests } from "../../core/wire/codec.ts";
import { frame } from "../../core/wire/framing.ts";
import type { Client } from "../../cli/client/client.ts";
import { PREAMBLE } from "../../core/wire/session.ts";
import { privateThree, withPrivateLab } from "../cli/private_support.ts";
import { RawConnection, startThree, text, tlsClientHello, withLab } from "../cli/support.ts";

const CONNECTIONS = 40, REQUESTS = 50, EVERY_MS = 20, ATTACK_MS = 2500;
/** More than a node begins at once and soon after, however slow the machine is that knocks. */
const HANDSHAKES_AT_FIRST = 300;

async function flood(address: string, end: number, c: number): Promise<void> {
  const raw = new RawConnection(address);
  raw.hello({});
  await raw.next();
  const value = new Uint8Array(64);
  const puts = frame(encodeRequests(Array.from({ length: REQUESTS }, (_, id) => ({
    id,
    request: { op: { kind: "put", key: `flood/${c}/${id}`, value } },
  }))));
  while (performance.now() < end && !raw.closed) {
    raw.send(puts);
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
  raw.close();
}

/** All puts of `client` succeed whatever else happens, and no member is given up. Returns what the first node counted. */
async function withstand(
  client: Client,
  attack: (end: number) => Promise<void>[],
): Promise<Map<string, number>> {
  await client.put("k", "v");
  const end = performance.now() + ATTACK_MS;
  const attacks = attack(end);
  let done = 0;
  for (; performance.now() < end; done++) await client.put(`good/${done % 50}`, `${done}`);
  await Promise.all(attacks);
  assert(done > 0);
  assert.equal(text((await client.get(`good/${(done - 1) % 50}`))?.value), `${done - 1}`);
  assert.deepEqual((await client.members()).map(({ state }) => state), ["active", "active", "active"]);
  return new Map((await client.status(nodeId("a"))).counters);
}

Deno.test("forty clients that flood one node with writes take nothing from one that asks little", () =>
  withLab(async (lab) => {
    const nodes = await startThree(lab);
    const { address } = nodes[0];
    const counters = await withstand(
      await lab.client(...nodes),
      (end) => Array.from({ length: CONNECTIONS }, (_, c) => flood(address, end, c)),
    );
    assert((counters.get("requests refused: busy") ?? 0) > 0, "the node was asked for more than it can do");
  }));

Deno.test("handshakes as many as they will take nothing from a client that is inside", () =>
  withPrivateLab(async (lab) => {
    const nodes = await privateThree(lab);
    const { profile } = lab, { address } = nodes[0];
    const hello = await tlsClientHello(profile);
    const knockAtOnce = async (end: number) => {
      const knocking = Array.from({ length: HANDSHAKES_AT_FIRST }, () => {
        const connection = new RawConnection(address, PREAMBLE.client);
        connection.send(hello);
        return connection;
      });
      await new Promise((done) => setTimeout(done, end - performance.now()));
      for (const connection of knocking) connection.close();
    };
    const knock = async (end: number) => {
      while (performance.now() < end) {
        const connection = new RawConnection(address, PREAMBLE.client, profile);
        await Promise.race([connection.secured, new Promise((done) => setTimeout(done, 200))]);
        connection.close();
      }
    };
    const counters = await withstand(
      await lab.client(),
      (end) => [knockAtOnce(end), ...Array.from({ length: CONNECTIONS }, () => knock(end))],
    );
    assert((counters.get("TLS handshakes put off") ?? 0) > 0, "more came than the node let begin");
  }));
