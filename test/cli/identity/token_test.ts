/** Invite tokens: what they carry comes back, and what is no token is told apart by kind. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  drawInvite,
  formatToken,
  inviteHash,
  inviteProof,
  type InviteToken,
  looksLikeToken,
  parseToken,
  TOKEN_ADDRESSES_MAX,
  TokenError,
  type TokenErrorReason,
} from "../../../cli/host/identity/token.ts";
import { concatBytes } from "../../../core/base/bytes.ts";
import { encode, type Wire } from "../../../core/wire/cbor.ts";
import { NETWORK } from "./support.ts";

const TOKEN: InviteToken = {
  network: NETWORK,
  addresses: ["127.0.0.1:7070", "[::1]:7071", "node.example.org:7072"],
  fingerprints: ["ab".repeat(32), "cd".repeat(32)],
  id: "0123456789abcdef",
  secret: new Uint8Array(16).fill(9),
};

const refused = (reason: TokenErrorReason) => (error: unknown) =>
  error instanceof TokenError && error.reason === reason;

/** A token whose checksum is right, whatever is in it: what a forger makes. */
function forged(payload: Uint8Array): string {
  const checksum = new Uint8Array(createHash("sha256").update(payload).digest()).subarray(0, 4);
  return "so1." + concatBytes([payload, checksum]).toBase64({ alphabet: "base64url", omitPadding: true });
}

Deno.test("parseToken() gives back what formatToken() was given", () => {
  assert.deepEqual(parseToken(formatToken(TOKEN)), TOKEN);
  assert.deepEqual(parseToken(`  ${formatToken(TOKEN)}\n`), TOKEN);
  const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => b.toHex());
  const port = fc.integer({ min: 0, max: 65535 });
  const any = fc.record({
    network: hex(16),
    addresses: fc.array(
      fc.tuple(fc.domain(), port).map(([host, n]) => `${host}:${n}`).filter((a) => a.length < 256),
      {
        minLength: 1,
        maxLength: TOKEN_ADDRESSES_MAX,
      },
    ),
    fingerprints: fc.array(hex(32), { minLength: 1, maxLength: 4 }),
    id: hex(8),
    secret: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  }, { noNullPrototype: true });
  fc.assert(fc.property(any, (token) => assert.deepEqual(parseToken(formatToken(token)), token)));
});

Deno.test("formatToken() is one word that fits a shell without quotes", () => {
  assert.match(formatToken(TOKEN), /^so1\.[\w-]+$/);
  assert.ok(
    formatToken({ ...TOKEN, addresses: ["10.0.0.1:7070"], fingerprints: ["ab".repeat(32)] }).length < 150,
  );
});

Deno.test("formatToken() makes nothing that parseToken() would refuse", () => {
  const bad: Partial<InviteToken>[] = [
    { addresses: [] },
    { addresses: ["nowhere"] },
    { addresses: Array(TOKEN_ADDRESSES_MAX + 1).fill("a:1") },
    { fingerprints: [] },
    { fingerprints: ["ab"] },
    { id: "ab" },
    { secret: new Uint8Array(15) },
    { network: "ab" },
  ];
  for (const part of bad) {
    assert.throws(() => formatToken({ ...TOKEN, ...part }), RangeError, JSON.stringify(part));
  }
});

Deno.test("drawInvite() draws what the network checks by the hash of a hash", () => {
  const one = drawInvite(), two = drawInvite();
  assert.notEqual(one.id, two.id);
  assert.notDeepEqual(one.secret, two.secret);
  assert.match(one.id, /^[0-9a-f]{16}$/);
  assert.equal(one.secret.length, 16);
  const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
  assert.equal(inviteProof(one.secret), hash(one.secret).toString("hex"));
  assert.equal(inviteHash(one.secret), hash(hash(one.secret)).toString("hex"));
  assert.equal(one.hash, inviteHash(one.secret));
});

Deno.test("attack: a truncated token, at every length", () => {
  const token = formatToken(TOKEN);
  for (let length = 4; length < token.length; length++) {
    assert.throws(() => parseToken(token.slice(0, length)), refused("damaged"), `${length}`);
  }
  assert.throws(() => parseToken("so"), refused("not-a-token"));
});

