import assert from "node:assert/strict";
import fc from "fast-check";
import { partitionId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { erasureCoder as coder } from "../../../core/objects/erasure.ts";
import {
  chunkCount,
  compareFragments,
  encodeFragment,
  equalFragments,
  type Fragment,
  FRAGMENT_HEADER_BYTES,
  fragmentCount,
  fragmentHash,
  fragmentKey,
  joinFragments,
  makeFragments,
  neededCount,
  parseFragment,
  payloadBytes,
  schemeProblem,
  SEAL_BYTES,
  SEALED_BYTES_MAX,
  sealedBytesOf,
  wantedCount,
  writeQuorum,
} from "../../../core/objects/fragment.ts";
import type { FragmentId, Scheme } from "../../../core/wire/objects.ts";
import { fragmentIds, schemes } from "./arbitraries.ts";

const ID: FragmentId = {
  partition: partitionId(700),
  segment: "0123456789abcdef0123456789abcdef",
  chunk: 0x01020304,
  index: 0,
};
const replicated = (copies: number): Scheme => ({ kind: "replicated", copies });
const striped = (data: number, parity: number): Scheme => ({ kind: "striped", data, parity });
const indexed = (scheme: Scheme, id: FragmentId): FragmentId => ({
  ...id,
  index: scheme.kind === "replicated" ? 0 : id.index % fragmentCount(scheme),
});

Deno.test("encodeFragment() writes the header that the format has", () => {
  const payload = Uint8Array.of(0xaa, 0xbb, 0xcc);
  const file = encodeFragment({ ...ID, index: 5 }, { scheme: striped(4, 2), sealedBytes: 10, payload });
  assert.equal(
    file.toHex(),
    "534f4652" + "01" + "01" + "04" + "02" + "05" + "00" + "02bc" + ID.segment + "01020304" + "0000000a" +
      "00000003" + file.subarray(40, 44).toHex() + "aabbcc",
  );
  assert.equal(encodeFragment(ID, { scheme: replicated(3), sealedBytes: 3, payload })[7], 2, "copies - 1");
});

Deno.test("parseFragment() gives back what encodeFragment() wrote, without copying it", () => {
  fc.assert(
    fc.property(schemes, fragmentIds, fc.integer({ min: 1, max: 300 }), (scheme, any, sealedBytes) => {
      const id = indexed(scheme, any);
      const payload = new Uint8Array(payloadBytes(scheme, sealedBytes)).fill(7);
      const file = encodeFragment(id, { scheme, sealedBytes, payload });
      const found = parseFragment(file, id);
      assert.deepEqual(found, { id, scheme, sealedBytes, file, payload });
      assert.equal(found?.payload.buffer, file.buffer);
    }),
  );
});

Deno.test("parseFragment() refuses any damaged bit, and any other length", () => {
  const file = encodeFragment(ID, {
    scheme: replicated(3),
    sealedBytes: 20,
    payload: new Uint8Array(20).fill(9),
  });
  for (let bit = 0; bit < 8 * file.length; bit++) {
    const damaged = file.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(parseFragment(damaged, ID), null, `bit ${bit}`);
  }
  for (let length = 0; length < file.length; length++) {
    assert.equal(parseFragment(file.subarray(0, length), ID), null, `${length} bytes`);
  }
  assert.equal(parseFragment(Uint8Array.of(...file, 0), ID), null, "a byte more");
});

Deno.test("parseFragment() refuses every fragment but the one asked for", () => {
  fc.assert(fc.property(fragmentIds, fragmentIds, (written, asked) => {
    const scheme = striped(LIMITS.stripeMax - 2, 2);
    const file = encodeFragment(written, { scheme, sealedBytes: 100, payload: new Uint8Array(4) });
    assert.equal(parseFragment(file, asked) !== null, equalFragments(written, asked));
  }));
});

Deno.test("parseFragment() refuses bytes that are none, whatever they are", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    assert.equal(parseFragment(bytes, ID), null);
  }));
});

Deno.test("A chunk comes back from any fragments that are enough, in any order", () => {
  const property = fc.property(
    schemes,
    fc.uint8Array({ minLength: 1, maxLength: 400 }),
    fc.infiniteStream(fc.nat()),
    (scheme, sealed, random) => {
      const files = makeFragments(ID, 9, { scheme, sealed, coder });
      assert.equal(files.length, scheme.kind === "replicated" ? 1 : fragmentCount(scheme));
      const fragments = files.map((file, index): Fragment => {
        assert.equal(file.length, FRAGMENT_HEADER_BYTES + payloadBytes(scheme, sealed.length));
        return parseFragment(file, { ...ID, chunk: 9, index }) ?? assert.fail(`fragment ${index} is whole`);
      });
      while (fragments.length > neededCount(scheme)) {
        fragments.splice(random.next().value! % fragments.length, 1);
      }
      if (random.next().value! % 2 === 0) fragments.reverse();
      assert.deepEqual(joinFragments(fragments, coder), sealed);
    },
  );
  fc.assert(property);
});

