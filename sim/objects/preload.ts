/**
 * Much data without the work of writing it: objects of zeros, sealed and cut into fragments as programs and nodes do it,
 * are put on the disks where placement has them, and into the catalog. What of it can be made again from its name is not
 * kept in memory: the disks compare what is written byte for byte with what they would make, and keep what differs.
 */
import { erasureCoder } from "../../core/objects/erasure.ts";
import {
  chunkCount,
  FRAGMENT_HEADER_BYTES,
  fragmentCount,
  fragmentHash,
  indexAt,
  makeFragments,
  payloadBytes,
  SEAL_BYTES,
  sealedBytesOf,
} from "../../core/objects/fragment.ts";
import { sealChunk, SEGMENT_KEY_BYTES } from "../../core/objects/chunk_seal.ts";
import { ask } from "../../core/objects/programs/ask.ts";
import { encodeVersion, versionId } from "../../core/objects/records_version.ts";
import { encodeSegmentRecord } from "../../core/objects/registry.ts";
import { newestRow, segmentRow } from "../../core/objects/rows.ts";
import { drawnSegment, SEGMENT_SECRET_BYTES } from "../../core/objects/segment_id.ts";
import type { ObjectVersion, Program, Segment } from "../../core/objects/types.ts";
import type { PartitionId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import { ViewHolders } from "../../core/node/holders.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { FragmentId } from "../../core/wire/objects.ts";
import { type ChunkDisk, type Derive, nameOf } from "./chunk_disk.ts";
import type { ObjectsOptions } from "./options.ts";
import { EPOCH_MS, randomBytes } from "./program_run.ts";

type PreloadOptions = NonNullable<ObjectsOptions["preload"]>;

interface Loaded {
  readonly key: string;
  readonly partition: PartitionId;
  readonly segment: Segment;
  readonly proof: Uint8Array;
}

/** Chunks whose fragments are remembered: they are read and compared close together. */
const REMEMBERED = 64;

export class Preload {
  readonly #bucket: string;
  readonly #loaded: readonly Loaded[];
  readonly #byId = new Map<string, Loaded>();
  readonly #remembered = new Map<string, readonly Uint8Array[]>();

  constructor(
    { bytes, chunk: chunkBytes, segment: segmentBytes, scheme }: PreloadOptions,
    options: {
      readonly bucket: string;
      readonly random: Random;
      readonly partitionOf: (key: string) => PartitionId;
    },
  ) {
    this.#bucket = options.bucket;
    const { random, partitionOf } = options;
    this.#loaded = Array.from({ length: Math.ceil(bytes / segmentBytes) }, (_, i): Loaded => {
      const key = `bulk-${String(i).padStart(4, "0")}`;
      const { id, proof } = drawnSegment(randomBytes(random, SEGMENT_SECRET_BYTES), {
        bucket: this.#bucket,
        key,
      });
      const segment = {
        id,
        key: randomBytes(random, SEGMENT_KEY_BYTES),
        bytes: Math.min(segmentBytes, bytes - i * segmentBytes),
        chunkBytes,
        scheme: scheme ?? { kind: "replicated", copies: 3 } as const,
      };
      return { key, partition: partitionOf(newestRow(this.#bucket, key)), segment, proof };
    });
    for (const each of this.#loaded) this.#byId.set(each.segment.id, each);
  }

  /** What a disk would have under a name of these. */
  readonly derive: Derive = ({ segment: id, chunk, index }: FragmentId): Uint8Array | null => {
    const loaded = this.#byId.get(id);
    if (loaded === undefined) return null;
    const { segment, partition } = loaded, name = `${id} ${chunk}`;
    let files = this.#remembered.get(name);
    if (files === undefined) {
      const plaintext = new Uint8Array(sealedBytesOf(segment, chunk) - SEAL_BYTES);
      const sealed = sealChunk(segment.key, id, chunk, plaintext);
      files = makeFragments({ partition, segment: id }, chunk, {
        scheme: segment.scheme,
        sealed,
        coder: erasureCoder,
      });
      this.#remembered.set(name, files);
      if (this.#remembered.size > REMEMBERED) {
        for (const oldest of this.#remembered.keys()) {
          this.#remembered.delete(oldest);
          break;
        }
      }
    }
    return files[index] ?? null;
  };

  /** Puts all fragments where the view has them. */
  place(view: SystemView, disks: ReadonlyMap<string, ChunkDisk>): void {
    for (const { fragment, node, length, scheme } of this.#fragments(view)) {
      disks.get(node)?.place(fragment, length, scheme);
    }
  }

  /**
   * Bytes that must at least be fetched from others to come from what placement wanted at first to what it wants now.
   * Members that are no longer active lost what they had.
   */
  owed(first: SystemView, now: SystemView): number {
    const active = new Set(now.members.filter(({ state }) => state === "active").map(({ id }) => id));
    const had = new Set<string>(), somewhere = new Set<string>();
    for (const { fragment, node } of this.#fragments(first)) {
      if (!active.has(node)) continue;
      had.add(`${node} ${nameOf(fragment)}`);
      somewhere.add(nameOf(fragment));
    }
    let bytes = 0;
    for (const { fragment, node, length, scheme } of this.#fragments(now)) {
      const name = nameOf(fragment);
      if (had.has(`${node} ${name}`)) continue;
      // What some member still has is copied; else it is made of as many others as are needed.
      bytes += somewhere.has(name) || scheme.kind === "replicated" ? length : scheme.data * length;
    }
    return bytes;
  }

  get bytes(): number {
    return this.#loaded.reduce((sum, { segment }) => sum + segment.bytes, 0);
  }

  *#fragments(view: SystemView) {
    const holders = new ViewHolders(view);
    for (const { partition, segment } of this.#loaded) {
      const { scheme, id } = segment;
      for (let chunk = 0; chunk < chunkCount(segment); chunk++) {
        const length = FRAGMENT_HEADER_BYTES + payloadBytes(scheme, sealedBytesOf(segment, chunk));
        const places = holders.place(fragmentHash(id, chunk), fragmentCount(scheme));
        for (const [position, node] of places.entries()) {
          if (node === null) continue;
          const fragment = { partition, segment: id, chunk, index: indexAt(scheme, position) };
          yield { fragment, node, length, scheme };
        }
      }
    }
  }

  /** Writes the rows that say that it is there. */
  *rows(): Program<void> {
    for (const { key, partition, segment, proof } of this.#loaded) {
      const { bytes, chunkBytes, scheme } = segment, bucket = this.#bucket;
      const record = { bytes, chunkBytes, scheme, proof, pending: false };
      const version = versionOf(segment);
      yield* ask({
        kind: "transact",
        conditions: [],
        then: [
          {
            kind: "put",
            key: segmentRow({ partition, bucket, key }, segment.id),
            value: encodeSegmentRecord(record),
          },
          {
            kind: "put",
            key: newestRow(bucket, key),
            value: encodeVersion({ version, olderNull: null, upload: null }),
          },
        ],
        otherwise: [],
      });
    }
  }
}

function versionOf(segment: Segment): ObjectVersion {
  return {
    id: versionId(1, segment.id.slice(0, 20)),
    sequence: 1,
    isNull: true,
    deleted: false,
    bytes: segment.bytes,
    etag: "00000000000000000000000000000000",
    modifiedMs: EPOCH_MS,
    owner: "",
    metadata: [],
    tags: [],
    content: { kind: "segments", segments: [segment], pages: 0 },
    parts: [],
  };
}
