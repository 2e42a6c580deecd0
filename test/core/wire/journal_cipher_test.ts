/** What encryption adds to the journal. That J1 to J9 hold with it as without: journal_test.ts. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readUint32, utf8Encode, writeUint32 } from "../../../core/base/bytes.ts";
import { crc32 } from "../../../core/base/hash.ts";
import { type LogIndex, nodeId, partitionId, type Term } from "../../../core/base/ids.ts";
import { OPEN_VAULT, Vault } from "../../../core/base/vault.ts";
import {
  encodeBatch,
  encodeMark,
  encodeRecord,
  encodeRecords,
  encodeSeal,
  encodeSegmentHeader,
  PART,
  readSegmentHeader,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from "../../../core/wire/journal.ts";
import { recordCipher } from "../../../core/wire/journal_cipher.ts";
import {
  JournalCorruptError,
  JournalKeyError,
  JournalPlainError,
  type JournalSegment,
  recoverJournal,
} from "../../../core/wire/journal_recovery.ts";
import type { JournalRecord } from "../../../core/wire/kernel.ts";

const node = nodeId("sirius");
const p1 = partitionId(1);
const secretOf = (byte: number) => new Uint8Array(32).fill(byte);
const vault = new Vault(new Map([[1, secretOf(1)], [2, secretOf(2)]]), 2);
const SECRET = "the whereabouts of the north star";

const entry = (index: number): JournalRecord => ({
  kind: "entries",
  partition: p1,
  entries: [{ index: index as LogIndex, term: 1 as Term, kind: "command", data: utf8Encode(SECRET + index) }],
});

interface Written extends JournalSegment {
  /** Where each record begins; the end last. */
  readonly starts: readonly number[];
}

/** A segment of two records one by one, a batch of two, a mark and a seal, which proves them all: entries 1 to 4. */
function written({ segment = 1, from = 1, saltByte = 7 } = {}): Written {
  const salt = new Uint8Array(32).fill(saltByte), key = { generation: 2, salt };
  const checksum = readUint32(salt, 0);
  const header = encodeSegmentHeader({ node, segment, firstSequence: from, salt: checksum, key });
  const cipher = recordCipher(vault, { key, header, opening: new Uint8Array(8).fill(segment) });
  const at = (firstSequence: number) => ({ firstSequence, durableUpTo: 0, salt: checksum, cipher });
  const parts = [
    header,
    encodeRecords([entry(1)], at(from)),
    encodeRecords([entry(2)], at(from + 1)),
    encodeBatch([entry(3), entry(4)].map(encodeRecord), at(from + 2)),
    encodeMark(0, at(from + 3)),
    encodeSeal({ ...at(from + 4), durableUpTo: from + 3 }),
  ];
  const starts: number[] = [];
  let end = 0;
  for (const part of parts) starts.push(end += part.length);
  return { name: `journal-${segment}`, bytes: new Uint8Array(Buffer.concat(parts)), starts };
}

const recover = (bytes: Uint8Array, keys = vault) =>
  recoverJournal([{ name: "journal-1", bytes }], node, keys);

/** Makes the checksum of the record at `at` right again, as one who knows the format can. */
function resealed(bytes: Uint8Array, at: number): Uint8Array {
  const end = at + RECORD_HEADER_BYTES + readUint32(bytes, at);
  writeUint32(bytes, at + 4, crc32(bytes.subarray(at + 8, end), readUint32(bytes, 20)));
  return bytes;
}

Deno.test("C5: with keys, a segment that is not encrypted is not believed", () => {
  const header = encodeSegmentHeader({ node, segment: 1, firstSequence: 1, salt: 9 });
  const records = encodeRecords([entry(1)], { firstSequence: 1, durableUpTo: 0, salt: 9 });
  const bytes = new Uint8Array(Buffer.concat([header, records]));
  assert.equal(recover(bytes, OPEN_VAULT).lastSequence, 1, "where there are none it is");
  assert.throws(() => recover(bytes), (error) => {
    assert(error instanceof JournalPlainError);
    assert.match(
      error.message,
      /"journal-1" is not encrypted, and the network of this data directory is private/,
    );
    return true;
  });
});

Deno.test("an encrypted journal is read back whole, batches included, and shows nothing of what it says", () => {
  const { bytes } = written();
  const { recovered, lastSequence, append, generations } = recover(bytes);
  const entries = recovered.replicas.get(p1)!.entries;
  assert.deepEqual(
    entries.map(({ data }) => Buffer.from(data).toString()),
    [1, 2, 3, 4].map((i) => SECRET + i),
  );
  assert.equal(lastSequence, 5);
  assert.deepEqual(generations, [{ segment: 1, generation: 2 }]);
  assert.deepEqual(append!.key, { generation: 2, salt: new Uint8Array(32).fill(7) });
  assert.equal(Buffer.from(bytes).includes("north star"), false);
});

