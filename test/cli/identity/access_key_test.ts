/** Access keys: who has the secret logs in, here and now, and nobody else. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  AccessKeyError,
  accessPublicKey,
  isAccessKeyId,
  type LogIn,
  makeAccessKey,
  signLogIn,
  verifyLogIn,
} from "../../../cli/host/identity/access_key.ts";
import { flipped, NETWORK, OTHER_NETWORK } from "./support.ts";

const LOG_IN: LogIn = {
  network: NETWORK,
  serverCertificate: Uint8Array.of(1, 2, 3),
  random: new Uint8Array(32).fill(4),
};

Deno.test("makeAccessKey() draws an id, a secret and its public key, each time others", () => {
  const one = makeAccessKey(), two = makeAccessKey();
  assert.ok(isAccessKeyId(one.id), one.id);
  assert.match(one.secret, /^so-secret-[\w-]{43}$/);
  assert.equal(accessPublicKey(one.secret), one.publicKey);
  assert.ok(one.id !== two.id && one.secret !== two.secret && one.publicKey !== two.publicKey);
  for (const id of ["", "SO", "SOaaaaaaaaaaaaaaaa", `${one.id}A`, "SO1" + "A".repeat(15)]) {
    assert.ok(!isAccessKeyId(id));
  }
});

Deno.test("base32 of ids uses all its letters alike", () => {
  const letters = new Map<string, number>();
  for (let i = 0; i < 2000; i++) {
    for (const letter of makeAccessKey().id.slice(2)) letters.set(letter, (letters.get(letter) ?? 0) + 1);
  }
  assert.equal(letters.size, 32);
  // 1000 of each are expected; 8 standard deviations are 250.
  for (const [letter, count] of letters) assert.ok(Math.abs(count - 1000) < 250, `${letter} ${count}`);
});

Deno.test("a log-in holds for its key, network, server and random bytes, and for no other", () => {
  const { secret, publicKey } = makeAccessKey();
  const signature = signLogIn({ secret, ...LOG_IN });
  assert.equal(signature.length, 64);
  assert.ok(verifyLogIn(publicKey, { ...LOG_IN, signature }));
  const other: Partial<LogIn>[] = [
    { network: OTHER_NETWORK },
    { serverCertificate: Uint8Array.of(1, 2, 4) },
    { serverCertificate: new Uint8Array(0) },
    { random: new Uint8Array(32).fill(5) },
    { random: new Uint8Array(31).fill(4) },
  ];
  for (const part of other) assert.ok(!verifyLogIn(publicKey, { ...LOG_IN, ...part, signature }));
  assert.ok(!verifyLogIn(makeAccessKey().publicKey, { ...LOG_IN, signature }));
});

Deno.test("attack: one flipped bit anywhere in the signature of a log-in", () => {
  const { secret, publicKey } = makeAccessKey();
  const signature = signLogIn({ secret, ...LOG_IN });
  for (let bit = 0; bit < 512; bit++) {
    assert.ok(!verifyLogIn(publicKey, { ...LOG_IN, signature: flipped(signature, bit) }), `bit ${bit}`);
  }
  for (const length of [0, 63, 65]) {
    assert.ok(!verifyLogIn(publicKey, { ...LOG_IN, signature: new Uint8Array(length) }));
  }
});

Deno.test("attack: a public key of small order, under which one signature fits every message", () => {
  const signature = new Uint8Array(64);
  signature[0] = 1;
  for (
    const publicKey of ["01" + "00".repeat(31), "01" + "00".repeat(30) + "80", "00".repeat(32), "zz", ""]
  ) {
    assert.ok(!verifyLogIn(publicKey, { ...LOG_IN, signature }), publicKey);
  }
});

Deno.test("attack: what the network stores does not log in", () => {
  const { publicKey, id } = makeAccessKey();
  const asSecret = "so-secret-" +
    Uint8Array.fromHex(publicKey).toBase64({ alphabet: "base64url", omitPadding: true });
  const signature = signLogIn({ secret: asSecret, ...LOG_IN });
  assert.ok(!verifyLogIn(publicKey, { ...LOG_IN, signature }));
  assert.throws(() => signLogIn({ secret: id, ...LOG_IN }), AccessKeyError);
});

Deno.test("a secret has one form, and no message has it in it", () => {
  const { secret } = makeAccessKey();
  const last = secret.at(-1)!;
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const sameBytes = secret.slice(0, -1) + alphabet[alphabet.indexOf(last) ^ 1];
  for (const bad of [sameBytes, secret.slice(0, -1), secret + "A", secret.toUpperCase(), ` ${secret}`, ""]) {
    assert.throws(() => accessPublicKey(bad), (error) => {
      return error instanceof AccessKeyError && (bad === "" || !error.message.includes(bad.slice(12)));
    }, bad);
  }
});

Deno.test("whatever comes as a secret, a key or a signature, nothing but AccessKeyError is thrown", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.uint8Array({ maxLength: 70 }), (text, publicKey, signature) => {
      assert.equal(verifyLogIn(publicKey, { ...LOG_IN, signature }), false);
      for (const secret of [text, "so-secret-" + text]) {
        assert.throws(() => accessPublicKey(secret), AccessKeyError);
      }
    }),
  );
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => bytes.toHex());
  const signature = fc.uint8Array({ minLength: 64, maxLength: 64 });
  fc.assert(fc.property(key, signature, (publicKey, signature) => {
    assert.equal(verifyLogIn(publicKey, { ...LOG_IN, signature }), false);
  }));
});
