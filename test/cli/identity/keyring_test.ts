/** The keyring: what is put in comes back, sealed or not, and a file that is not its own opens for nobody. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { inspect } from "node:util";
import fc from "fast-check";
import { CertificateError } from "../../../cli/host/identity/certificates.ts";
import { publicKeyOfSeed, verifySignature } from "../../../cli/host/identity/ed25519.ts";
import { issueAuthority, issueMember } from "../../../cli/host/identity/issuing.ts";
import { Keyring, KeyringError, type KeyringErrorReason } from "../../../cli/host/identity/keyring.ts";
import {
  KEYRING_BYTES_MAX,
  KEYRING_GENERATIONS_MAX,
  parseKeyring,
} from "../../../cli/host/identity/keyring_file.ts";
import { PrivateFileError, type PrivateFileErrorReason } from "../../../cli/host/identity/private_file.ts";
import { Sealing, SealingError, type SealingErrorReason } from "../../../cli/host/identity/sealing.ts";
import { generation, member, NETWORK, NOW, OTHER_NETWORK, withDirectory } from "./support.ts";

const OWNER = { network: NETWORK, disk: "d1" };
const ADMIN_KEY = publicKeyOfSeed(new Uint8Array(32).fill(3));
const PASSPHRASE = "correct horse battery";

const refused = (reason: KeyringErrorReason) => (error: unknown) =>
  error instanceof KeyringError && error.reason === reason;
const refusedFile = (reason: PrivateFileErrorReason) => (error: unknown) =>
  error instanceof PrivateFileError && error.reason === reason;
const refusedSealing = (reason: SealingErrorReason) => (error: unknown) =>
  error instanceof SealingError && error.reason === reason;

const fileOf = (directory: string) => join(directory, "keyring.json");
const textOf = (directory: string) => Deno.readTextFileSync(fileOf(directory));

function keyFile(directory: string, name = "key", bytes = 32): string {
  const path = join(directory, "..", name);
  Deno.writeFileSync(path, crypto.getRandomValues(new Uint8Array(bytes)), { mode: 0o600 });
  return path;
}

/** What someone could know of a keyring through its methods. */
function stateOf(keyring: Keyring) {
  const { network, disk, publicKey, generations, certificates, founding } = keyring;
  const secrets = generations.map(({ id }) => keyring.secretOf(id).toHex());
  return { network, disk, publicKey, generations, certificates, founding, secrets };
}

async function filled(directory: string, sealing?: Sealing): Promise<Keyring> {
  const keyring = Keyring.create({ directory, ...OWNER, ...(sealing === undefined ? {} : { sealing }) });
  const one = await generation(), two = await generation({ id: 2 });
  keyring.addGeneration({ ...one, state: "current" });
  keyring.addGeneration({ ...two, state: "made" });
  // The seed is not to be had: a certificate is issued for the public key.
  keyring.setCertificate(
    await issueMember({ ...one, node: "sirius", publicKey: keyring.publicKey, now: NOW }),
  );
  keyring.setFounding({ access: { id: "SOAAAABBBBCCCCDDDD", publicKey: ADMIN_KEY, name: "admin" } });
  return keyring;
}

Deno.test("Keyring.open() gives back what was put in", () =>
  withDirectory(async (directory) => {
    assert.equal(Keyring.look(directory), "none");
    const keyring = await filled(directory);
    assert.equal(Keyring.look(directory), "open");
    const again = Keyring.open({ directory, owner: OWNER });
    assert.deepEqual(stateOf(again), stateOf(keyring));
    assert.deepEqual(again.generations.map(({ id, state }) => [id, state]), [[2, "made"], [1, "current"]]);
    assert.equal(again.certificates[0]!.generation, 1);
    const bytes = Uint8Array.of(1, 2, 3);
    assert.ok(verifySignature(keyring.publicKey, bytes, again.sign(bytes)));
    assert.match(
      again.privateKeyPem(),
      /^-----BEGIN PRIVATE KEY-----\n[A-Za-z0-9+/]{64}\n-----END PRIVATE KEY-----\n$/,
    );
  }));

