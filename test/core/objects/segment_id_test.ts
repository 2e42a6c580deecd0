import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { drawnSegment, isOwner, segmentOfToken } from "../../../core/objects/segment_id.ts";

const secret = Uint8Array.from({ length: 32 }, (_, i) => i), owner = { bucket: "maps", key: "2026/α" };

Deno.test("drawnSegment() makes the id that the token lets write, and of which proof and owner are (N1, N2)", () => {
  const { id, proof, token } = drawnSegment(secret, owner);
  const sha = (...parts: (Uint8Array | string)[]) => {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return hash.digest();
  };
  assert.equal(id, sha(sha(secret), sha("maps\0" + "2026/α")).subarray(0, 16).toString("hex"));
  assert.equal(segmentOfToken(token), id);
  assert.ok(isOwner(id, proof, "maps\0" + "2026/α"));
  // What a row and its name say does not make a token.
  assert.notEqual(segmentOfToken(new Uint8Array([...proof, ...token.subarray(32)])), id);
});

Deno.test("another secret, proof or owner makes another id (N1, N2)", () => {
  const { id, proof, token } = drawnSegment(secret, owner);
  for (let i = 0; i < 64; i++) {
    const changed = token.slice();
    changed[i]! ^= 1;
    assert.notEqual(segmentOfToken(changed), id);
    assert.notEqual(segmentOfToken(token.subarray(0, i)), id);
  }
  for (const other of ["maps\0" + "2026/β", "maps2\0" + "026/α", "maps/2026/α", "eve\0x", ""]) {
    assert.ok(!isOwner(id, proof, other), other);
  }
  for (const other of [secret, new Uint8Array(32), proof.subarray(0, 31)]) {
    assert.ok(!isOwner(id, other, "maps\0" + "2026/α"));
  }
});
