/** Decoders of a node's journal and of recordings. */
import fc from "fast-check";
import { concatBytes } from "../../core/base/bytes.ts";
import { logIndex, nodeId, partitionId, term } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import { encode, Reader, WireError } from "../../core/wire/cbor.ts";
import { decodeWith } from "../../core/wire/codec.ts";
import { inputWire, readInput } from "../../core/wire/input_codec.ts";
import type { JournalRecord } from "../../core/wire/kernel.ts";
import {
  encodeBatch,
  encodeMark,
  encodeRecord,
  encodeRecords,
  encodeSeal,
  encodeSegmentHeader,
} from "../../core/wire/journal.ts";
import { JournalError, readBatch, recoverJournal } from "../../core/wire/journal_recovery.ts";
import {
  encodeItem,
  encodeItemFrame,
  encodePartHeader,
  PartReader,
  readItem,
  RecordingError,
  type RecordingItem,
} from "../../core/wire/recording.ts";
import { parseIdentity } from "../../cli/host/directory.ts";
import { arbConfiguration, arbMessage, arbRecord, arbRequest } from "../support/arbitraries.ts";
import { type Decoder, decoder, someBytes } from "./decoder.ts";

const NODE = nodeId("sirius");
const SALT = 0x5a17;

/** What parseIdentity() throws, which has no class of its own. */
class IdentityRefused extends Error {}

export const KEPT: readonly Decoder[] = [
  decoder({
    name: "node.json",
    errors: [IdentityRefused],
    sample: (random) =>
      new TextEncoder().encode(JSON.stringify({
        format: 2,
        node: NODE,
        network: "000102030405060708090a0b0c0d0e0f",
        zone: "Carina",
        capacity: 100,
        founder: random.chance(1, 2),
        disk: "00112233",
        started: true,
        peers: ["127.0.0.1:7070"],
        formerly: null,
        aside: null,
      })),
    decode: (bytes) => {
      try {
        return parseIdentity("node.json", new TextDecoder().decode(bytes), { started: true });
      } catch (error) {
        const told = error instanceof Error && error.constructor === Error &&
          /^Cannot read "node.json": .*Restore the file/s.test(error.message);
        throw told ? new IdentityRefused(error.message) : error;
      }
    },
  }),
  decoder({
    name: "journal",
    errors: [JournalError],
    sample: segment,
    decode: (bytes) => recoverJournal([{ name: "journal-1", bytes }], NODE),
  }),
  decoder({
    name: "journal of two segments",
    errors: [JournalError],
    sample: twoSegments,
    decode: (bytes) => {
      // The first two bytes say where the first segment ends.
      const cut = 2 + Math.min(bytes.length, ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0));
      return recoverJournal([
        { name: "journal-1", bytes: bytes.slice(2, cut) },
        { name: "journal-2", bytes: bytes.slice(cut) },
      ], NODE);
    },
  }),
  decoder({
    name: "journal of any records",
    errors: [JournalError],
    sample: records,
    decode: (bytes) => recoverJournal([{ name: "journal-1", bytes: sealedSegment(bytes) }], NODE),
  }),
  decoder({
    name: "journal records",
    errors: [WireError],
    sample: records,
    decode: readBatch,
    encode: (value) => concatBytes(value.map(encodeRecord)),
  }),
  decoder({
    name: "input",
    errors: [WireError],
    sample: input,
    decode: (bytes) => decodeWith(bytes, readInput),
    encode: (value) => encode(inputWire(value)),
  }),
  decoder({
    name: "recording",
    errors: [RecordingError],
    sample: recording,
    decode: readPart,
  }),
  decoder({
    name: "recording of any items",
    errors: [RecordingError],
    sample: item,
    decode: (bytes) =>
      readPart(concatBytes([partHeader(), encodeItemFrame([bytes], { number: 0, salt: SALT })])),
  }),
  decoder({
    name: "recording item",
    errors: [WireError],
    sample: item,
    decode: (bytes) => {
      const reader = new Reader(bytes), found = readItem(reader);
      reader.end();
      return found;
    },
    encode: encodeItem,
  }),
];

// ---- journals

