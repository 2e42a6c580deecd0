/**
 * What a node holds, lacks and has too much of, by partition: counted while it looks, and kept up to date between.
 *
 * A walk over a partition counts anew, beside the old figures, which it replaces when it ends. What happens meanwhile
 * changes the old figures at once, and the new ones too where the walk has been there already: else it will find it.
 */
import type { PartitionId } from "../base/ids.ts";
import type { FragmentId } from "../wire/objects.ts";

export interface Tally {
  fragments: number;
  bytes: number;
  missing: number;
  missingBytes: number;
  surplus: number;
  /** Fragments that must not go with this node, should it leave. */
  needed: number;
}

/** All chunks before this one have been judged. */
export interface Cursor {
  readonly segment: string;
  readonly chunk: number;
}

export class Tallies {
  readonly #tallies: Tally[] = [];
  /** Of the walk under way. */
  #partition: PartitionId | null = null;
  #counting = emptyTally();
  #cursor: Cursor = { segment: "", chunk: 0 };

  of(partition: PartitionId): Readonly<Tally> {
    return this.#tallies[partition] ??= emptyTally();
  }

  sum(): Tally {
    const sum = emptyTally();
    for (const tally of this.#tallies) {
      if (tally === undefined) continue;
      for (const name of NAMES) sum[name] += tally[name];
    }
    return sum;
  }

  // ---- a walk

  begin(partition: PartitionId): void {
    this.#partition = partition;
    this.#counting = emptyTally();
    this.#cursor = { segment: "", chunk: 0 };
  }
  moveTo(cursor: Cursor): void {
    this.#cursor = cursor;
  }
  /** Found by the walk. */
  count(found: Partial<Tally>): void {
    add(this.#counting, found);
  }
  end(): Readonly<Tally> {
    const tally = this.#counting;
    if (this.#partition !== null) this.#tallies[this.#partition] = tally;
    this.#partition = null;
    return tally;
  }
  abandon(): void {
    this.#partition = null;
  }

  // ---- what happens meanwhile

  /** Something became of a fragment, whether a walk is under way or not. */
  change({ partition, segment, chunk }: FragmentId, by: Partial<Tally>): void {
    add(this.#tallies[partition] ??= emptyTally(), by);
    if (this.#partition !== partition) return;
    const { segment: at, chunk: atChunk } = this.#cursor;
    if (segment < at || (segment === at && chunk < atChunk)) add(this.#counting, by);
  }

  /** Bytes of a fragment of which only its name is known: about as many as others have. */
  bytesOfOne(partition: PartitionId): number {
    const { fragments, bytes } = this.of(partition);
    return fragments === 0 ? 0 : Math.floor(bytes / fragments);
  }
}

const NAMES = ["fragments", "bytes", "missing", "missingBytes", "surplus", "needed"] as const;

function emptyTally(): Tally {
  return { fragments: 0, bytes: 0, missing: 0, missingBytes: 0, surplus: 0, needed: 0 };
}

/** Nothing is ever fewer than none: what is told of may have been counted by nobody. */
function add(tally: Tally, by: Partial<Tally>): void {
  for (const name of NAMES) tally[name] = Math.max(0, tally[name] + (by[name] ?? 0));
}
