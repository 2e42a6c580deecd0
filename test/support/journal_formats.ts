/** Segments as earlier builds wrote them: headers of formats 1 and 2, and records that are each a record of the node. */
import { utf8Encode, writeUint32 } from "../../core/base/bytes.ts";
import { crc32 } from "../../core/base/hash.ts";
import type { NodeId } from "../../core/base/ids.ts";
import { encode } from "../../core/wire/cbor.ts";
import { SEGMENT_HEADER_BYTES } from "../../core/wire/journal.ts";

export interface FormerHeader {
  readonly node: NodeId;
  readonly segment: number;
  readonly firstSequence: number;
  readonly salt: number;
  readonly version: 1 | 2;
}

export function formerSegmentHeader(
  { node, segment, firstSequence, salt, version }: FormerHeader,
): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  bytes.set(utf8Encode("SPOPJRN\n"));
  writeUint32(bytes, 8, version);
  writeUint32(bytes, 12, salt);
  bytes.set(encode([node, segment, firstSequence]), 20);
  writeUint32(bytes, 16, crc32(bytes.subarray(20), crc32(bytes.subarray(8, 16))));
  return bytes;
}
