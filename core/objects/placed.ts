/** Who should hold what of a chunk, and what follows from it for one member: pure functions of a placement. */
import type { NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { FragmentId, Scheme, SegmentId } from "../wire/objects.ts";
import type { WantedChunk } from "./fetch.ts";
import {
  CHUNK_END,
  FRAGMENT_HEADER_BYTES,
  fragmentCount,
  fragmentHash,
  fragmentOf,
  indexAt,
  payloadBytes,
  sealedBytesOf,
} from "./fragment.ts";
import type { Holders } from "./holders.ts";
import type { SegmentRecord } from "./registry.ts";

/** The ideal holders of a chunk, null where members lack: of a stripe, position i holds fragment i; copies are all alike. */
export type Places = readonly (NodeId | null)[];

export function idealHolders(
  holders: Holders,
  segment: string,
  chunk: number,
  scheme: Scheme,
): Places {
  return holders.place(fragmentHash(segment, chunk), fragmentCount(scheme));
}

/** The index of the fragment that `node` should hold; null: none. */
export function indexOf(places: Places, node: NodeId, scheme: Scheme): number | null {
  const position = places.indexOf(node);
  return position < 0 ? null : indexAt(scheme, position);
}

/**
 * What a fragment is to one who holds it. right: it should hold it. spare: nobody should, for there are too few members; it
 * is kept, for it may be needed. surplus: those in `targets` should hold it, and when all do it may go. excess: no such
 * fragment belongs to the scheme.
 */
export type Belonging =
  | { readonly kind: "right" | "spare" | "excess" }
  | { readonly kind: "surplus"; readonly targets: readonly NodeId[] };

export function belongingOf(
  { index, places, node, scheme }: {
    index: number;
    places: Places;
    node: NodeId;
    scheme: Scheme;
  },
): Belonging {
  if (index >= (scheme.kind === "replicated" ? 1 : fragmentCount(scheme))) return { kind: "excess" };
  if (indexOf(places, node, scheme) === index) return { kind: "right" };
  const targets = membersOf(scheme.kind === "replicated" ? places : places.slice(index, index + 1));
  return targets.length === 0 ? { kind: "spare" } : { kind: "surplus", targets };
}

export function membersOf(places: Places): NodeId[] {
  return places.filter((node) => node !== null);
}

/** A fragment that this node should hold and does not, or cannot read. */
export interface Missing {
  readonly fragment: FragmentId;
  readonly wanted: WantedChunk;
  /** Of the fragment's file. */
  readonly bytes: number;
}

export function missingOf(
  segment: SegmentId,
  record: SegmentRecord,
  { chunk, index }: { chunk: number; index: number },
): Missing {
  const sealedBytes = sealedBytesOf(record, chunk), { scheme } = record;
  return {
    fragment: fragmentOf(segment, chunk, index),
    wanted: {
      segment: { partition: segment.partition, segment: segment.segment },
      chunk,
      scheme,
      sealedBytes,
    },
    bytes: FRAGMENT_HEADER_BYTES + payloadBytes(scheme, sealedBytes),
  };
}

/** The last name that may come before any fragment of that chunk, to list from; null: nothing comes before. */
export function lastBefore({ partition, segment }: SegmentId, chunk: number): FragmentId | null {
  const index = LIMITS.stripeMax - 1;
  if (chunk > 0) return { partition, segment, chunk: chunk - 1, index };
  const earlier = BigInt(`0x${segment}`) - 1n;
  if (earlier < 0n) return null;
  return { partition, segment: earlier.toString(16).padStart(32, "0"), chunk: CHUNK_END - 1, index };
}