Deno.test("each bit of an encrypted journal that changes is told, or is the torn end behind all that is proven", () => {
  const { bytes, starts } = written();
  const seal = starts.at(-2)!;
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    if (bit >> 3 < seal) {
      assert.throws(() => recover(changed), JournalCorruptError, `bit ${bit}`);
    } else {
      const { lastSequence, recovered } = recover(changed);
      assert.deepEqual([lastSequence, recovered.replicas.get(p1)!.entries.length], [4, 4], `bit ${bit}`);
    }
  }
});

Deno.test("C3, C4: what was changed on purpose does not open, and is told with file and offset", () => {
  const { bytes, starts } = written();
  const second = starts[1]!, fourth = starts[3]!;
  const changes: readonly [string, number, (bytes: Uint8Array) => void][] = [
    ["what it says", second, (b) => b[second + RECORD_HEADER_BYTES + 12]! ^= 1],
    ["the tag", second, (b) => b[starts[2]! - 1]! ^= 1],
    ["the opening", second, (b) => b[second + RECORD_HEADER_BYTES]! ^= 1],
    ["what it says of others being durable", second, (b) => writeUint32(b, second + 16, 0)],
    ["its part", second, (b) => writeUint32(b, second + 20, PART.head)],
    ["a mark made a seal", fourth, (b) => writeUint32(b, fourth + 20, PART.seal)],
  ];
  for (const [what, at, change] of changes) {
    const changed = bytes.slice();
    change(changed);
    resealed(changed, at);
    assert.throws(() => recover(changed), (error) => {
      assert.ok(error instanceof JournalCorruptError, `${what}: ${error}`);
      assert.deepEqual([error.file, error.offset], ["journal-1", at], what);
      assert.match(error.message, /is not as it was encrypted, though its checksum is right$/);
      return true;
    });
  }
});

Deno.test("C3: a record of another place, or of another segment with the same key, does not open", () => {
  const { bytes, starts } = written();
  const first = bytes.slice(starts[0], starts[1]), second = starts[1]!;
  // Both are as long: the first record again, where the second is due and under its number.
  const swapped = bytes.slice();
  swapped.set(first, second);
  writeUint32(swapped, second + 12, 2);
  resealed(swapped, second);
  assert.throws(() => recover(swapped), JournalCorruptError);
  // A header that says another number, made right again.
  const renumbered = bytes.slice(), header = readSegmentHeader(bytes);
  assert(header.kind === "segment");
  renumbered.set(encodeSegmentHeader({ ...header.header, segment: 9 }));
  assert.throws(() => recover(renumbered), /journal-1/);
});

Deno.test("C3: nobody without the key makes a checkpoint count", () => {
  const first = written(), second = written({ segment: 2, from: 6, saltByte: 9 });
  // The mark of the second alone makes the first needless; here it is one that was forged.
  const forged = second.bytes.slice(), mark = second.starts[3]!;
  forged[mark + RECORD_HEADER_BYTES + 9]! ^= 1;
  resealed(forged, mark);
  const segments = [first, { name: "journal-2", bytes: forged }];
  assert.equal(recoverJournal([first, second], node, vault).lastSequence, 10);
  assert.throws(
    () => recoverJournal(segments, node, vault),
    /journal-2" is damaged .* is not as it was encrypted/,
  );
});

Deno.test("a generation that the keyring lacks is named, with what to do", () => {
  const { bytes } = written();
  for (const keys of [OPEN_VAULT, vault.withCurrent(1).withoutGeneration(2)]) {
    assert.throws(() => recover(bytes, keys), (error) => {
      assert.ok(error instanceof JournalKeyError);
      assert.equal(error.generation, 2);
      assert.match(
        error.message,
        /^Journal file "journal-1" is encrypted with key generation 2, which is not in the keyring\. Restore the keyring\.json/,
      );
      return true;
    });
  }
});

Deno.test("a keyring with another secret is not taken for a damaged journal, which would make the node anew", () => {
  const other = new Vault(new Map([[2, secretOf(3)]]), 2);
  assert.throws(() => recover(written().bytes, other), (error) => {
    assert.ok(error instanceof JournalKeyError);
    assert.equal(error.offset, SEGMENT_HEADER_BYTES);
    assert.match(error.message, /does not open with what the keyring has for it/);
    return true;
  });
});
