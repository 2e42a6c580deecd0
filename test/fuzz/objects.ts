/** Decoders of what is kept of objects: rows, fragments, sealed chunks, and the names of their files. */
import fc from "fast-check";
import { equalBytes, readUint32, utf8Encode, writeUint32 } from "../../core/base/bytes.ts";
import { crc32 } from "../../core/base/hash.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { type PartitionId, partitionId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import { openChunk, sealChunk, SEGMENT_KEY_BYTES } from "../../core/objects/chunk_seal.ts";
import { erasureCoder } from "../../core/objects/erasure.ts";
import {
  encodeFragment,
  equalSchemes,
  type Fragment,
  FRAGMENT_HEADER_BYTES,
  isFragmentId,
  joinFragments,
  makeFragments,
  neededCount,
  parseFragment,
} from "../../core/objects/fragment.ts";
import { decodeBucket, encodeBucket } from "../../core/objects/records.ts";
import {
  decodeGarbage,
  decodePart,
  decodeUpload,
  encodeGarbage,
  encodePart,
  encodeUpload,
} from "../../core/objects/records_upload.ts";
import { decodePage, decodeVersion, encodePage, encodeVersion } from "../../core/objects/records_version.ts";
import { decodeSegmentRecord, encodeSegmentRecord, type SegmentRecord } from "../../core/objects/registry.ts";
import { WireError } from "../../core/wire/cbor.ts";
import type { FragmentId, Scheme, SegmentId } from "../../core/wire/objects.ts";
import {
  fileName,
  folderName,
  isUnfinished,
  parseFileName,
  parseFolderName,
} from "../../cli/host/chunks/names.ts";
import { isPattern, literalPrefix, matcher, unescaped } from "../../cli/commands/objects/glob.ts";
import { nameOf, parseObject } from "../../cli/commands/objects/location.ts";
import { utf8OrNull } from "../../cli/s3/encoding.ts";
import { UsageError } from "../../cli/commands/errors.ts";
import { BUCKET, GARBAGE, ID, PART, SEGMENT, UPLOAD, VERSION } from "../support/arbitrary_records.ts";
import { arbScheme } from "../support/arbitrary_objects.ts";
import { type Decoder, decoder, drawn, someBytes } from "./decoder.ts";

const SEGMENT_ID: SegmentId = { partition: partitionId(3), segment: "00112233445566778899aabbccddeeff" };
const UPLOAD_NAME = { bucket: "maps", key: "a", id: "0".repeat(32) };
const KEY = new Uint8Array(SEGMENT_KEY_BYTES).fill(7);

const CRC_AT = 40;

/** What is told by null. */
class Rotten extends Error {}
/** Something was made of bytes that should have been refused. */
class Broken extends Error {}

const REGISTERED: fc.Arbitrary<SegmentRecord> = fc.record({
  bytes: fc.integer({ min: 1, max: LIMITS.segmentChunksMax }),
  chunkBytes: fc.integer({ min: 1, max: LIMITS.chunkBytesMax }),
  scheme: arbScheme,
  proof: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  pending: fc.boolean(),
});

const ROWS: readonly Decoder[] = [
  decoder({
    name: "bucket row",
    errors: [WireError],
    sample: drawn(BUCKET, encodeBucket),
    decode: (bytes) => decodeBucket("maps", bytes),
    encode: encodeBucket,
  }),
  decoder({
    name: "version row",
    errors: [WireError],
    sample: drawn(VERSION, encodeVersion),
    decode: decodeVersion,
    encode: encodeVersion,
  }),
  decoder({
    name: "page row",
    errors: [WireError],
    sample: drawn(fc.array(SEGMENT, { maxLength: 100 }), encodePage),
    decode: decodePage,
    encode: encodePage,
  }),
  decoder({
    name: "upload row",
    errors: [WireError],
    sample: drawn(UPLOAD, (upload) => encodeUpload({ ...UPLOAD_NAME, ...upload })),
    decode: (bytes) => decodeUpload(UPLOAD_NAME, bytes),
    encode: encodeUpload,
  }),
  decoder({
    name: "part row",
    errors: [WireError],
    sample: drawn(PART, encodePart),
    decode: decodePart,
    encode: encodePart,
  }),
  decoder({
    name: "garbage row",
    errors: [WireError],
    sample: drawn(GARBAGE, encodeGarbage),
    decode: decodeGarbage,
    encode: encodeGarbage,
  }),
  decoder({
    name: "segment row",
    errors: [WireError],
    sample: drawn(REGISTERED, encodeSegmentRecord),
    decode: decodeSegmentRecord,
    encode: encodeSegmentRecord,
  }),
];