Deno.test("Keyring.create() takes over a seed that was drawn before, and never a keyring that is there", () =>
  withDirectory((directory) => {
    const seed = new Uint8Array(32).fill(3);
    assert.equal(Keyring.create({ directory, ...OWNER, seed }).publicKey, publicKeyOfSeed(seed));
    assert.throws(() => Keyring.create({ directory, ...OWNER }), refused("exists"));
    assert.equal(Keyring.open({ directory }).publicKey, publicKeyOfSeed(seed));
  }));

Deno.test("the keyring's file is its owner's alone, and no draft of it stays", () =>
  withDirectory(async (directory) => {
    await Deno.writeTextFile(`${fileOf(directory)}.new`, "left by a crash", { mode: 0o644 });
    await filled(directory);
    assert.equal(Deno.statSync(fileOf(directory)).mode! & 0o777, 0o600);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["keyring.json"]);
    await Deno.writeTextFile(`${fileOf(directory)}.new`, "left by a crash");
    Keyring.open({ directory });
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["keyring.json"]);
  }));

Deno.test("toVault() seals with the current generation and opens with all", () =>
  withDirectory(async (directory) => {
    const keyring = Keyring.create({ directory, ...OWNER });
    assert.equal(keyring.toVault().current, 0);
    for (const id of [1, 2]) keyring.addGeneration({ ...await generation({ id }), state: "current" });
    const vault = keyring.toVault();
    assert.equal(vault.current, 2);
    assert.deepEqual(vault.generations(), [1, 2]);
    const salt = new Uint8Array(32), nonce = new Uint8Array(12), none = new Uint8Array(0);
    const sealed = vault.cipher("x", 1, salt).seal(nonce, salt, none);
    assert.deepEqual(
      Keyring.open({ directory }).toVault().cipher("x", 1, salt).open(nonce, sealed, none),
      salt,
    );
  }));

Deno.test("a generation has one secret for ever, and at most one is current (Y3)", () =>
  withDirectory(async (directory) => {
    const keyring = await filled(directory);
    const foreign = await generation({ id: 2, fill: 77 });
    assert.throws(() => keyring.addGeneration({ ...foreign, state: "current" }), refused("mismatch"));
    keyring.addGeneration({ ...await generation({ id: 2 }), state: "current" });
    assert.deepEqual(keyring.generations.map(({ id, state }) => [id, state]), [[2, "current"], [
      1,
      "former",
    ]]);
    keyring.setState(1, "current");
    assert.deepEqual(keyring.generations.map(({ id, state }) => [id, state]), [[2, "former"], [
      1,
      "current",
    ]]);
    assert.deepEqual(stateOf(Keyring.open({ directory })), stateOf(keyring));
    assert.throws(() => keyring.setState(3, "made"), refused("unknown-generation"));
    assert.throws(() => keyring.secretOf(3), refused("unknown-generation"));
  }));

Deno.test("a secret is taken only with the authority that comes from it (Y2)", () =>
  withDirectory(async (directory) => {
    const keyring = Keyring.create({ directory, ...OWNER });
    const one = await generation(), two = await generation({ id: 2 });
    const elsewhere = await generation({ network: OTHER_NETWORK });
    for (
      const bad of [
        { ...one, secret: two.secret },
        { ...one, authority: two.authority },
        { ...one, id: 2 },
        elsewhere,
        { ...one, authority: one.authority.subarray(1) },
        { ...one, secret: one.secret.subarray(1) },
      ]
    ) assert.throws(() => keyring.addGeneration({ ...bad, state: "made" }), refused("mismatch"));
    assert.deepEqual(keyring.generations, []);
  }));

