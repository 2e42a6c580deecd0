/** A keyring opens with what it is sealed with, wherever that comes from. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Keyring, KeyringError, type KeyringErrorReason } from "../../../cli/host/identity/keyring.ts";
import { openKeyring, type SealSources } from "../../../cli/host/identity/opening.ts";
import type { PassphraseTerminal } from "../../../cli/host/identity/passphrase.ts";
import { Sealing } from "../../../cli/host/identity/sealing.ts";
import { NETWORK, OTHER_NETWORK, withDirectory } from "./support.ts";

const OWNER = { network: NETWORK, disk: "d1" };
const refused = (reason: KeyringErrorReason) => (error: unknown) =>
  error instanceof KeyringError && error.reason === reason;
const NOTHING: SealSources = { env: () => undefined };

/** Types one line for each question, and counts them. */
function person(...lines: string[]): PassphraseTerminal & { asked: number; told: string } {
  const typist = {
    interactive: true,
    asked: 0,
    told: "",
    setRaw() {},
    read() {
      typist.asked++;
      const line = lines.shift();
      return Promise.resolve(line === undefined ? null : new TextEncoder().encode(`${line}\r`));
    },
    write(text: string) {
      typist.told += text;
    },
  };
  return typist;
}

Deno.test("openKeyring() asks for nothing where nothing is needed, and checks whose it is", () =>
  withDirectory(async (directory) => {
    await assert.rejects(openKeyring({ directory, ...NOTHING }), refused("missing"));
    const { publicKey } = Keyring.create({ directory, ...OWNER });
    const nobody = person();
    const keyring = await openKeyring({ directory, ...NOTHING, terminal: nobody, owner: OWNER });
    assert.equal(keyring.publicKey, publicKey);
    assert.equal(nobody.asked, 0);
    const owner = { ...OWNER, network: OTHER_NETWORK };
    await assert.rejects(openKeyring({ directory, ...NOTHING, owner }), refused("foreign"));
  }));

Deno.test("openKeyring() takes the key file that is named, and says that one is needed", () =>
  withDirectory(async (directory) => {
    const keyFile = join(directory, "..", "key");
    await Deno.writeFile(keyFile, crypto.getRandomValues(new Uint8Array(40)), { mode: 0o600 });
    Keyring.create({ directory, ...OWNER, sealing: Sealing.keyFile(keyFile, { outside: directory }) });
    assert.equal((await openKeyring({ directory, ...NOTHING, keyFile })).seal, "key-file");
    await assert.rejects(openKeyring({ directory, ...NOTHING }), (error) => {
      return refused("sealed")(error) && /--key-file/.test((error as Error).message);
    });
  }));

Deno.test("a person may mistype the passphrase twice; a file or a variable is asked once", () =>
  withDirectory(async (directory) => {
    Keyring.create({ directory, ...OWNER, sealing: Sealing.newPassphrase("the right words") });
    const twice = person("wrong", "wrong", "the right words");
    assert.equal((await openKeyring({ directory, ...NOTHING, terminal: twice })).seal, "passphrase");
    assert.equal(twice.asked, 3);
    const thrice = person("wrong", "wrong", "wrong", "the right words");
    await assert.rejects(
      openKeyring({ directory, ...NOTHING, terminal: thrice }),
      refused("wrong-passphrase"),
    );
    assert.equal(thrice.asked, 3);
    const env = () => "wrong";
    const idle = person();
    await assert.rejects(openKeyring({ directory, env, terminal: idle }), refused("wrong-passphrase"));
    assert.equal(idle.told, "");
    assert.equal((await openKeyring({ directory, env: () => "the right words" })).seal, "passphrase");
  }));
