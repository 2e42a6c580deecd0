/** Evictions that a network of one or two cannot bear, from the command line. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { untilSettled } from "../../cli/settled.ts";
import { FLAGS, until } from "./support.ts";
import { withPrivateLab } from "./private_support.ts";

/** Without a majority, evict waited a minute for keys that could never be agreed on. */
const AT_ONCE_MS = 20_000;

Deno.test("an eviction that takes the majority away is done, and said at once to leave nothing to wait for", () =>
  withPrivateLab(async (lab) => {
    await lab.start({ id: "a" });
    const alone = await lab.run("evict", "a", "--yes", "--force");
    assert.equal(alone.code, 1);
    assert.match(alone.stderr, /Node "a" is the last active member and must stay/);
    assert.doesNotMatch(alone.stderr, /remove a --force/);

    const token = await lab.invite({ uses: 2 });
    const b = await lab.start({ id: "b", token });
    await untilSettled(await lab.client(), { members: 2, msMax: 90_000 });
    const unforced = await lab.run("evict", "b", "--yes");
    assert.match(unforced.stderr, /has 1 of 2 replicas, and no majority/);
    const began = performance.now();
    const evicted = await lab.run("evict", "b", "--yes", "--force", "--json");
    assert(performance.now() - began < AT_ONCE_MS, `it took ${performance.now() - began} ms`);
    assert.equal(evicted.code, 1, evicted.stderr);
    const { version, ...said } = JSON.parse(evicted.stdout);
    assert(version > 0);
    assert.deepEqual(said, { node: "b", state: "evicted", silent: null, generation: null, current: false });
    assert.match(evicted.stderr, /Without node "b" 1 of the 2 members .* no majority: .*space-opera recover/);

    const log = join(lab.directory, "b.log");
    const logged = async (words: RegExp) => words.test(await Deno.readTextFile(log));
    await until("b to know", () => logged(/Node "b" was evicted from network/));
    await b.stop();
    // Started on its directory with a token, as if that made it another node.
    const again = await lab.start({ id: "b", token, flags: [...FLAGS] });
    await until("the token to be named", () => logged(/which has it as evicted: the token .* is not used/));
    await again.stop();
  }));