const BULK: readonly Decoder[] = [
  decoder({
    name: "fragment",
    errors: [Rotten],
    sample: fragment,
    decode: (bytes) => parsed(bytes),
    encode: (found) => encodeFragment(found.id, found),
  }),
  decoder({
    // The checksum is made right, so that what it protects is reached.
    name: "fragment of any header",
    errors: [Rotten],
    sample: fragment,
    decode: (bytes) => {
      const file = checksummed(bytes), found = parsed(file);
      if (!equalBytes(encodeFragment(found.id, found), file)) throw new Broken("It is written otherwise");
      return found.sealedBytes;
    },
  }),
  decoder({
    name: "chunk of any fragments",
    errors: [Rotten],
    sample: (random) => joined(fragments(random)),
    decode: (bytes) => {
      const found = apart(bytes).map((file) => parsed(checksummed(file)));
      const [first] = found;
      if (first === undefined) throw new Rotten();
      const others = new Map(
        found.filter(({ scheme, sealedBytes }) =>
          sealedBytes === first.sealedBytes && equalSchemes(scheme, first.scheme)
        ).map((each) => [each.id.index, each]),
      );
      if (others.size < neededCount(first.scheme)) throw new Rotten();
      const sealed = joinFragments([...others.values()], erasureCoder);
      if (sealed.length !== first.sealedBytes) throw new Broken("The chunk has another length");
      return sealed;
    },
  }),
  decoder({
    name: "sealed chunk",
    errors: [Rotten],
    sample: (random) => sealChunk(KEY, SEGMENT_ID.segment, 5, someBytes(random)),
    decode: (bytes) => openChunk(KEY, SEGMENT_ID.segment, 5, bytes) ?? rotten(),
    encode: (plaintext) => sealChunk(KEY, SEGMENT_ID.segment, 5, plaintext),
  }),
];

const NAMES: readonly Decoder[] = [
  decoder({
    name: "fragment file name",
    errors: [Rotten],
    sample: (random) => utf8Encode(nameOfFile(random)),
    decode: (bytes) => {
      const name = textOf(bytes), { partition } = SEGMENT_ID;
      const found = parseFileName(partition, name);
      if (found !== null && !isFragmentId(found)) throw new Broken("A name of no fragment was believed");
      if (found !== null && isUnfinished(partition, name)) throw new Broken("It is whole and is not");
      return found ?? rotten();
    },
    encode: (found) => utf8Encode(fileName(found)),
  }),
  decoder({
    name: "partition folder name",
    errors: [Rotten],
    sample: (random) => utf8Encode(folderName(partitionId(1 + random.below(LIMITS.partitionsMax)))),
    decode: (bytes): PartitionId => parseFolderName(textOf(bytes)) ?? rotten(),
    encode: (partition) => utf8Encode(folderName(partition)),
  }),
  decoder({
    name: "object name",
    errors: [UsageError, Rotten],
    sample: (random) => utf8Encode(`so://bucket/${random.pick(PATTERNS)}`),
    decode: (bytes) => {
      const found = parseObject(textOf(bytes)), again = parseObject(nameOf(found));
      if (again.bucket !== found.bucket || again.key !== found.key) {
        throw new Broken("It is called otherwise");
      }
      return found;
    },
  }),
  decoder({
    // A pattern, a line's end, and a name as long as one can be.
    name: "pattern",
    errors: [Rotten],
    sample: (random) =>
      utf8Encode(`${random.pick(PATTERNS)}\n${random.pick(PATTERNS).repeat(random.below(8))}`),
    decode: (bytes) => {
      const [pattern = "", name = ""] = textOf(bytes).split("\n", 2);
      const short = pattern.slice(0, PATTERN_MAX), text = name.slice(0, LIMITS.objectKeyBytesMax);
      const matches = matcher(short)(text), prefix = literalPrefix(short);
      if (matches && !text.startsWith(prefix)) {
        throw new Broken("What matches does not begin as all matches do");
      }
      if (!isPattern(short) && !short.includes("\\") && matches !== (text === short)) {
        throw new Broken("What is no pattern matches something else");
      }
      return [matches, unescaped(short)];
    },
    msMax: 1000,
  }),
];

