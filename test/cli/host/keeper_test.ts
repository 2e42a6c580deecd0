/** What a node does by itself for the objects in the partitions that it leads. */
import assert from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { ObjectError } from "../../../core/objects/types.ts";
import { Keeper } from "../../../cli/host/keeper.ts";
import { openStore } from "../../../cli/objects/open_store.ts";
import { until } from "../support.ts";
import { withLives } from "./life/lives.ts";

const NODE = { kind: "node" } as const;
const NOTHING = (async function* () {})();

const RULE = {
  id: "old",
  enabled: true,
  prefix: "tmp/",
  tags: [],
  sizeMin: null,
  sizeMax: null,
  expireDays: null,
  expireDateMs: Date.UTC(2001, 0, 1),
  expireMarkers: false,
  noncurrentDays: null,
  noncurrentKept: null,
  abortUploadDays: null,
};

Deno.test("a keeper removes what a bucket's rule says is old, and nothing else, and begins anew after trouble", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    await node.ready;
    const client = node.client(NODE), store = openStore(client);
    await store.createBucket("sky", {});
    for (const key of ["tmp/one", "tmp/two", "kept"]) {
      await store.put({ bucket: "sky", key, bytes: 0 }, NOTHING);
    }
    let troubles = 0;
    const keeper = new Keeper({
      requests: {
        request: (op) => {
          if (op.kind !== "range" || ++troubles > 3) return client.request(op);
          return Promise.resolve({ kind: "refused", reason: "no-space", message: "Full" });
        },
      },
      log: getLogger(["test"]),
      firstMs: 0,
      everyMs: 50,
    });
    try {
      // Without a rule nothing goes, however often it looks.
      await until("the keeper to look after its troubles", () => Promise.resolve(troubles > 10));
      assert.equal((await store.list({ bucket: "sky", limit: 10 })).objects.length, 3);
      await store.changeBucket("sky", { lifecycle: [RULE] });
      await until("old objects to go", async () => {
        const { objects } = await store.list({ bucket: "sky", limit: 10 });
        return objects.length === 1 && objects[0]!.key === "kept";
      });
      await assert.rejects(
        store.head({ bucket: "sky", key: "tmp/one" }),
        (error) => error instanceof ObjectError && error.problem === "no-such-key",
      );
    } finally {
      keeper.stop();
      client.close();
    }
  }));
