/** A node in this process whose disk is full when its keyring is to be written. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Keyring } from "../../../../cli/host/identity/keyring.ts";
import { RequestError } from "../../../../cli/client/errors.ts";
import { untilSettled } from "../../../../cli/settled.ts";
import { text, until } from "../../support.ts";
import { statusAt } from "./lives.ts";
import { keysOf, type PrivateLives, withPrivate } from "./private_lives.ts";

const SETTLED_MS_MAX = 60_000;
/** What a network that is busy answers, and one whose leader has gone. */
const MAY_TRY_AGAIN: ReadonlySet<string> = new Set(["timeout", "unsure", "busy", "no-leader"]);

function orAgain(error: unknown): false {
  if (error instanceof RequestError && MAY_TRY_AGAIN.has(error.reason)) return false;
  throw error;
}

/** While it lives, no byte goes into a new keyring in `directory`. All else that is written there is. */
class KeyringFullDisk implements Disposable {
  readonly #open = Deno.openSync;
  writes = 0;

  constructor(directory: string) {
    const draft = join(directory, "keyring.json.new");
    Deno.openSync = (path, options) => {
      const file = this.#open(path, options);
      if (path !== draft) return file;
      return Object.defineProperty(file, "writeSync", {
        value: () => {
          this.writes++;
          throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
        },
      });
    };
  }

  [Symbol.dispose](): void {
    Deno.openSync = this.#open;
  }
}

async function statusOf(lives: PrivateLives, id: string) {
  return await statusAt((await lives.nodes.get(id)!.ready).address, lives.profile);
}

/** Which of the nodes leads the system partition, and so makes keys. */
async function maker({ operator }: PrivateLives): Promise<string> {
  let leader: string | null = null;
  await until("a leader", async () => {
    leader = (await operator.layout()).leaders[0] ?? null;
    return leader !== null;
  });
  return leader!;
}

for (const who of ["makes", "is given"] as const) {
  Deno.test(`a node whose disk is full as its keyring is to hold a key that it ${who} is down, and has it afterwards`, () =>
    withPrivate(["b", "c"], async (lives) => {
      const { operator, directory } = lives;
      // Until all three hold the data, it may be with nobody but the node that goes down.
      await untilSettled(operator, { members: 3, msMax: SETTLED_MS_MAX });
      for (let i = 0; i < 20; i++) await operator.put(`k${i}`, String(i));
      const leader = await maker(lives);
      const id = who === "makes" ? leader : ["a", "b", "c"].find((name) => name !== leader)!;
      {
        using full = new KeyringFullDisk(join(directory, id));
        await until("a rotation to begin", async () => {
          if (keysOf(await lives.view()) !== "1:current") return true;
          return await operator.rotateKeys().then(() => true, orAgain);
        });
        await until("the node to be down", async () => {
          const { state, trouble } = await statusOf(lives, id);
          if (state !== "down") return false;
          assert.equal(trouble?.kind, "no-space");
          assert.match(trouble.what, /Cannot write the keyring ".*keyring\.json": No space left on device/);
          return true;
        });
        assert(full.writes > 0);
        assert.equal(Keyring.open({ directory: join(directory, id), readOnly: true }).has(2), false);
        await until(
          "the others to go on meanwhile",
          () => operator.put("meanwhile", "1").then(() => true, orAgain),
        );
      }
      await until("the node to be up again", async () => (await statusOf(lives, id)).state === "active");
      await until("the new keys with all", async () => keysOf(await lives.view()) === "2:current");
      assert.equal(Keyring.open({ directory: join(directory, id), readOnly: true }).has(2), true);
      for (let i = 0; i < 20; i++) assert.equal(text((await operator.get(`k${i}`))?.value), String(i));
      assert.equal(text((await operator.get("meanwhile"))?.value), "1");
    }));
}