Deno.test("dropGeneration() forgets secret and certificates, and never the current one", () =>
  withDirectory(async (directory) => {
    const keyring = await filled(directory);
    const secret = keyring.secretOf(1).toHex();
    assert.throws(() => keyring.dropGeneration(1), RangeError);
    keyring.setState(2, "current");
    keyring.dropGeneration(1);
    keyring.dropGeneration(1);
    assert.ok(!keyring.has(1));
    assert.deepEqual(keyring.certificates, []);
    assert.ok(!textOf(directory).includes(secret));
    assert.deepEqual(stateOf(Keyring.open({ directory })), stateOf(keyring));
  }));

Deno.test("rename() keeps the secrets under authorities of the new name, sealed or not, and nothing by the old", () =>
  withDirectory(async (directory) => {
    for (const sealing of [undefined, Sealing.passphrase(PASSPHRASE)]) {
      const keyring = await filled(directory, sealing);
      const before = stateOf(keyring);
      const authorities = new Map<number, Uint8Array>();
      for (const { id } of keyring.generations) {
        const secret = keyring.secretOf(id);
        authorities.set(
          id,
          await issueAuthority({ network: OTHER_NETWORK, generation: id, secret, now: NOW }),
        );
      }
      assert.throws(() => keyring.rename(OTHER_NETWORK, new Map()), refused("mismatch"));
      assert.deepEqual(stateOf(keyring), before);
      keyring.rename(OTHER_NETWORK, authorities);
      const owner = { ...OWNER, network: OTHER_NETWORK };
      const again = Keyring.open({ directory, owner, ...(sealing === undefined ? {} : { sealing }) });
      assert.deepEqual(stateOf(again), stateOf(keyring));
      assert.deepEqual(stateOf(again).secrets, before.secrets);
      assert.deepEqual([again.publicKey, again.certificates, again.network], [
        before.publicKey,
        [],
        OTHER_NETWORK,
      ]);
      assert.deepEqual(again.generations.map(({ id }) => id), before.generations.map(({ id }) => id));
      Deno.removeSync(fileOf(directory));
    }
  }));

Deno.test("a keyring has a bounded number of generations", () =>
  withDirectory(async (directory) => {
    const keyring = Keyring.create({ directory, ...OWNER });
    for (let id = 1; id <= KEYRING_GENERATIONS_MAX; id++) {
      keyring.addGeneration({ ...await generation({ id }), state: "former" });
    }
    const next = await generation({ id: KEYRING_GENERATIONS_MAX + 1 });
    assert.throws(() => keyring.addGeneration({ ...next, state: "made" }), refused("full"));
    assert.ok(Deno.statSync(fileOf(directory)).size < KEYRING_BYTES_MAX / 4);
    Keyring.open({ directory });
  }));

Deno.test("setCertificate() refuses what is not this node's", () =>
  withDirectory(async (directory) => {
    const keyring = await filled(directory);
    const other = await member(await generation());
    assert.throws(() => keyring.setCertificate(other.der), refused("mismatch"));
    assert.throws(() => keyring.setCertificate(new Uint8Array(5)), CertificateError);
  }));

Deno.test("a keyring sealed with a passphrase opens with it, and stays sealed over changes", () =>
  withDirectory(async (directory) => {
    const keyring = await filled(directory);
    const secret = keyring.secretOf(1).toHex();
    assert.ok(textOf(directory).includes(secret));
    keyring.sealWith(Sealing.newPassphrase(PASSPHRASE));
    assert.equal(keyring.seal, "passphrase");
    assert.equal(Keyring.look(directory), "passphrase");
    assert.ok(!textOf(directory).includes(secret));
    const before = textOf(directory);
    keyring.setFounding(null);
    assert.notEqual(textOf(directory), before);
    const again = Keyring.open({ directory, sealing: Sealing.passphrase(PASSPHRASE), owner: OWNER });
    assert.deepEqual(stateOf(again), stateOf(keyring));

    again.reseal(Sealing.newPassphrase("another horse battery"));
    assert.throws(
      () => Keyring.open({ directory, sealing: Sealing.passphrase(PASSPHRASE) }),
      refused("wrong-passphrase"),
    );
    const third = Keyring.open({ directory, sealing: Sealing.passphrase("another horse battery") });
    third.unseal();
    assert.equal(Keyring.look(directory), "open");
    assert.deepEqual(stateOf(Keyring.open({ directory })), stateOf(keyring));
    assert.throws(() => third.unseal(), refused("not-sealed"));
  }));

