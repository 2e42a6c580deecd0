import assert from "node:assert/strict";
import fc from "fast-check";
import { nodeId } from "../../../core/base/ids.ts";
import { ByPeer } from "../../../core/node/by_peer.ts";

const PEERS = ["sirius", "canopus", "vega"].map(nodeId);

Deno.test("ByPeer gives each peer its items in order, peers in the order of their first, once", () => {
  const items = fc.array(fc.tuple(fc.constantFrom(...PEERS), fc.nat()), { maxLength: 20 });
  fc.assert(fc.property(items, items, (first, second) => {
    const lists = new ByPeer<number>();
    for (const batch of [first, second]) {
      const expected = new Map<string, number[]>();
      for (const [peer, item] of batch) {
        lists.add(peer, item);
        expected.set(peer, [...expected.get(peer) ?? [], item]);
      }
      const drained: [string, number[]][] = [];
      lists.drain((peer, list) => drained.push([peer, list]));
      assert.deepEqual(drained, [...expected]);
    }
  }));
});
