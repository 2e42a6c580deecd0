/** The journal's bytes, without a disk: what a batch costs to encode, and a journal of 64 MiB to recover. */
import { logIndex, nodeId, partitionId, term } from "../core/base/ids.ts";
import { encodeRecords, encodeSegmentHeader } from "../core/wire/journal.ts";
import { recoverJournal } from "../core/wire/journal_recovery.ts";
import type { JournalRecord } from "../core/wire/kernel.ts";

const SALT = 0x5a17ed;
const node = nodeId("sirius");
const value = new Uint8Array(256).fill(7);

/** `count` records of one entry each, dealt out to 64 partitions whose logs they continue from `round` on. */
function records(count: number, round: number): JournalRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    kind: "entries",
    partition: partitionId(1 + i % 64),
    entries: [{ term: term(3), index: logIndex(round + Math.floor(i / 64)), kind: "command", data: value }],
  }));
}

for (const count of [1, 16, 64, 256]) {
  const batch = records(count, 1);
  const options = { firstSequence: 1000, durableUpTo: 999, salt: SALT };
  Deno.bench(
    `encode a batch of ${count} records of 256 B`,
    { group: "encode" },
    () => void encodeRecords(batch, options),
  );
}

function journalOf(bytes: number): Uint8Array {
  const parts = [encodeSegmentHeader({ node, segment: 1, firstSequence: 1, salt: SALT })];
  let total = parts[0]!.length;
  for (let batch = 0; total < bytes; batch++) {
    const options = { firstSequence: 1 + batch * 64, durableUpTo: batch * 64, salt: SALT };
    const encoded = encodeRecords(records(64, 1 + batch), options);
    parts.push(encoded);
    total += encoded.length;
  }
  const out = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

for (const mebibytes of [1, 64]) {
  const segments = [{ name: "journal-1", bytes: journalOf(mebibytes * 1024 * 1024) }];
  Deno.bench(`recover ${mebibytes} MiB of records of 256 B`, { group: "recover" }, () => {
    recoverJournal(segments, node);
  });
}