Deno.test("a passphrase is the same however its letters are composed, and a new one has a least length", () => {
  const salt = new Uint8Array(32);
  const box = Sealing.newPassphrase("caf\u00e9 au lait").unlock(salt).seal(salt, salt);
  assert.deepEqual(Sealing.passphrase("cafe\u0301 au lait").unlock(salt).open(box, salt), salt);
  assert.equal(Sealing.passphrase("cafe au lait").unlock(salt).open(box, salt), null);
  assert.throws(() => Sealing.newPassphrase("short"), refusedSealing("weak"));
  assert.throws(() => Sealing.passphrase("x".repeat(1025)), refusedSealing("weak"));
});

Deno.test("a keyring sealed with a key file opens with that file and no other", () =>
  withDirectory(async (directory) => {
    const path = keyFile(directory), other = keyFile(directory, "other");
    const outside = { outside: directory };
    const keyring = await filled(directory, Sealing.keyFile(path, outside));
    assert.equal(Keyring.look(directory), "key-file");
    const again = Keyring.open({ directory, sealing: Sealing.keyFile(path, outside) });
    assert.deepEqual(stateOf(again), stateOf(keyring));
    assert.throws(
      () => Keyring.open({ directory, sealing: Sealing.keyFile(other, outside) }),
      refused("wrong-key-file"),
    );
    assert.throws(() => Keyring.open({ directory }), refused("sealed"));
    assert.throws(
      () => Keyring.open({ directory, sealing: Sealing.passphrase(PASSPHRASE) }),
      refused("sealed"),
    );
    assert.throws(() => again.sealWith(Sealing.keyFile(other, outside)), refused("sealed"));
  }));

Deno.test("a key file is refused inside the data directory, behind a link into it, when short, missing or open to others", () =>
  withDirectory(async (directory) => {
    const outside = { outside: directory };
    const inside = join(directory, "key");
    await Deno.writeFile(inside, new Uint8Array(32), { mode: 0o600 });
    assert.throws(() => Sealing.keyFile(inside, outside), refusedSealing("inside"));
    const link = join(directory, "..", "link");
    await Deno.symlink(inside, link);
    assert.throws(() => Sealing.keyFile(link, outside), refusedSealing("inside"));
    // A neighbour whose name begins alike is not inside.
    const neighbour = `${directory}-keys`;
    await Deno.writeFile(neighbour, new Uint8Array(32), { mode: 0o600 });
    Sealing.keyFile(neighbour, outside);
    assert.throws(() => Sealing.keyFile(keyFile(directory, "short", 31), outside), refusedSealing("short"));
    assert.throws(() => Sealing.keyFile(join(directory, "..", "none"), outside), refusedSealing("missing"));
    await Deno.chmod(neighbour, 0o640);
    assert.throws(() => Sealing.keyFile(neighbour, outside), refusedFile("rights"));
    assert.throws(() => Sealing.keyFile(directory, outside), refusedFile("kind"));
  }));

Deno.test("attack: a keyring that others may read is refused, with the command that mends it", () =>
  withDirectory(async (directory) => {
    await filled(directory);
    for (const mode of [0o644, 0o640, 0o606, 0o601, 0o620]) {
      await Deno.chmod(fileOf(directory), mode);
      assert.throws(() => Keyring.open({ directory }), (error) => {
        return refusedFile("rights")(error) &&
          (error as Error).message.includes(`chmod 600 "${fileOf(directory)}"`);
      });
    }
    await Deno.chmod(fileOf(directory), 0o600);
    Keyring.open({ directory });
  }));

