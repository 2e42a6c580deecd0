/** What programs are given, and where objects lie. */
import type { PartitionId } from "../../base/ids.ts";
import { LIMITS } from "../../base/limits.ts";
import type { SystemView } from "../../wire/messages.ts";
import type { Scheme } from "../../wire/objects.ts";
import { newestRow } from "../rows.ts";
import type { Program } from "../types.ts";
import { ask, strange } from "./ask.ts";

export interface WorldOptions {
  /** partitionOf() of core/placement/key.ts. */
  readonly partitionOf: (key: string, partitions: number) => PartitionId;
  /** For tests and simulations, which use small ones. */
  readonly sizes?: Partial<Sizes>;
  /** Left out: only the sizes bound what each program has under way. */
  readonly room?: ChunkRoom;
}

/**
 * How many chunks programs may have under way together, of one client or of many: each holds a chunk in memory. Who has none
 * under way may always begin one.
 */
export class ChunkRoom {
  readonly #max: number;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get taken(): number {
    return this.#taken;
  }
  /** For who has `own` of them under way. */
  mayBegin(own: number): boolean {
    return own === 0 || this.#taken < this.#max;
  }
  take(): void {
    this.#taken++;
  }
  give(count: number): void {
    this.#taken -= count;
  }
}
export interface Sizes {
  /** Plaintext of a chunk, and of a segment: a multiple of the first. */
  readonly chunkBytes: number;
  readonly segmentBytes: number;
  /** Longer contents do not lie in their row. */
  readonly inlineBytes: number;
  /** Chunks of one body under way. */
  readonly putsUnderWay: number;
  readonly getsUnderWay: number;
  /** Segments are registered before they are written if the body has more chunks than this. */
  readonly unregisteredChunks: number;
  readonly segmentsPerRow: number;
  readonly segmentsPerPage: number;
  /** Rows that one transaction changes at most, about; the rest is left to a row of garbage. */
  readonly rowsPerTransaction: number;
  /** Rows that are asked for at once. */
  readonly rowsPerPage: number;
  readonly partBytesMin: number;
  /** Milliseconds. A write that registers nothing takes no longer; fragments that no row names are kept for longer. */
  readonly unregisteredMs: number;
  /** A registered segment lives so long unless it is kept alive, which is done so often. */
  readonly registeredMs: number;
  readonly keepAliveMs: number;
  /** A claim this old is given up: making a version takes seconds from there on. */
  readonly claimMs: number;
}

/** The same for all programs of one client. It remembers what never changes. */
export class World {
  readonly sizes: Sizes;
  readonly room: ChunkRoom;
  readonly #partitionOf: WorldOptions["partitionOf"];
  #partitions: number | null = null;

  constructor(options: WorldOptions) {
    this.#partitionOf = options.partitionOf;
    this.sizes = { ...SIZES, ...options.sizes };
    this.room = options.room ?? new ChunkRoom(Infinity);
  }

  /** How many data partitions there are: fixed for the life of a network. */
  *partitions(): Program<number> {
    this.#partitions ??= (yield* askView()).settings.partitions;
    return this.#partitions;
  }

  *place(bucket: string, key: string): Program<Place> {
    const partition = this.#partitionOf(newestRow(bucket, key), yield* this.partitions());
    return { bucket, key, partition };
  }
}

/** An object's name, and the partition that has its rows and those of its segments. */
export interface Place {
  readonly bucket: string;
  readonly key: string;
  readonly partition: PartitionId;
}

export function* askView(): Program<SystemView> {
  const response = yield* ask({ kind: "layout" });
  if (response.kind !== "layout") throw strange(response);
  return response.view;
}

/** What is written under where the bucket names no scheme. */
export const DEFAULT_SCHEME: Scheme = { kind: "replicated", copies: 3 };

const SIZES: Sizes = {
  chunkBytes: LIMITS.chunkBytesMax,
  segmentBytes: LIMITS.segmentBytesMax,
  inlineBytes: LIMITS.inlineBytesMax,
  putsUnderWay: 8,
  getsUnderWay: 6,
  unregisteredChunks: 8,
  segmentsPerRow: LIMITS.segmentsPerRowMax,
  segmentsPerPage: LIMITS.segmentsPerPageMax,
  rowsPerTransaction: 100,
  rowsPerPage: LIMITS.rangeItemsMax,
  partBytesMin: LIMITS.partBytesMin,
  unregisteredMs: 30 * 60_000,
  registeredMs: 3_600_000,
  keepAliveMs: 10 * 60_000,
  claimMs: 3_600_000,
};
