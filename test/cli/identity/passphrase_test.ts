/** Where a passphrase comes from, and that it is not shown. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  PASSPHRASE_VARIABLE,
  PassphraseError,
  type PassphraseErrorReason,
  type PassphraseOptions,
  type PassphraseTerminal,
  readPassphrase,
} from "../../../cli/host/identity/passphrase.ts";
import { Sealing, SealingError } from "../../../cli/host/identity/sealing.ts";
import { withDirectory } from "./support.ts";

const refused = (reason: PassphraseErrorReason) => (error: unknown) =>
  error instanceof PassphraseError && error.reason === reason;

/** A person that types `keys`, chunk by chunk, then goes away. */
class Person implements PassphraseTerminal {
  readonly interactive = true;
  raw = false;
  shown = "";
  readonly #keys: string[];

  constructor(...keys: string[]) {
    this.#keys = keys;
  }
  setRaw(raw: boolean): void {
    this.raw = raw;
  }
  read(): Promise<Uint8Array | null> {
    assert.ok(this.raw, "keys are read only where they are not shown");
    const next = this.#keys.shift();
    return Promise.resolve(next === undefined ? null : Uint8Array.from(next, (char) => char.charCodeAt(0)));
  }
  write(text: string): void {
    this.shown += text;
  }
}

const NOBODY: PassphraseTerminal = {
  interactive: false,
  setRaw: () => assert.fail("nobody is there"),
  read: () => assert.fail("nobody is there"),
  write: () => assert.fail("nobody is there"),
};

const options = (part: Partial<PassphraseOptions>): PassphraseOptions => ({
  outside: "/nonexistent",
  env: () => undefined,
  terminal: NOBODY,
  ...part,
});

/** True where both open the same boxes. scrypt makes this dear: used where it matters. */
function same(one: Sealing, passphrase: string): boolean {
  const salt = new Uint8Array(32);
  const box = one.unlock(salt).seal(salt, salt);
  return Sealing.passphrase(passphrase).unlock(salt).open(box, salt) !== null;
}

/** Bytes as keys: "é" comes as two. */
const keys = (text: string) => String.fromCharCode(...new TextEncoder().encode(text));

Deno.test("readPassphrase() takes the file before the environment and that before a person", () =>
  withDirectory(async (directory) => {
    const file = join(directory, "..", "passphrase");
    await Deno.writeTextFile(file, "from the file\r\n", { mode: 0o600 });
    const env = (name: string) => name === PASSPHRASE_VARIABLE ? "from the environment" : undefined;
    assert.ok(same(await readPassphrase(options({ file, env, outside: directory })), "from the file"));
    assert.ok(same(await readPassphrase(options({ env })), "from the environment"));
    const person = new Person("from a person\r");
    assert.ok(same(await readPassphrase(options({ env: () => "", terminal: person })), "from a person"));
    await assert.rejects(readPassphrase(options({})), refused("missing"));
  }));

Deno.test("what is typed is not shown, can be corrected, and the terminal is as before", async () => {
  const person = new Person(
    "wrong\x15",
    "se",
    "\x1b[Dx",
    keys("\u00e9").slice(0, 1),
    keys("\u00e9").slice(1),
    "cret\x7f\x08et words\rdropped",
  );
  const sealing = await readPassphrase(options({ terminal: person, prompt: "Passphrase for it: " }));
  assert.ok(same(sealing, "se\u00e9cret words"));
  assert.equal(person.shown, "Passphrase for it: \n");
  assert.equal(person.raw, false);
});

Deno.test("a new passphrase is typed twice alike, in a few tries", async () => {
  const person = new Person("first words\r", "other words\r", "right words\r", "right words\r");
  assert.ok(same(await readPassphrase(options({ terminal: person, fresh: true })), "right words"));
  assert.match(person.shown, /^Passphrase: \nAgain: \nThe two differ/);
  const confused = new Person("a\r", "b\r", "a\r", "b\r", "a\r", "b\r");
  await assert.rejects(readPassphrase(options({ terminal: confused, fresh: true })), refused("differ"));
  const brief = new Person("short\r", "short\r");
  await assert.rejects(readPassphrase(options({ terminal: brief, fresh: true })), SealingError);
});

Deno.test("a person can go: Ctrl-C, Ctrl-D and a lost terminal leave it as it was", async () => {
  for (const gone of [["abc\x03"], ["\x04"], ["abc"], []]) {
    const person = new Person(...gone);
    await assert.rejects(readPassphrase(options({ terminal: person })), refused("interrupted"));
    assert.equal(person.raw, false);
  }
});

Deno.test("attack: a passphrase file that others may read, or that lies in the data directory", () =>
  withDirectory(async (directory) => {
    const outside = join(directory, "..", "passphrase"), inside = join(directory, "passphrase");
    for (const path of [outside, inside]) await Deno.writeTextFile(path, "many words", { mode: 0o600 });
    await assert.rejects(readPassphrase(options({ file: inside, outside: directory })), (error) => {
      return error instanceof SealingError && error.reason === "inside";
    });
    await Deno.chmod(outside, 0o644);
    await assert.rejects(readPassphrase(options({ file: outside, outside: directory })), (error) => {
      return refused("unreadable")(error) && (error as Error).message.includes("chmod 600");
    });
    await assert.rejects(readPassphrase(options({ file: join(directory, "none") })), refused("unreadable"));
    await Deno.writeFile(outside, Uint8Array.of(0xff, 0xfe), { mode: 0o600 });
    await Deno.chmod(outside, 0o600);
    await assert.rejects(
      readPassphrase(options({ file: outside, outside: directory })),
      refused("unreadable"),
    );
  }));
