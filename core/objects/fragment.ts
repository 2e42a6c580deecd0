/**
 * Fragments: what a chunk is kept as. A fragment's file says exactly which fragment of which chunk it is and under which
 * scheme, and has a checksum over all of that: a file that does not name the fragment asked for, or is damaged in any
 * byte, is rotten.
 *
 *     0  "SOFR"    4  format 1    5  kind (0 replicated, 1 striped)    6  k    7  m    8  index    9  zero
 *     10 partition, 16 bits    12  segment, 16 bytes    28  chunk    32  bytes of the sealed chunk
 *     36 bytes of the payload    40  CRC-32 over everything else    44  payload
 *
 * Numbers are big-endian, of 32 bits where nothing else is said. A replicated chunk has k 1 and m copies - 1.
 */
import { readUint32, writeUint32 } from "../base/bytes.ts";
import { crc32, hashString32 } from "../base/hash.ts";
import type { PartitionId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { ErasureCoder } from "../base/ports.ts";
import type { FragmentId, Scheme, SegmentId } from "../wire/objects.ts";

export const FRAGMENT_HEADER_BYTES = 44;
/** Of the seal of a chunk: its authentication tag. */
export const SEAL_BYTES = 16;
export const SEALED_BYTES_MAX = LIMITS.chunkBytesMax + SEAL_BYTES;

const MAGIC = 0x534f4652;
const FORMAT = 1;
const CRC_AT = 40;
const REPLICATED = 0, STRIPED = 1;
const SEGMENT = /^[0-9a-f]{32}$/;
/** Chunks are numbered below this. */
export const CHUNK_END = 2 ** 32;

/** A whole fragment, proven to be what it says. */
export interface Fragment {
  readonly id: FragmentId;
  readonly scheme: Scheme;
  /** Of the sealed chunk. */
  readonly sealedBytes: number;
  /** The whole file. */
  readonly file: Uint8Array;
  /** A view of `file`. */
  readonly payload: Uint8Array;
}

// ---- what a scheme asks for

/** Fragments of a chunk where there are members enough. */
export function fragmentCount(scheme: Scheme): number {
  return scheme.kind === "replicated" ? scheme.copies : scheme.data + scheme.parity;
}

/** As many as are wanted where so many members are active. */
export function wantedCount(scheme: Scheme, activeMembers: number): number {
  return Math.min(fragmentCount(scheme), activeMembers);
}

/** So many fragments must be durable before a write is answered; null: the network is too small for the scheme. */
export function writeQuorum(scheme: Scheme, activeMembers: number): number | null {
  const quorum = scheme.kind === "replicated"
    ? Math.floor(wantedCount(scheme, activeMembers) / 2) + 1
    : scheme.data + Math.ceil(scheme.parity / 2);
  return quorum <= activeMembers ? quorum : null;
}

/** So many different fragments give the chunk back. */
export function neededCount(scheme: Scheme): number {
  return scheme.kind === "replicated" ? 1 : scheme.data;
}

/** So many fragments may lack. One at least, where a scheme can do without none. */
export function spareCount(scheme: Scheme): number {
  return Math.max(1, fragmentCount(scheme) - neededCount(scheme));
}

/** Further reads of a chunk, each without the next spareCount() fragments, until each was left out once; a few at most. */
export function readAttempts(scheme: Scheme): number {
  const attempts = scheme.kind === "replicated"
    ? scheme.copies
    : Math.ceil(fragmentCount(scheme) / spareCount(scheme));
  return Math.min(attempts, LIMITS.readAttemptsMax);
}

/** The index of the fragment that position `position` of the placement holds. */
export function indexAt(scheme: Scheme, position: number): number {
  return scheme.kind === "replicated" ? 0 : position;
}

/** Bytes of each fragment's payload. Shards are equally long: the last ones are filled up with zeros. */
export function payloadBytes(scheme: Scheme, sealedBytes: number): number {
  return scheme.kind === "replicated" ? sealedBytes : Math.ceil(sealedBytes / scheme.data);
}

export function equalSchemes(a: Scheme, b: Scheme): boolean {
  if (a.kind === "replicated") return b.kind === "replicated" && a.copies === b.copies;
  return b.kind === "striped" && a.data === b.data && a.parity === b.parity;
}

/** Why no chunk can be kept under it, for a person; null: it can. */
export function schemeProblem(scheme: Scheme): string | null {
  if (scheme.kind === "replicated") {
    if (whole(scheme.copies, 1, LIMITS.copiesMax)) return null;
    return `A chunk has 1 to ${LIMITS.copiesMax} copies, not ${scheme.copies}`;
  }
  const { data, parity } = scheme;
  if (whole(data, 1, LIMITS.stripeMax) && whole(parity, 1, LIMITS.stripeMax - data)) return null;
  return `A stripe has data and parity fragments, at least one of each and ${LIMITS.stripeMax} together, not ` +
    `${data} and ${parity}`;
}

// ---- segments

export function isSegmentId({ partition, segment }: SegmentId): boolean {
  return SEGMENT.test(segment) && whole(partition, 1, LIMITS.partitionsMax);
}

export function isFragmentId(id: FragmentId): boolean {
  return isSegmentId(id) && whole(id.chunk, 0, CHUNK_END - 1) && whole(id.index, 0, LIMITS.stripeMax - 1);
}

/** Chunks of a segment of so many bytes. */
export function chunkCount({ bytes, chunkBytes }: { bytes: number; chunkBytes: number }): number {
  return Math.ceil(bytes / chunkBytes);
}

/** Bytes of a chunk of a segment once it is sealed. */
export function sealedBytesOf(
  { bytes, chunkBytes }: { bytes: number; chunkBytes: number },
  chunk: number,
): number {
  return Math.max(0, Math.min(chunkBytes, bytes - chunk * chunkBytes)) + SEAL_BYTES;
}

// ---- names

/** What place() is asked with: the same for all fragments of a chunk. */
export function fragmentHash(segment: string, chunk: number): number {
  return hashString32(segment, chunk | 0);
}

/** The order in which disks list fragments: by partition, segment, chunk, index. */
export function compareFragments(a: FragmentId, b: FragmentId): number {
  return a.partition - b.partition || (a.segment < b.segment ? -1 : a.segment > b.segment ? 1 : 0) ||
    a.chunk - b.chunk || a.index - b.index;
}

export function equalFragments(a: FragmentId, b: FragmentId): boolean {
  return a.index === b.index && a.chunk === b.chunk && a.segment === b.segment && a.partition === b.partition;
}

/** One text for one fragment, as a key of maps. */
export function fragmentKey({ partition, segment, chunk, index }: FragmentId): string {
  return `${segment}.${chunk}.${index}.${partition}`;
}

export function describeFragment({ partition, segment, chunk, index }: FragmentId): string {
  return `fragment ${index} of chunk ${chunk} of segment ${segment} (partition ${partition})`;
}

// ---- files

/** The files of a chunk's fragments, by index. A replicated chunk has one, which all its holders keep. */
export function makeFragments(
  segment: SegmentId,
  chunk: number,
  { scheme, sealed, coder }: { scheme: Scheme; sealed: Uint8Array; coder: ErasureCoder },
): Uint8Array[] {
  const bytes = payloadBytes(scheme, sealed.length);
  const name = (index: number): FragmentId => fragmentOf(segment, chunk, index);
  if (scheme.kind === "replicated") {
    const file = new Uint8Array(FRAGMENT_HEADER_BYTES + bytes);
    file.set(sealed, FRAGMENT_HEADER_BYTES);
    return [finish(file, name(0), scheme, sealed.length)];
  }
  const files: Uint8Array[] = [];
  for (let index = 0; index < scheme.data; index++) {
    const file = new Uint8Array(FRAGMENT_HEADER_BYTES + bytes);
    file.set(sealed.subarray(index * bytes, (index + 1) * bytes), FRAGMENT_HEADER_BYTES);
    files.push(file);
  }
  const parity = coder.encode(files.map((file) => file.subarray(FRAGMENT_HEADER_BYTES)), scheme.parity);
  for (const shard of parity) {
    const file = new Uint8Array(FRAGMENT_HEADER_BYTES + bytes);
    file.set(shard, FRAGMENT_HEADER_BYTES);
    files.push(file);
  }
  return files.map((file, index) => finish(file, name(index), scheme, sealed.length));
}

/** The file of one fragment. */
export function encodeFragment(
  id: FragmentId,
  { scheme, sealedBytes, payload }: Pick<Fragment, "scheme" | "sealedBytes" | "payload">,
): Uint8Array {
  const file = new Uint8Array(FRAGMENT_HEADER_BYTES + payload.length);
  file.set(payload, FRAGMENT_HEADER_BYTES);
  return finish(file, id, scheme, sealedBytes);
}

/** The fragment `id` of which `file` is the whole file; null: it is rotten, or another's. The payload is not copied. */
export function parseFragment(file: Uint8Array, id: FragmentId): Fragment | null {
  if (file.length < FRAGMENT_HEADER_BYTES || readUint32(file, 0) !== MAGIC || file[4] !== FORMAT) return null;
  const scheme = readScheme(file[5]!, file[6]!, file[7]!);
  const sealedBytes = readUint32(file, 32), bytes = readUint32(file, 36);
  if (scheme === null || file[8] !== id.index || file[9] !== 0) return null;
  if (sealedBytes < 1 || sealedBytes > SEALED_BYTES_MAX || bytes !== payloadBytes(scheme, sealedBytes)) {
    return null;
  }
  if (file.length !== FRAGMENT_HEADER_BYTES + bytes) return null;
  if (id.index >= (scheme.kind === "replicated" ? 1 : fragmentCount(scheme))) return null;
  if ((file[10]! << 8 | file[11]!) !== id.partition || readUint32(file, 28) !== id.chunk) return null;
  if (!hasSegment(file, id.segment) || readUint32(file, CRC_AT) !== checksum(file)) return null;
  return { id, scheme, sealedBytes, file, payload: file.subarray(FRAGMENT_HEADER_BYTES) };
}

/**
 * The sealed chunk out of fragments of it, at least neededCount() different ones, all of one scheme and length.
 * Of a replicated one it is the payload itself, not copied.
 */
export function joinFragments(fragments: readonly Fragment[], coder: ErasureCoder): Uint8Array {
  const { scheme, sealedBytes, payload } = fragments[0]!;
  if (scheme.kind === "replicated") return payload;
  const shards: (Uint8Array | null)[] = new Array(fragmentCount(scheme)).fill(null);
  for (const fragment of fragments) shards[fragment.id.index] = fragment.payload;
  const data = shards.slice(0, scheme.data);
  const whole = data.every((shard) => shard !== null) ? data : coder.reconstruct(shards, scheme.data);
  const sealed = new Uint8Array(sealedBytes);
  for (let index = 0; index < scheme.data; index++) {
    const at = index * payload.length;
    if (at < sealedBytes) sealed.set(whole[index]!.subarray(0, sealedBytes - at), at);
  }
  return sealed;
}

export function fragmentOf(
  { partition, segment }: { partition: PartitionId; segment: string },
  chunk: number,
  index: number,
): FragmentId {
  return { partition, segment, chunk, index };
}

function finish(file: Uint8Array, id: FragmentId, scheme: Scheme, sealedBytes: number): Uint8Array {
  const striped = scheme.kind === "striped";
  writeUint32(file, 0, MAGIC);
  file[4] = FORMAT;
  file[5] = striped ? STRIPED : REPLICATED;
  file[6] = striped ? scheme.data : 1;
  file[7] = striped ? scheme.parity : scheme.copies - 1;
  file[8] = id.index;
  file[10] = id.partition >>> 8;
  file[11] = id.partition;
  for (let i = 0; i < 4; i++) {
    writeUint32(file, 12 + 4 * i, parseInt(id.segment.slice(8 * i, 8 * i + 8), 16));
  }
  writeUint32(file, 28, id.chunk);
  writeUint32(file, 32, sealedBytes);
  writeUint32(file, 36, file.length - FRAGMENT_HEADER_BYTES);
  writeUint32(file, CRC_AT, checksum(file));
  return file;
}

function checksum(file: Uint8Array): number {
  return crc32(file.subarray(FRAGMENT_HEADER_BYTES), crc32(file.subarray(0, CRC_AT)));
}

function readScheme(kind: number, k: number, m: number): Scheme | null {
  const scheme: Scheme = kind === STRIPED
    ? { kind: "striped", data: k, parity: m }
    : { kind: "replicated", copies: m + 1 };
  if (kind > STRIPED || (kind === REPLICATED && k !== 1)) return null;
  return schemeProblem(scheme) === null ? scheme : null;
}

function hasSegment(file: Uint8Array, segment: string): boolean {
  if (!SEGMENT.test(segment)) return false;
  for (let i = 0; i < 4; i++) {
    if (readUint32(file, 12 + 4 * i) !== parseInt(segment.slice(8 * i, 8 * i + 8), 16)) return false;
  }
  return true;
}

function whole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
