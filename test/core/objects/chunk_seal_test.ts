import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import fc from "fast-check";
import { openChunk, sealChunk, SEGMENT_KEY_BYTES } from "../../../core/objects/chunk_seal.ts";
import { SEAL_BYTES } from "../../../core/objects/fragment.ts";

const KEY = new Uint8Array(SEGMENT_KEY_BYTES).fill(3);
const SEGMENT = "00112233445566778899aabbccddeeff";

Deno.test("openChunk() gives back what sealChunk() sealed, and the seal adds a tag alone", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), (plaintext, chunk) => {
    const sealed = sealChunk(KEY, SEGMENT, chunk, plaintext);
    assert.equal(sealed.length, plaintext.length + SEAL_BYTES);
    assert.deepEqual(openChunk(KEY, SEGMENT, chunk, sealed), Uint8Array.from(plaintext));
  }));
});

Deno.test("sealChunk() is ChaCha20-Poly1305 with the chunk's number as nonce (J1) and its name authenticated (J2)", () => {
  const plaintext = new Uint8Array(100).fill(5);
  const nonce = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xee, 0xdd, 0xcc);
  const cipher = createCipheriv("chacha20-poly1305", KEY, nonce, { authTagLength: 16 });
  cipher.setAAD(Uint8Array.fromHex(SEGMENT + "ffeeddcc"), { plaintextLength: 100 });
  const text = cipher.update(plaintext);
  cipher.final();
  const expected = Uint8Array.of(...text, ...cipher.getAuthTag());
  assert.deepEqual(sealChunk(KEY, SEGMENT, 0xffeeddcc, plaintext), expected);
});

Deno.test("openChunk() refuses other keys, segments, chunks and bytes", () => {
  const sealed = sealChunk(KEY, SEGMENT, 7, Uint8Array.of(1, 2, 3));
  assert.equal(openChunk(new Uint8Array(32), SEGMENT, 7, sealed), null);
  assert.equal(openChunk(KEY, SEGMENT.replace("0", "1"), 7, sealed), null);
  assert.equal(openChunk(KEY, SEGMENT, 8, sealed), null);
  for (let at = 0; at < sealed.length; at++) {
    const damaged = sealed.slice();
    damaged[at]! ^= 1;
    assert.equal(openChunk(KEY, SEGMENT, 7, damaged), null);
    assert.equal(openChunk(KEY, SEGMENT, 7, sealed.subarray(0, at)), null);
  }
});
