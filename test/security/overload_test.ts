/** Far more than three nodes can do: they stay a network, with the leaders they had, and serve who asks little. */
import assert from "node:assert/strict";
import { nodeId } from "../../core/base/ids.ts";
import { encodeRequests } from "../../core/wire/codec.ts";
import { frame } from "../../core/wire/framing.ts";
import type { Client } from "../../cli/client/client.ts";
import type { NodeProcess } from "../../cli/processes.ts";
import { RawConnection, startThree, text, withLab } from "../cli/support.ts";

const CONNECTIONS = 40, REQUESTS = 50, EVERY_MS = 20, FLOOD_MS = 2500;
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
async function withstand(nodes: readonly NodeProcess[], client: Client): Promise<number> {
  const campaigns = async () => {
    const statuses = await Promise.all(nodes.map(({ ready }) => client.status(nodeId(ready.node))));
    return statuses.reduce((sum, { counters }) => sum + (new Map(counters).get("campaign") ?? 0), 0);
  };
  const before = await campaigns();
  const end = performance.now() + FLOOD_MS;
  const floods = Array.from({ length: CONNECTIONS }, (_, c) => flood(nodes[0]!.address, end, c));
  let done = 0;
  for (; performance.now() < end; done++) await client.put(`good/${done % 50}`, `${done}`);
  await Promise.all(floods);
  assert(done > 0);
  assert.equal(text((await client.get(`good/${(done - 1) % 50}`))?.value), `${done - 1}`);
  return await campaigns() - before;
}

Deno.test("forty clients that flood one node with writes bring on no elections, and one that asks little is served", () =>
  withLab(async (lab) => {
    const nodes = await startThree(lab);
    const client = await lab.client(...nodes);
    await client.put("k", "v");
    using idler = new Idler();
    for (let i = 0; i < TRIES; i++) {
      await idler.heldUpMs();
      const campaigns = await withstand(nodes, client);
      if (await idler.heldUpMs() > HELD_UP_MS_MAX) continue;
      assert.equal(campaigns, 0, "elections on a machine that had time for all");
      break;
    }
    const counters = new Map((await client.status(nodeId("a"))).counters);
    assert((counters.get("requests refused: busy") ?? 0) > 0, "the node was asked for more than it can do");
  }));
