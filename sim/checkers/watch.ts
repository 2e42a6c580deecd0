import type { LogIndex, PartitionId } from "../../core/base/ids.ts";
import type { Response } from "../../core/wire/requests.ts";
import { type Recorded, writesOf, type Written, writtenIndex } from "../history.ts";

/** Problems listed at most: more say nothing new. */
const PROBLEMS_MAX = 8;

type PartitionOf = (key: string) => PartitionId;

/** What a watcher was told of one partition. */
interface Told {
  /** Everything after `first` up to `upTo` was told, but for the gaps. */
  readonly first: LogIndex;
  upTo: LogIndex;
  readonly gaps: { readonly after: number; readonly upTo: number }[];
  /** By index and key. */
  readonly events: Map<string, Uint8Array | null>;
  lastIndex: number;
}

/**
 * What one client that watches all keys is told, over all its connections.
 *
 * Invariants
 *  1. Events of a partition come in the order of its log, none twice, each between what was told before and `upTo`.
 *  2. Every acknowledged write after the beginning is told by its own value, unless a gap was announced there.
 */
export class WatchChecker {
  readonly #partitionOf: PartitionOf;
  readonly #told = new Map<PartitionId, Told>();
  readonly problems: string[] = [];
  events = 0;
  gaps = 0;

  constructor(partitionOf: PartitionOf) {
    this.#partitionOf = partitionOf;
  }

  /** Where each partition stands: where a watch that is begun anew goes on. */
  get positions(): (readonly [PartitionId, LogIndex])[] {
    return [...this.#told].map(([partition, { upTo }]) => [partition, upTo] as const).sort((a, b) =>
      a[0] - b[0]
    );
  }

  told(response: Response): void {
    if (response.kind === "watching") {
      for (const [partition, index] of response.from) {
        if (!this.#told.has(partition)) this.#begin(partition, index);
      }
    } else if (response.kind === "events") this.#events(response);
  }

  /** Acknowledged writes that were not told, and events that no write explains. */
  compare(operations: readonly Recorded[]): readonly string[] {
    const problems = [...this.problems];
    for (const { key, index, value } of acknowledged(operations)) {
      const told = this.#told.get(this.#partitionOf(key));
      if (told === undefined || index <= told.first || isInGap(told, index)) continue;
      const event = told.events.get(`${index} ${key}`);
      if (event === undefined) problems.push(`${key}: nothing was told of its version ${index}`);
      else if (!isEqual(event, value)) {
        problems.push(`${key}: another value was told of its version ${index}`);
      }
      if (problems.length >= PROBLEMS_MAX) break;
    }
    return problems;
  }

  #events({ partition, upTo, events, gap }: Extract<Response, { kind: "events" }>): void {
    const told = this.#told.get(partition) ??
      this.#begin(partition, ((events[0]?.version.index ?? upTo + 1) - 1) as LogIndex);
    if (gap) {
      this.gaps++;
      told.gaps.push({ after: told.upTo, upTo });
    }
    for (const { key, value, version: { index } } of events) {
      this.events++;
      const name = `${index} ${key}`;
      if (index < told.lastIndex) this.#problem(`${key}: version ${index} was told after ${told.lastIndex}`);
      if (told.events.has(name)) this.#problem(`${key}: version ${index} was told twice`);
      if (index <= told.upTo || index > upTo) {
        this.#problem(`${key}: version ${index} was told as one after ${told.upTo} up to ${upTo}`);
      }
      told.lastIndex = Math.max(told.lastIndex, index);
      told.events.set(name, value);
    }
    if (upTo > told.upTo) told.upTo = upTo;
  }

  #begin(partition: PartitionId, index: LogIndex): Told {
    const told: Told = { first: index, upTo: index, gaps: [], events: new Map(), lastIndex: index };
    this.#told.set(partition, told);
    return told;
  }

  #problem(text: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(text);
  }
}

/** The writes that certainly left an event. A deletion of what was not there leaves none. */
function* acknowledged(operations: readonly Recorded[]): Generator<Written & { readonly index: number }> {
  for (const recorded of operations) {
    const { op, response } = recorded, index = writtenIndex(response);
    if (index === null) continue;
    if (op.kind === "delete" && response?.kind === "written" && !response.existed) continue;
    const last = new Map<string, Uint8Array | null>();
    for (const { key, value } of writesOf(recorded)) last.set(key, value);
    for (const [key, value] of last) {
      const mayHaveBeenAbsent = value === null && op.kind !== "delete";
      if (!mayHaveBeenAbsent) yield { key, value, index };
    }
  }
}

function isInGap({ gaps }: Told, index: number): boolean {
  return gaps.some(({ after, upTo }) => index > after && index <= upTo);
}

function isEqual(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
