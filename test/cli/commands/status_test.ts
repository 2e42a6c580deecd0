import assert from "node:assert/strict";
import { objectLines } from "../../../cli/commands/network.ts";
import { NO_CHUNKS } from "../../../core/wire/objects.ts";

Deno.test("objectLines() says what is missing, how long it takes, and nothing of what is not", () => {
  assert.deepEqual(objectLines(NO_CHUNKS), [
    "objects   0 fragments, 0 B",
    "missing   none found so far; the node is still looking",
    "scrubbed  0 whole rounds; 0 rotten fragments found",
  ]);
  const lines = objectLines({
    ...NO_CHUNKS,
    fragments: 10,
    bytes: 10 * 1024 ** 2,
    missing: 2,
    missingBytes: 2 * 1024 ** 2,
    lost: 1,
    surplus: 3,
    repaired: 1,
    repairedBytes: 1024 ** 2,
    fetchedBytes: 2 * 1024 ** 2,
    rotten: 1,
    removed: 4,
    scrubbed: 5,
    scrubs: 1,
    secondsLeft: 300,
    looked: true,
  });
  assert.deepEqual(lines, [
    "objects   10 fragments, 10.0 MiB",
    "missing   2 fragments, 2.0 MiB; whole in about 5 min",
    "lost      1 fragment that no node within reach has, or enough of the others of",
    "surplus   3 fragments, until those nodes have them that should",
    "repaired  1 fragment, 1.0 MiB since it started; 2.0 MiB fetched for it",
    "scrubbed  5 of 10 in this round, 1 whole round; 1 rotten fragment found",
    "removed   4 fragments of what was deleted or has moved, since it started",
  ]);
  assert.match(
    objectLines({ ...NO_CHUNKS, missing: 1 }).join("\n"),
    /1 fragment, 0 B; not known how long yet/,
  );
});
