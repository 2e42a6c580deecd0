/** What a stranger is told: whole, bounded, and read by nothing but its own rules. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ANSWER_AUTHORITIES_MAX,
  ANSWER_BYTES_MAX,
  ANSWER_STATEMENTS_MAX,
  type AuthorityAnswer,
  decodeAuthorityAnswer,
  encodeAuthorityAnswer,
} from "../../../cli/host/identity/authority_answer.ts";
import { CERTIFICATE_BYTES_MAX } from "../../../cli/host/identity/certificates.ts";
import { publicKeyOfSeed } from "../../../cli/host/identity/ed25519.ts";
import { concatBytes } from "../../../core/base/bytes.ts";
import { encode, type Wire, WireError, type WireErrorReason } from "../../../core/wire/cbor.ts";
import { generation, NETWORK } from "./support.ts";

const KEY = publicKeyOfSeed(new Uint8Array(32).fill(1));
const OPEN: AuthorityAnswer = { network: NETWORK, open: true, authorities: [], statements: [] };

async function answer(): Promise<AuthorityAnswer> {
  const two = await generation({ id: 2 }), one = await generation();
  return {
    network: NETWORK,
    open: false,
    authorities: [two.authority, one.authority],
    statements: [{ key: KEY, signature: new Uint8Array(64).fill(5) }],
  };
}

const refused = (reason: WireErrorReason) => (error: unknown) =>
  error instanceof WireError && error.reason === reason;

Deno.test("decodeAuthorityAnswer() gives back what was encoded", async () => {
  for (const given of [OPEN, await answer()]) {
    assert.deepEqual(decodeAuthorityAnswer(encodeAuthorityAnswer(given)), given);
  }
});

Deno.test("an answer at its bounds fits, and past them it is refused in both directions", async () => {
  const given = await answer();
  const certificate = new Uint8Array(CERTIFICATE_BYTES_MAX).fill(1);
  const full = {
    ...given,
    authorities: Array(ANSWER_AUTHORITIES_MAX).fill(certificate),
    statements: Array(ANSWER_STATEMENTS_MAX).fill(given.statements[0]!),
  };
  const bytes = encodeAuthorityAnswer(full);
  assert.ok(bytes.length <= ANSWER_BYTES_MAX && bytes.length > ANSWER_BYTES_MAX - 64);
  const past: Partial<AuthorityAnswer>[] = [
    { authorities: Array(ANSWER_AUTHORITIES_MAX + 1).fill(certificate) },
    { statements: Array(ANSWER_STATEMENTS_MAX + 1).fill(given.statements[0]!) },
    { authorities: [new Uint8Array(CERTIFICATE_BYTES_MAX + 1)] },
    { authorities: [new Uint8Array(0)] },
    { authorities: [] },
    { open: true },
    { network: "ab" },
    { statements: [{ key: "01" + "00".repeat(31), signature: new Uint8Array(64) }] },
    { statements: [{ key: KEY, signature: new Uint8Array(63) }] },
  ];
  for (const part of past) assert.throws(() => encodeAuthorityAnswer({ ...given, ...part }), RangeError);
  assert.throws(() => decodeAuthorityAnswer(new Uint8Array(ANSWER_BYTES_MAX + 1)), refused("range"));
});

Deno.test("an answer that is no answer is refused by its own reason", () => {
  const network = Uint8Array.fromHex(NETWORK), cert = Uint8Array.of(1), key = Uint8Array.fromHex(KEY);
  const signature = new Uint8Array(64);
  const cases: [WireErrorReason, Wire][] = [
    ["version", [2, network, true, [], []]],
    ["arity", [1, network, true, []]],
    ["invalid", [1, new Uint8Array(15), true, [], []]],
    ["range", [1, new Uint8Array(17), true, [], []]],
    ["type", [1, network, 1, [], []]],
    ["invalid", [1, network, false, [], []]],
    ["invalid", [1, network, true, [cert], []]],
    ["invalid", [1, network, true, [], [[key, signature]]]],
    ["type", [1, network, false, [NETWORK], []]],
    ["invalid", [1, network, false, [cert], [[new Uint8Array(32), signature]]]],
    ["arity", [1, network, false, [cert], [[key]]]],
    ["range", [1, network, false, [cert], [[key, new Uint8Array(65)]]]],
  ];
  for (const [reason, wire] of cases) {
    assert.throws(() => decodeAuthorityAnswer(encode(wire)), refused(reason));
  }
  assert.throws(
    () => decodeAuthorityAnswer(concatBytes([encodeAuthorityAnswer(OPEN), Uint8Array.of(0)])),
    refused("trailing"),
  );
  // An array that says that it has more items than bytes follow.
  const lie = concatBytes([encode([1, network, false]).fill(0x85, 0, 1), Uint8Array.fromHex("9a000fffff")]);
  assert.throws(() => decodeAuthorityAnswer(lie), refused("truncated"));
});

Deno.test("attack: a truncated answer, at every length", async () => {
  const bytes = encodeAuthorityAnswer(await answer());
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeAuthorityAnswer(bytes.subarray(0, length)), WireError);
  }
});

Deno.test("whatever bytes come, decodeAuthorityAnswer() throws WireError or reads what encodes to the same", async () => {
  const whole = encodeAuthorityAnswer(await answer());
  const mutated = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }).map(
    (changes) => {
      const copy = whole.slice();
      for (const [at, value] of changes) copy[at] = value;
      return copy;
    },
  );
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), (bytes) => {
      let read;
      try {
        read = decodeAuthorityAnswer(bytes);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        return;
      }
      assert.deepEqual(encodeAuthorityAnswer(read), bytes);
    }),
    { numRuns: 3000 },
  );
});
