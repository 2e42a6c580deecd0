/** Objects in the nodes that are fuzzed: segments that are registered, fragments on disks, and who asks for them. */
import { type NodeId, nodeId, partitionId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import { fragmentOf } from "../../core/objects/fragment.ts";
import { encodeSegmentRecord } from "../../core/objects/registry.ts";
import { segmentRow } from "../../core/objects/rows.ts";
import { drawnSegment } from "../../core/objects/segment_id.ts";
import type { Message } from "../../core/wire/messages.ts";
import type { ChunkResult, FragmentId, Scheme, SegmentId } from "../../core/wire/objects.ts";
import type { Op } from "../../core/wire/requests.ts";
import type { Network } from "../core/node/network.ts";
import { noise } from "./mutate.ts";

const PARTITIONS = 4;
const CHUNKS = 4;
const CHUNK_BYTES = 200;
/** More than any disk should list at once. */
const ENDLESS = 20_000;
const OPS_KEPT = 64;
const SCHEMES: readonly Scheme[] = [
  { kind: "replicated", copies: 3 },
  { kind: "replicated", copies: 2 },
  { kind: "striped", data: 2, parity: 1 },
];

interface Registered {
  readonly segment: SegmentId;
  /** The object that it is part of. */
  readonly key: string;
  readonly proof: Uint8Array;
  readonly token: Uint8Array;
  readonly scheme: Scheme;
}

export class NodeObjects {
  readonly #network: Network;
  readonly #random: Random;
  readonly #segments: readonly Registered[];
  /** What nodes asked their disks lately. */
  readonly #asked = new Map<NodeId, number[]>();

  constructor(network: Network, random: Random) {
    this.#network = network;
    this.#random = random;
    this.#segments = Array.from({ length: 3 * PARTITIONS }, (_, i) => {
      const key = `k${i}`, { id, proof, token } = drawnSegment(noise(random, 32), { bucket: "b", key });
      const segment = { partition: partitionId(1 + i % PARTITIONS), segment: id };
      return { segment, key, proof, token, scheme: random.pick(SCHEMES) };
    });
    network.stepped = (id, { chunkOps }) => {
      if (chunkOps.length === 0) return;
      const asked = [...this.#asked.get(id) ?? [], ...chunkOps.map(({ op }) => op)];
      this.#asked.set(id, asked.slice(-OPS_KEPT));
    };
  }

  /** Two thirds of the segments, some of them with chunks missing. */
  store(): void {
    for (const registered of this.#segments.slice(0, 2 * PARTITIONS)) {
      this.#network.ask("a", this.#register(registered));
      for (let chunk = 0; chunk < CHUNKS; chunk++) {
        if (this.#random.chance(7, 8)) this.#network.ask("a", this.#put(registered, chunk));
      }
    }
  }

  /** Of someone who knows what there is, or nearly. */
  op(): Op {
    const random = this.#random, registered = random.pick(this.#segments);
    const { segment, scheme } = registered, chunk = random.below(CHUNKS + 1);
    switch (random.below(8)) {
      case 0:
        return this.#register(registered);
      case 1:
        return { kind: "delete", key: this.#rowOf(registered) };
      case 2:
        // A row that is none, which a node meets when it looks.
        return { kind: "put", key: this.#rowOf(registered), value: noise(random, 40) };
      case 3:
        return { kind: "segments-gone", segments: [segment, random.pick(this.#segments).segment] };
      case 4:
      case 5:
        return this.#put(registered, chunk);
      default: {
        const length = random.chance(3, 4) ? CHUNK_BYTES : random.below(2 * CHUNK_BYTES);
        const as = random.chance(7, 8) ? scheme : random.pick(SCHEMES);
        return { kind: "chunk-get", segment, chunk, scheme: as, length, attempt: random.below(4) };
      }
    }
  }

  /** A message about fragments as one about those that there are. */
  about(message: Message): Message {
    switch (message.kind) {
      case "fragment-put":
      case "fragment-get":
        return { ...message, fragment: this.#fragment() };
      case "fragment-check":
        return { ...message, fragments: message.fragments.map(() => this.#fragment()) };
      case "segments-gone":
        return {
          ...message,
          segments: message.segments.map(() => this.#random.pick(this.#segments).segment),
        };
      default:
        return message;
    }
  }

  /** An operation of the disk that a node waits for, waited for, or never asked for. */
  someOp(id: NodeId): number {
    const asked = this.#asked.get(id) ?? [];
    if (asked.length === 0 || this.#random.chance(1, 4)) return this.#random.below(2 ** 31);
    return this.#random.chance(3, 4) ? asked.at(-1)! - this.#random.below(4) : this.#random.pick(asked);
  }

  endless(): ChunkResult {
    const partition = partitionId(1 + this.#random.below(PARTITIONS)), done = this.#random.chance(1, 2);
    if (this.#random.chance(1, 4)) {
      return {
        kind: "partitions",
        op: 0,
        partitions: Array.from({ length: ENDLESS }, (_, i) => partitionId(i)),
      };
    }
    const ordered = this.#random.chance(1, 2), { segment } = this.#random.pick(this.#segments).segment;
    const fragments = Array.from({ length: ENDLESS }, (_, i) => ({
      fragment: fragmentOf({ partition, segment }, ordered ? i : ENDLESS - i, 0),
      bytes: 2 ** 40,
      ageMs: 2 ** 40,
    }));
    return { kind: "listed", op: 0, fragments, done };
  }

  /** Damages a file, loses one, or has the disk refuse its service, and end that. */
  harmDisk(name: string): void {
    const chunks = this.#network.chunksOf(nodeId(name)), random = this.#random;
    chunks.failing = random.chance(1, 10) ? random.pick(["no-space", "disk"]) : null;
    const fragment = chunks.all.at(random.below(64))?.fragment;
    if (fragment === undefined) return;
    if (random.chance(1, 4)) chunks.take({ kind: "remove", op: 0, fragments: [fragment] });
    else chunks.damage(fragment, random.below(1000));
  }

  /** The owner's, or one that somebody else made. */
  #rowOf({ segment: { partition, segment }, key }: Registered): string {
    const bucket = this.#random.chance(3, 4) ? "b" : "a";
    return segmentRow({ partition, bucket, key }, segment);
  }

  #register(registered: Registered): Op {
    const { scheme, proof } = registered;
    const pending = this.#random.chance(1, 4);
    const value = encodeSegmentRecord({
      ...{ bytes: CHUNKS * CHUNK_BYTES, chunkBytes: CHUNK_BYTES, scheme },
      ...{ proof, pending },
    });
    return { kind: "put", key: this.#rowOf(registered), value, ...(pending ? { ttlMs: 2000 } : {}) };
  }

  #put({ segment, scheme, token }: Registered, chunk: number): Op {
    return { kind: "chunk-put", segment, chunk, scheme, token, bytes: noise(this.#random, CHUNK_BYTES + 16) };
  }

  #fragment(): FragmentId {
    const { segment, scheme } = this.#random.pick(this.#segments);
    const index = scheme.kind === "replicated" ? 0 : this.#random.below(4);
    return fragmentOf(segment, this.#random.below(CHUNKS + 1), index);
  }
}