Deno.test("attack: the keyring of another network or another node, put in its place", () =>
  withDirectory(async (directory) => {
    await filled(directory);
    Keyring.open({ directory, owner: OWNER });
    for (const owner of [{ ...OWNER, network: OTHER_NETWORK }, { ...OWNER, disk: "d2" }]) {
      assert.throws(() => Keyring.open({ directory, owner }), refused("foreign"));
    }
  }));

Deno.test("attack: a sealed keyring under another name does not open, though its checksum is made right", () =>
  withDirectory(async (directory) => {
    const path = keyFile(directory);
    const sealing = () => Sealing.keyFile(path, { outside: directory });
    await filled(directory, sealing());
    await rewrite(directory, (keyring) => keyring.disk = "d2");
    assert.throws(
      () => Keyring.open({ directory, sealing: sealing(), owner: { ...OWNER, disk: "d2" } }),
      refused("wrong-key-file"),
    );
  }));

Deno.test("attack: an open keyring whose parts were exchanged contradicts itself", () =>
  withDirectory(async (directory) => {
    await filled(directory);
    const original = textOf(directory);
    const other = await generation({ id: 1, fill: 55 });
    const stranger = await member(await generation());
    // deno-lint-ignore no-explicit-any -- edits of JSON
    const edits: ((content: any) => void)[] = [
      (content) => content.generations[0].secret = other.secret.toHex(),
      (content) => content.generations[0].authority = other.authority.toBase64(),
      (content) => content.generations[0].id = 3,
      (content) => content.generations[1].state = "current",
      (content) => content.generations[1] = content.generations[0],
      (content) => content.certificates[0].der = stranger.der.toBase64(),
      (content) => content.certificates[0].generation = 2,
      (content) => content.seed = "00".repeat(32),
      (content) => content.seed = "00",
      (content) => delete content.founding,
      (content) => content.founding.access.publicKey = "01" + "00".repeat(31),
      (content) => content.generations[0].state = "wanted",
      (content) => content.generations = Array(KEYRING_GENERATIONS_MAX + 1).fill(content.generations[0]),
    ];
    for (const edit of edits) {
      await Deno.writeTextFile(fileOf(directory), original);
      await rewrite(directory, (keyring) => edit(keyring.content));
      assert.throws(() => Keyring.open({ directory }), refused("damaged"), edit.toString());
    }
  }));

Deno.test("attack: one flipped bit anywhere in an open keyring is found, and no message tells a secret", () =>
  withDirectory(async (directory) => {
    const keyring = await filled(directory);
    const secrets = [keyring.secretOf(1).toHex(), keyring.secretOf(2).toHex()];
    const bytes = Deno.readFileSync(fileOf(directory));
    for (let at = 0; at < bytes.length; at++) {
      const copy = bytes.slice();
      copy[at]! ^= 1 << (at % 8);
      assert.throws(() => {
        const parsed = parseKeyring("keyring.json", copy);
        // White space between the values is all that may differ.
        assert.deepEqual(parsed, parseKeyring("keyring.json", bytes));
        throw new KeyringError("damaged", "white space");
      }, (error) => {
        if (!(error instanceof KeyringError)) return false;
        return ["damaged", "newer"].includes(error.reason) &&
          secrets.every((secret) => !error.message.includes(secret.slice(0, 8)));
      }, `byte ${at}`);
    }
  }));

