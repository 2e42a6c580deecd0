import assert from "node:assert/strict";
import { nodeId } from "../../../../core/base/ids.ts";
import { unusedText } from "../../../../cli/host/life/unused.ts";
import type { InviteToken } from "../../../../cli/host/identity/token.ts";
import { withPrivate } from "./private_lives.ts";

const identity = { node: nodeId("d2"), network: "aa", formerly: null };

Deno.test("unusedText() names the node and network of the directory, and what is not used there", async () => {
  await withPrivate([], async (lives) => {
    const token: InviteToken = await lives.token();
    assert.equal(
      unusedText({ data: "d2", token, id: "x" }, identity, "evicted"),
      `The data directory "d2" belongs to node "d2" of network aa, which has it as evicted: the token of --join or ` +
        `--join-file, which is for network ${token.network} and --id "x" are not used. To join as a new node, start ` +
        `on an empty --data`,
    );
    const same = { ...identity, network: token.network };
    assert.match(
      unusedText({ data: "d2", token }, same, "active")!,
      /of network \w+: the token .*file is not used/,
    );
  });
  assert.equal(unusedText({ data: "d2" }, identity, "evicted"), null);
  assert.equal(unusedText({ data: "d2", id: "d2" }, identity, "active"), null);
  assert.equal(unusedText({ data: "d2", id: "d1" }, { ...identity, formerly: nodeId("d1") }, "active"), null);
});
