import assert from "node:assert/strict";
import fc from "fast-check";
import { utf8Encode } from "../../../core/base/bytes.ts";
import { InvariantError } from "../../../core/base/invariant.ts";
import {
  cipherOf,
  deriveSecret,
  hkdf,
  NONCE_BYTES,
  OPEN_VAULT,
  PURPOSES,
  SALT_BYTES,
  SECRET_BYTES,
  TAG_BYTES,
  UnknownKeyError,
  Vault,
} from "../../../core/base/vault.ts";

const NONE = new Uint8Array(0);
const ascending = (length: number, from = 0) => Uint8Array.from({ length }, (_, i) => from + i);
const hex = (bytes: Uint8Array) => bytes.toHex();
const secretOf = (byte: number) => new Uint8Array(SECRET_BYTES).fill(byte);
const salt = ascending(SALT_BYTES, 0x80);
const nonce = ascending(NONCE_BYTES);

Deno.test("hkdf() is HKDF-SHA256 (RFC 5869, appendix A: the first 32 bytes of cases 1 to 3)", () => {
  const cases = [
    {
      secret: new Uint8Array(22).fill(0x0b),
      salt: ascending(13),
      info: ascending(10, 0xf0),
      okm: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
    },
    {
      secret: ascending(80),
      salt: ascending(80, 0x60),
      info: ascending(80, 0xb0),
      okm: "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
    },
    {
      secret: new Uint8Array(22).fill(0x0b),
      salt: NONE,
      info: NONE,
      okm: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
    },
  ];
  for (const { secret, salt, info, okm } of cases) assert.equal(hex(hkdf(secret, salt, info)), okm);
});

Deno.test("cipherOf() is ChaCha20-Poly1305 (RFC 8439, section 2.8.2)", () => {
  const text =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
  const nonce = Uint8Array.fromHex("070000004041424344454647");
  const additional = Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7");
  const sealed = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
    "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
    "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
    "3ff4def08e4b7a9de576d26586cec64b6116" +
    "1ae10b594f09e26a7e902ecbd0600691";
  const cipher = cipherOf(ascending(32, 0x80));
  assert.equal(hex(cipher.seal(nonce, utf8Encode(text), additional)), sealed);
  assert.deepEqual(cipher.open(nonce, Uint8Array.fromHex(sealed), additional), utf8Encode(text));
});

/** Computed by another implementation. Another result would make every file of older builds unreadable. */
Deno.test("what is derived from a generation's secret never changes", () => {
  const secret = ascending(SECRET_BYTES);
  assert.equal(
    hex(deriveSecret(secret, PURPOSES.data)),
    "b841e8139a26fba39e07ff09494ae71622409653521357b3ecdbca5fef1b129a",
  );
  assert.equal(
    hex(deriveSecret(secret, PURPOSES.authority)),
    "c0f914293effdc545db29fd9db73b3cd8e8acadfa240bb13a9b419bb54d297c1",
  );
  const cipher = new Vault(new Map([[1, secret]]), 1).cipher("journal", 1, salt);
  assert.equal(
    hex(cipher.seal(nonce, utf8Encode("star/sirius"), utf8Encode("head"))),
    "5d1b1f4f8062f04903e19c04cc73c2a1e76984f72165ea8e52964d",
  );
});

Deno.test("a cipher opens what it sealed, and nothing that differs in a bit, a nonce or what it is bound to", () => {
  const cipher = new Vault(new Map([[1, secretOf(1)]]), 1).cipher("journal", 1, salt);
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(fc.property(
    bytes(NONCE_BYTES),
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 40 }),
    fc.nat(),
    (nonce, text, additional, at) => {
      const sealed = cipher.seal(nonce, text, additional);
      assert.equal(sealed.length, text.length + TAG_BYTES);
      assert.deepEqual(cipher.open(nonce, sealed, additional), text);
      assert.equal(cipher.open(nonce, flipped(sealed, at), additional), null);
      assert.equal(cipher.open(flipped(nonce, at), sealed, additional), null);
      assert.equal(cipher.open(nonce, sealed, Uint8Array.of(...additional, 0)), null);
      assert.equal(cipher.open(nonce, sealed.subarray(1), additional), null);
      if (additional.length > 0) {
        assert.equal(cipher.open(nonce, sealed, flipped(additional, at)), null);
      }
    },
  ));
});