Deno.test("a wrong passphrase, a damaged file, a newer format and a missing file are told apart", () =>
  withDirectory(async (directory) => {
    assert.throws(() => Keyring.open({ directory }), refused("missing"));
    const keyring = await filled(directory, Sealing.newPassphrase(PASSPHRASE));
    const open = () => Keyring.open({ directory, sealing: Sealing.passphrase(PASSPHRASE) });
    assert.deepEqual(stateOf(open()), stateOf(keyring));
    assert.throws(
      () => Keyring.open({ directory, sealing: Sealing.passphrase("wrong horse battery") }),
      refused("wrong-passphrase"),
    );
    const whole = textOf(directory);
    const box = /"content": "(.{20})/.exec(whole)![1]!;
    await Deno.writeTextFile(fileOf(directory), whole.replace(box, box.split("").reverse().join("")));
    assert.throws(open, refused("damaged"));
    await Deno.writeTextFile(fileOf(directory), whole.slice(0, -40));
    assert.throws(open, refused("damaged"));
    await Deno.writeTextFile(fileOf(directory), "");
    assert.throws(open, refused("damaged"));
    await Deno.writeTextFile(fileOf(directory), whole.replace('"format": 1', '"format": 2'));
    assert.throws(open, refused("newer"));
    await Deno.writeTextFile(fileOf(directory), " ".repeat(KEYRING_BYTES_MAX + 1));
    assert.throws(open, refusedFile("size"));
  }));

Deno.test("a keyring whose file cannot be written stays as it was, in memory too (Y1)", () =>
  withDirectory(async (directory) => {
    const keyring = await filled(directory);
    const before = stateOf(keyring), text = textOf(directory);
    // A folder in place of the draft, which cannot be removed as it is not empty: root writes past any rights.
    await Deno.mkdir(join(`${fileOf(directory)}.new`, "x"), { recursive: true });
    assert.throws(() => keyring.setFounding(null));
    assert.throws(() => keyring.setState(2, "current"));
    assert.throws(() => keyring.sealWith(Sealing.newPassphrase(PASSPHRASE)));
    assert.deepEqual(stateOf(keyring), before);
    assert.equal(keyring.seal, "open");
    assert.equal(textOf(directory), text);
  }));

Deno.test("nothing that prints a keyring, a sealing or a box prints a secret (Y4)", () =>
  withDirectory(async (directory) => {
    const sealing = Sealing.newPassphrase(PASSPHRASE);
    const keyring = await filled(directory);
    const box = sealing.unlock(new Uint8Array(32));
    const secret = keyring.secretOf(1), pem = keyring.privateKeyPem().split("\n")[1]!;
    const forbidden = [
      secret.toHex(),
      secret.toBase64(),
      [...secret.subarray(0, 4)].join(", "),
      pem,
      PASSPHRASE,
    ];
    for (const thing of [keyring, sealing, box, keyring.toVault()]) {
      const shown = [
        String(thing),
        JSON.stringify(thing),
        Deno.inspect(thing, { depth: 9 }),
        inspect(thing, { depth: 9, showHidden: true }),
      ];
      for (const text of shown) for (const word of forbidden) assert.ok(!text.includes(word), text);
    }
    assert.deepEqual(JSON.parse(JSON.stringify(keyring)).generations, [{ id: 2, state: "made" }, {
      id: 1,
      state: "current",
    }]);
  }));

Deno.test("whatever the file holds, parseKeyring() throws KeyringError and nothing else", () => {
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json().map((text) => new TextEncoder().encode(text)),
    fc.record({ format: fc.constantFrom(1, 2, "1"), checksum: fc.string(), keyring: fc.jsonValue() })
      .map((value) => new TextEncoder().encode(JSON.stringify(value))),
  );
  fc.assert(
    fc.property(any, (bytes) => {
      assert.throws(() => parseKeyring("keyring.json", bytes), KeyringError);
    }),
    { numRuns: 1000 },
  );
});

/** Edits the file and makes its checksum right again, as who has the disk can. */
// deno-lint-ignore no-explicit-any -- edits of JSON
async function rewrite(directory: string, edit: (keyring: any) => void): Promise<void> {
  const file = JSON.parse(textOf(directory));
  edit(file.keyring);
  file.checksum = createHash("sha256").update(JSON.stringify(file.keyring)).digest("hex");
  await Deno.writeTextFile(fileOf(directory), JSON.stringify(file));
}