export const OBJECTS: readonly Decoder[] = [...ROWS, ...BULK, ...NAMES];

// ---- fragments

function rotten(): never {
  throw new Rotten();
}

/** By the name that the header has: the name asked for is compared with it, and any could be. */
function parsed(file: Uint8Array): Fragment {
  if (file.length < FRAGMENT_HEADER_BYTES) throw new Rotten();
  const id: FragmentId = {
    partition: (file[10]! << 8 | file[11]!) as PartitionId,
    segment: file.slice(12, 28).toHex(),
    chunk: readUint32(file, 28),
    index: file[8]!,
  };
  return parseFragment(file, id) ?? rotten();
}

function checksummed(bytes: Uint8Array): Uint8Array {
  if (bytes.length < FRAGMENT_HEADER_BYTES) return bytes;
  const file = bytes.slice();
  writeUint32(file, CRC_AT, crc32(file.subarray(FRAGMENT_HEADER_BYTES), crc32(file.subarray(0, CRC_AT))));
  return file;
}

function fragments(random: Random): Uint8Array[] {
  const scheme = drawnScheme(random);
  return makeFragments(SEGMENT_ID, random.below(100), {
    scheme,
    sealed: someBytes(random),
    coder: erasureCoder,
  });
}

function drawnScheme(random: Random): Scheme {
  if (random.chance(1, 3)) return { kind: "replicated", copies: 1 + random.below(LIMITS.copiesMax) };
  return { kind: "striped", data: 1 + random.below(8), parity: 1 + random.below(4) };
}

function fragment(random: Random): Uint8Array {
  return random.pick(fragments(random));
}

/** Each behind its length. */
function joined(files: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(files.flatMap((file) => [file.length >>> 8, file.length & 0xff, ...file]));
}

function apart(bytes: Uint8Array): Uint8Array[] {
  const files: Uint8Array[] = [];
  for (let at = 0; at + 2 <= bytes.length && files.length < 64;) {
    const end = at + 2 + (bytes[at]! << 8 | bytes[at + 1]!);
    files.push(bytes.slice(at + 2, end));
    at = end;
  }
  return files;
}

// ---- names

/** Names come as texts: from what is no UTF-8 none is made. */
function textOf(bytes: Uint8Array): string {
  return utf8OrNull(bytes) ?? rotten();
}

const PATTERN_MAX = 1024;
const PATTERNS = [
  "photos/**/*.jpg",
  "a?c[d-f]*",
  "**a**b**c**d",
  "*a*a*a*a*a*a*b",
  "\\*not\\?",
  "[!x]/[^y]/[",
  "ünï/çødé/*",
  "plain/name.txt",
] as const;

function nameOfFile(random: Random): string {
  const [segment] = fc.sample(ID, { numRuns: 1, seed: random.uint32() | 0 });
  return fileName({
    ...SEGMENT_ID,
    segment: segment!,
    chunk: random.uint32(),
    index: random.below(LIMITS.stripeMax),
  });
}