Deno.test("open() takes what is shorter than a tag for what it is: not sealed", () => {
  const cipher = cipherOf(secretOf(1));
  for (let length = 0; length <= TAG_BYTES; length++) {
    assert.equal(cipher.open(nonce, new Uint8Array(length), NONE), null);
  }
});

Deno.test("K1: files of other salts, purposes or generations have other keys", () => {
  const vault = new Vault(new Map([[1, secretOf(1)], [2, secretOf(2)]]), 2);
  const text = utf8Encode("north star");
  const sealed = vault.cipher("journal", 1, salt).seal(nonce, text, NONE);
  assert.deepEqual(vault.cipher("journal", 1, salt).open(nonce, sealed, NONE), text);
  assert.equal(vault.cipher("journal", 2, salt).open(nonce, sealed, NONE), null);
  assert.equal(vault.cipher("tables", 1, salt).open(nonce, sealed, NONE), null);
  assert.equal(vault.cipher("journal", 1, flipped(salt, 77)).open(nonce, sealed, NONE), null);
});

Deno.test("a vault gains, uses and forgets generations, each time as another vault", () => {
  const first = new Vault(new Map([[1, secretOf(1)]]), 1);
  const both = first.withGeneration(2, secretOf(2));
  assert.deepEqual([both.current, both.generations(), first.generations()], [1, [1, 2], [1]]);
  const second = both.withCurrent(2).withoutGeneration(1);
  assert.deepEqual([second.current, second.generations(), second.has(1)], [2, [2], false]);
  assert.throws(() => second.cipher("journal", 1, salt), UnknownKeyError);
  assert.throws(() => second.withCurrent(3), UnknownKeyError);
  assert.throws(() => second.withoutGeneration(2), RangeError);
  const many = new Vault(new Map([[10, secretOf(1)], [9, secretOf(2)]]), 10);
  assert.deepEqual(many.generations(), [9, 10]);
});

Deno.test("an unknown generation is told with what to do", () => {
  assert.throws(() => OPEN_VAULT.cipher("journal", 3, salt), (error: Error) => {
    assert(error instanceof UnknownKeyError);
    assert.equal(error.generation, 3);
    assert.match(error.message, /^Key generation 3 is not in the keyring\. .+ restore keyring\.json/);
    return true;
  });
});

Deno.test("K4: generation 0 makes no cipher and has no secret", () => {
  assert.deepEqual([OPEN_VAULT.current, OPEN_VAULT.generations()], [0, []]);
  assert.throws(() => OPEN_VAULT.cipher("journal", 0, salt), InvariantError);
  assert.throws(() => new Vault(new Map([[0, secretOf(1)]]), 0), RangeError);
});

Deno.test("a vault takes only whole secrets, and keeps its own copies", () => {
  assert.throws(() => new Vault(new Map([[1, new Uint8Array(31)]]), 1), RangeError);
  assert.throws(() => new Vault(new Map([[1.5, secretOf(1)]]), 0), RangeError);
  const secret = secretOf(1);
  const vault = new Vault(new Map([[1, secret]]), 1);
  secret.fill(0);
  const twin = new Vault(new Map([[1, secretOf(1)]]), 1);
  const sealed = vault.cipher("journal", 1, salt).seal(nonce, salt, NONE);
  assert.deepEqual(twin.cipher("journal", 1, salt).open(nonce, sealed, NONE), salt);
});

Deno.test("an inspected vault and its ciphers show no secret", () => {
  const vault = new Vault(new Map([[1, secretOf(0xa7)]]), 1);
  const cipher = vault.cipher("journal", 1, salt);
  const shown = Deno.inspect([vault, cipher], { showHidden: true, depth: 9 }) +
    JSON.stringify([vault, cipher]);
  assert(!/167|a7/i.test(shown), shown);
});

/** `bytes` with bit `at`, counted round, the other way. */
function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const changed = bytes.slice();
  changed[(at >> 3) % bytes.length]! ^= 1 << (at & 7);
  return changed;
}