Deno.test("writeQuorum() and wantedCount() are those of the design, for every number of members", () => {
  // Copies: members 0 to 4.
  assert.deepEqual([0, 1, 2, 3, 4].map((n) => writeQuorum(replicated(3), n)), [null, 1, 2, 2, 2]);
  assert.deepEqual([0, 1, 2, 3, 4].map((n) => wantedCount(replicated(3), n)), [0, 1, 2, 3, 3]);
  assert.deepEqual([1, 2, 3, 4, 5, 6].map((n) => writeQuorum(replicated(5), n)), [1, 2, 2, 3, 3, 3]);
  // Stripes of 4 + 2: five are needed, and six wanted.
  assert.deepEqual([3, 4, 5, 6, 7].map((n) => writeQuorum(striped(4, 2), n)), [null, null, 5, 5, 5]);
  assert.deepEqual([3, 4, 5, 6, 7].map((n) => wantedCount(striped(4, 2), n)), [3, 4, 5, 6, 6]);
  assert.deepEqual([3, 4].map((n) => writeQuorum(striped(2, 1), n)), [3, 3]);
});

Deno.test("After a write quorum, any loss that the scheme is made for leaves enough", () => {
  fc.assert(fc.property(schemes, fc.integer({ min: 1, max: 40 }), (scheme, members) => {
    const quorum = writeQuorum(scheme, members), wanted = wantedCount(scheme, members);
    if (quorum === null) return;
    assert.ok(quorum <= wanted && quorum >= neededCount(scheme));
    const lost = scheme.kind === "replicated" ? Math.floor((wanted - 1) / 2) : Math.floor(scheme.parity / 2);
    assert.ok(quorum - lost >= neededCount(scheme), "so many may be lost right after the answer");
  }));
});

Deno.test("Fragments are ordered by partition, segment, chunk and index, as numbers", () => {
  const naive = ({ partition, segment, chunk, index }: FragmentId) =>
    [partition, chunk, index].map((n) => String(n).padStart(12, "0")).toSpliced(1, 0, segment).join(" ");
  fc.assert(fc.property(fc.array(fragmentIds, { maxLength: 12 }), (ids) => {
    const names = ids.toSorted(compareFragments).map(naive);
    assert.deepEqual(names, ids.map(naive).sort());
    for (const a of ids) {
      for (const b of ids) {
        assert.equal(fragmentKey(a) === fragmentKey(b), equalFragments(a, b));
        assert.equal(compareFragments(a, b) === 0, equalFragments(a, b));
      }
    }
  }));
});

Deno.test("fragmentHash() spreads the chunks of one segment and of many", () => {
  const hashes = new Set<number>();
  for (let chunk = 0; chunk < 1000; chunk++) hashes.add(fragmentHash(ID.segment, chunk));
  for (let i = 0; i < 1000; i++) hashes.add(fragmentHash(i.toString(16).padStart(32, "0"), 0));
  assert.ok(hashes.size > 1990, `${hashes.size} of 2000 differ`);
});

Deno.test("sealedBytesOf() adds up to the segment and a seal for each chunk", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 700 }), (bytes, chunkBytes) => {
      const segment = { bytes, chunkBytes }, chunks = chunkCount(segment);
      let sum = 0;
      for (let chunk = 0; chunk < chunks; chunk++) sum += sealedBytesOf(segment, chunk);
      assert.equal(sum, bytes + chunks * SEAL_BYTES);
    }),
  );
  assert.equal(
    sealedBytesOf({ bytes: LIMITS.segmentBytesMax, chunkBytes: LIMITS.chunkBytesMax }, 5),
    SEALED_BYTES_MAX,
  );
  assert.ok(FRAGMENT_HEADER_BYTES + SEALED_BYTES_MAX <= LIMITS.fragmentBytesMax);
});

Deno.test("schemeProblem() lets pass what the limits allow, and says what is wrong with the rest", () => {
  for (const scheme of [replicated(1), replicated(LIMITS.copiesMax), striped(1, 1), striped(30, 2)]) {
    assert.equal(schemeProblem(scheme), null);
  }
  for (
    const scheme of [
      replicated(0),
      replicated(9),
      replicated(1.5),
      striped(0, 2),
      striped(4, 0),
      striped(31, 2),
    ]
  ) {
    assert.match(schemeProblem(scheme) ?? "", /^A (chunk|stripe) has .* not /);
  }
});