/** Records that follow one another. */
function story(random: Random): JournalRecord[] {
  const partition = partitionId(random.below(4));
  let index = random.below(3);
  const found: JournalRecord[] = [];
  if (index > 0) {
    const [configuration] = fc.sample(arbConfiguration, { numRuns: 1, seed: random.uint32() | 0 });
    found.push({
      kind: "base",
      partition,
      index: logIndex(index),
      term: term(1),
      configuration: configuration!,
      configurationIndex: logIndex(0),
    });
  }
  for (let i = 0; i < 1 + random.below(6); i++) {
    const data = someBytes(random);
    found.push({
      kind: "entries",
      partition,
      entries: [{ term: term(1), index: logIndex(++index), kind: "command", data }],
    });
    if (random.chance(1, 3)) {
      found.push({ kind: "vote", partition, term: term(i + 1), votedFor: NODE });
    }
  }
  if (random.chance(1, 3)) found.push({ kind: "truncate", partition, from: logIndex(index) });
  return found;
}

function records(random: Random): Uint8Array {
  return concatBytes(story(random).map(encodeRecord));
}

function segment(random: Random): Uint8Array {
  const found = story(random);
  const durableUpTo = random.below(found.length + 1);
  const options = { firstSequence: 1, durableUpTo, salt: SALT };
  const header = encodeSegmentHeader({ node: NODE, segment: 1, firstSequence: 1, salt: SALT });
  const seal = encodeSeal({ ...options, firstSequence: found.length + 1, durableUpTo: found.length });
  return concatBytes([header, encodeRecords(found, options), ...(random.chance(1, 2) ? [seal] : [])]);
}

function twoSegments(random: Random): Uint8Array {
  const first = segment(random).subarray(0, 0xffff);
  const { lastSequence } = recoverJournal([{ name: "journal-1", bytes: first.slice() }], NODE);
  const next = { firstSequence: lastSequence + 1, durableUpTo: lastSequence, salt: SALT };
  const head = story(random);
  const parts = [
    encodeSegmentHeader({ node: NODE, segment: 2, firstSequence: next.firstSequence, salt: SALT }),
    encodeRecords(head, { ...next, head: true }),
    encodeMark(head.length, { ...next, firstSequence: next.firstSequence + head.length }),
  ];
  return concatBytes([Uint8Array.of(first.length >> 8, first.length & 0xff), first, ...parts]);
}

/** A segment whose checksums are right, whatever its one batch holds. */
function sealedSegment(batch: Uint8Array): Uint8Array {
  const options = { firstSequence: 1, durableUpTo: 0, salt: SALT };
  return concatBytes([
    encodeSegmentHeader({ node: NODE, segment: 1, firstSequence: 1, salt: SALT }),
    encodeBatch([batch], options),
  ]);
}

// ---- recordings

function input(random: Random): Uint8Array {
  const seed = random.uint32() | 0;
  switch (random.below(5)) {
    case 0: {
      const messages = fc.sample(arbMessage, { numRuns: 1 + random.below(3), seed });
      return encode(inputWire({ kind: "messages", from: NODE, messages }));
    }
    case 1: {
      const requests = fc.sample(arbRequest, { numRuns: 1 + random.below(3), seed })
        .map((request, id) => ({ client: random.below(100), id, request }));
      return encode(inputWire({ kind: "requests", requests }));
    }
    case 2:
      return encode(inputWire({ kind: "persisted", upTo: random.below(1000) }));
    case 3:
      return encode(inputWire({ kind: "client-gone", client: random.below(1000) }));
    default:
      return encode(inputWire({ kind: "peer-lost", peer: NODE }));
  }
}

function item(random: Random): Uint8Array {
  const made: RecordingItem = random.chance(1, 3)
    ? { kind: "record", record: fc.sample(arbRecord, { numRuns: 1, seed: random.uint32() | 0 })[0]! }
    : random.chance(1, 2)
    ? { kind: "rows", rows: [[someBytes(random), someBytes(random)]] }
    : { kind: "begun", rows: random.below(1000) };
  return encodeItem(made);
}

function partHeader(): Uint8Array {
  return encodePartHeader({ node: NODE, life: "life", part: 1, program: "test", salt: SALT });
}

function recording(random: Random): Uint8Array {
  const parts = [partHeader()];
  const frames = random.below(4);
  for (let number = 0; number < frames; number++) {
    const found = Array.from({ length: 1 + random.below(4) }, () => item(random));
    parts.push(encodeItemFrame(found, { number, salt: SALT }));
  }
  return concatBytes(parts);
}

function readPart(bytes: Uint8Array): number {
  const reader = new PartReader({ file: "recording", bytes, last: (bytes[bytes.length - 1] ?? 0) % 2 === 0 });
  let count = 0;
  for (let next = reader.next(); next !== null; next = reader.next()) count += next.length;
  return count;
}
