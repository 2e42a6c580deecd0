/** Far more than three nodes can do: they stay a network, with the leaders they had, and serve who asks little. */
import assert from "node:assert/strict";
import { nodeId } from "../../core/base/ids.ts";
import { encodeRequests } from "../../core/wire/codec.ts";
import { frame } from "../../core/wire/framing.ts";
import type { Client } from "../../cli/client/client.ts";
import type { NodeProcess } from "../../cli/processes.ts";
import { PREAMBLE } from "../../core/wire/session.ts";
import { privateThree, withPrivateLab } from "../cli/private_support.ts";
import { RawConnection, startThree, text, withLab } from "../cli/support.ts";

const CONNECTIONS = 40, REQUESTS = 50, EVERY_MS = 20, ATTACK_MS = 2500;
const TRIES = 2;
/** A try tells nothing of elections where somebody with nothing to do was held up for longer: peers wait for 200 ms. */
const HELD_UP_MS_MAX = 60;

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

/** How long the machine lets somebody wait who has nothing to do but to look at the clock, at most. */
class Idler {
  readonly #worker: Worker;

  constructor() {
    const source = `let last = performance.now(), most = 0;
      setInterval(() => { const now = performance.now(); most = Math.max(most, now - last - 10); last = now; }, 10);
      onmessage = () => { postMessage(most); most = 0; };`;
    this.#worker = new Worker(`data:text/javascript,${encodeURIComponent(source)}`, { type: "module" });
  }

  /** Since it was asked last. */
  heldUpMs(): Promise<number> {
    return new Promise((resolve) => {
      this.#worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
      this.#worker.postMessage(null);
    });
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** How many elections were begun meanwhile. All puts succeed whatever else happens. */
async function withstand(
  nodes: readonly NodeProcess[],
  client: Client,
  attack: (end: number) => Promise<void>[],
): Promise<number> {
  const campaigns = async () => {
    const statuses = await Promise.all(nodes.map(({ ready }) => client.status(nodeId(ready.node))));
    return statuses.reduce((sum, { counters }) => sum + (new Map(counters).get("campaign") ?? 0), 0);
  };
  const before = await campaigns();
  const end = performance.now() + ATTACK_MS;
  const attacks = attack(end);
  let done = 0;
  for (; performance.now() < end; done++) await client.put(`good/${done % 50}`, `${done}`);
  await Promise.all(attacks);
  assert(done > 0);
  assert.equal(text((await client.get(`good/${(done - 1) % 50}`))?.value), `${done - 1}`);
  return await campaigns() - before;
}

/** Returns what the attacked node, the first one, has counted. */
async function withstandAll(
  nodes: readonly NodeProcess[],
  client: Client,
  attack: (end: number) => Promise<void>[],
): Promise<Map<string, number>> {
  using idler = new Idler();
  await client.put("k", "v");
  for (let i = 0; i < TRIES; i++) {
    await idler.heldUpMs();
    const campaigns = await withstand(nodes, client, attack);
    if (await idler.heldUpMs() > HELD_UP_MS_MAX) continue;
    assert.equal(campaigns, 0, "elections on a machine that had time for all");
    break;
  }
  return new Map((await client.status(nodeId("a"))).counters);
}

Deno.test("forty clients that flood one node with writes bring on no elections, and one that asks little is served", () =>
  withLab(async (lab) => {
    const nodes = await startThree(lab);
    const { address } = nodes[0];
    const counters = await withstandAll(
      nodes,
      await lab.client(...nodes),
      (end) => Array.from({ length: CONNECTIONS }, (_, c) => flood(address, end, c)),
    );
    assert((counters.get("requests refused: busy") ?? 0) > 0, "the node was asked for more than it can do");
  }));

Deno.test("handshakes as many as they will bring on no elections, and a client that is inside is served", () =>
  withPrivateLab(async (lab) => {
    const nodes = await privateThree(lab);
    const { profile } = lab, { address } = nodes[0];
    const knock = async (end: number) => {
      while (performance.now() < end) {
        const connection = new RawConnection(address, PREAMBLE.client, profile);
        await Promise.race([connection.secured, new Promise((done) => setTimeout(done, 200))]);
        connection.close();
      }
    };
    const counters = await withstandAll(
      nodes,
      await lab.client(),
      (end) => Array.from({ length: CONNECTIONS }, () => knock(end)),
    );
    assert((counters.get("TLS handshakes put off") ?? 0) > 0, "more came than the node let begin");
  }));