Deno.test("attack: one character changed anywhere in a token", () => {
  const token = formatToken(TOKEN);
  for (let at = 4; at < token.length; at++) {
    for (const other of ["A", "z", "_", "=", " ", "\u00e9"]) {
      if (token[at] === other) continue;
      assert.throws(() => parseToken(token.slice(0, at) + other + token.slice(at + 1)), (error) => {
        return error instanceof TokenError && error.reason === "damaged";
      }, `${at} ${other}`);
    }
  }
});

Deno.test("attack: one flipped bit anywhere in what a token carries", () => {
  const bytes = Uint8Array.fromBase64(formatToken(TOKEN).slice(4), { alphabet: "base64url" });
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = bytes.slice();
    copy[bit >> 3]! ^= 1 << (bit & 7);
    const text = "so1." + copy.toBase64({ alphabet: "base64url", omitPadding: true });
    assert.throws(() => parseToken(text), refused("damaged"), `bit ${bit}`);
  }
});

Deno.test("attack: a forged token whose checksum is right is told from a damaged one", () => {
  const network = Uint8Array.fromHex(NETWORK), print = new Uint8Array(32), id = new Uint8Array(8);
  const secret = new Uint8Array(16);
  const good: Wire[] = [network, ["a:1"], [print], id, secret];
  assert.deepEqual(parseToken(forged(encode(good))).addresses, ["a:1"]);
  const but = (at: number, value: Wire) => good.map((item, i) => i === at ? value : item);
  const payloads: Wire[] = [
    null,
    [],
    good.slice(0, 4),
    [...good, 1],
    but(0, "net"),
    but(0, new Uint8Array(15)),
    but(1, []),
    but(1, ["a"]),
    but(1, ["a:99999"]),
    but(1, ["a b:1"]),
    but(1, ["\u001b[2J:1"]),
    but(1, Array(TOKEN_ADDRESSES_MAX + 1).fill("a:1")),
    but(1, ["a".repeat(300) + ":1"]),
    but(2, []),
    but(2, [new Uint8Array(31)]),
    but(2, Array(5).fill(print)),
    but(3, new Uint8Array(9)),
    but(4, new Uint8Array(17)),
  ];
  for (const payload of payloads) {
    assert.throws(() => parseToken(forged(encode(payload))), refused("invalid"));
  }
  assert.throws(() => parseToken(forged(concatBytes([encode(good), Uint8Array.of(0)]))), refused("invalid"));
});

Deno.test("a token of another version, an address and an overlong text are told apart", () => {
  assert.throws(() => parseToken("so2." + formatToken(TOKEN).slice(4)), refused("version"));
  assert.throws(() => parseToken("127.0.0.1:7070"), refused("not-a-token"));
  assert.throws(() => parseToken(""), refused("not-a-token"));
  assert.throws(() => parseToken("so1." + "A".repeat(100_000)), refused("damaged"));
  assert.ok(looksLikeToken(formatToken(TOKEN)));
  assert.ok(looksLikeToken("so2.x"));
  assert.ok(!looksLikeToken("so1:7070"));
  assert.ok(!looksLikeToken("127.0.0.1:7070"));
});

Deno.test("no message of parseToken() has the token in it", () => {
  const token = formatToken(TOKEN);
  for (const bad of [token.slice(0, -1), token.slice(1), "so3." + token, forged(encode([TOKEN.secret]))]) {
    assert.throws(() => parseToken(bad), (error: Error) => !error.message.includes(bad.slice(6, 40)));
  }
});

Deno.test("whatever text comes, parseToken() throws TokenError and nothing else", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: "binary" }).map((tail) => "so1." + tail),
    fc.base64String().map((tail) => "so1." + tail),
    fc.uint8Array({ maxLength: 300 }).map(forged),
  );
  fc.assert(
    fc.property(text, (given) => {
      try {
        parseToken(given);
      } catch (error) {
        if (!(error instanceof TokenError)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});
