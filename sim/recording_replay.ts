/**
 * Steps a node through a recording of its life, and compares each step with what was recorded of it. A step is a pure
 * function of what the node was made of, what it was told before and the time: the same build does the same again.
 */
import type { Instant } from "../core/base/ids.ts";
import { Random } from "../core/base/random.ts";
import { Node } from "../core/node/node.ts";
import type { NodeOptions, Origin } from "../core/node/options.ts";
import { partitionStates } from "../core/node/state.ts";
import { effectsDigest } from "../core/wire/effects_digest.ts";
import { JournalState } from "../core/wire/journal_state.ts";
import type { Effects, Input } from "../core/wire/kernel.ts";
import type { LifeEnd, LifeStart, PartitionState, RecordingItem } from "../core/wire/recording_items.ts";
import { MemoryTables } from "./tables.ts";

/** The items of one life, from the first, each time that they are asked for. */
export type RecordedItems = () => Iterable<RecordingItem>;

/** What a step left: the node's fingerprint, and the digest of what it asked for. Or what it threw. */
export type StepResult =
  | { readonly kind: "done"; readonly fingerprint: number; readonly digest: number }
  | { readonly kind: "broke"; readonly message: string };

export interface ReplayedStep {
  readonly kind: "step";
  /** The first step of a life is 1. */
  readonly number: number;
  readonly now: Instant;
  readonly input: Input;
  readonly recorded: StepResult;
  readonly replayed: StepResult;
  /** Good until the next step; null where it threw. */
  readonly effects: Effects | null;
  readonly equal: boolean;
}

/** What the replicas held after step `number`, where it was recorded. */
export interface ReplayedState {
  readonly kind: "state";
  readonly number: number;
  readonly differences: readonly string[];
  readonly equal: boolean;
}

/** The recording does not hold together: it was not a recorder that wrote it. */
export class LifeError extends Error {
  override readonly name = "LifeError";
}

/** One life under replay. */
export class LifeReplay {
  readonly life: LifeStart;
  readonly node: Node;
  readonly #items: Iterator<RecordingItem>;
  #steps = 0;
  #states = 0;
  #now: Instant;
  #end: LifeEnd | null = null;

  private constructor(life: LifeStart, node: Node, items: Iterator<RecordingItem>) {
    this.life = life;
    this.node = node;
    this.#items = items;
    this.#now = life.startedAt;
  }

  /**
   * Makes the node as it was before its first step. null: the recording ends before everything was written that the
   * node began with.
   * @param make in place of the real node, in tests
   * @throws {LifeError}
   */
  static open(
    items: RecordedItems,
    make: (options: NodeOptions) => Node = (options) => new Node(options),
  ): LifeReplay | null {
    const beginning = readBeginning(items());
    if (beginning === null) return null;
    const { life, origin, tables } = beginning;
    const { node: id, address, tuning } = life;
    const node = make({ id, address, origin, tuning, random: Random.fromSeedWords(life.random), tables });
    return new LifeReplay(life, node, items()[Symbol.iterator]());
  }

  /** Steps done so far. */
  get steps(): number {
    return this.#steps;
  }
  /** Recorded states that were compared so far. */
  get states(): number {
    return this.#states;
  }
  /** Of the last step, on the clock of the host. */
  get now(): Instant {
    return this.#now;
  }
  /** Microseconds since the node was made. */
  get elapsedUs(): number {
    return this.#now - this.life.startedAt;
  }
  /** Why the recording ends, once it has; null: it was cut off, as by a kill. */
  get end(): LifeEnd | null {
    return this.#end;
  }

  /**
   * Does the next step, or compares the state that was recorded after the last one. null at the end. After something
   * was not equal the node is another than the one recorded, and nothing that follows means anything.
   * @throws {LifeError}
   */
  next(): ReplayedStep | ReplayedState | null {
    for (;;) {
      const { done, value: item } = this.#items.next();
      if (done === true) return null;
      switch (item.kind) {
        case "step":
          return this.#step(item.input, item.now, {
            kind: "done",
            fingerprint: item.fingerprint,
            digest: item.digest,
          });
        case "broke":
          return this.#step(item.input, item.now, { kind: "broke", message: item.message });
        case "state":
          return this.#state(item.view, item.partitions);
        case "end":
          if (item.steps !== this.#steps) {
            throw new LifeError(`The recording says that it has ${item.steps} steps, and has ${this.#steps}`);
          }
          this.#end = item.reason;
      }
    }
  }

  /** Lines that describe the node and its replicas as they are now. */
  describe(): string[] {
    return [
      this.node.describe(),
      ...this.node.replicas().map(({ replica, catalog }) =>
        catalog === null ? replica.describe() : `${replica.describe()} · ${catalog.describe()}`
      ),
    ];
  }

  #step(input: Input, now: Instant, recorded: StepResult): ReplayedStep {
    const number = ++this.#steps;
    this.#now = now;
    let replayed: StepResult, effects: Effects | null = null;
    try {
      effects = this.node.step(input, now);
      const digest = effectsDigest(effects, this.node.nextWake()) >>> 0;
      replayed = { kind: "done", fingerprint: this.node.fingerprint() >>> 0, digest };
    } catch (error) {
      replayed = { kind: "broke", message: error instanceof Error ? error.message : String(error) };
    }
    return {
      kind: "step",
      number,
      now,
      input,
      recorded,
      replayed,
      effects,
      equal: isSame(recorded, replayed),
    };
  }

  #state(view: number, partitions: readonly PartitionState[]): ReplayedState {
    this.#states++;
    const differences: string[] = [];
    const own = this.node.view().version;
    if (own !== view) differences.push(`view ${view} recorded, ${own} replayed`);
    const recorded = new Map(partitions.map((state) => [state.partition, state]));
    const replayed = new Map(partitionStates(this.node.replicas()).map((state) => [state.partition, state]));
    for (const partition of new Set([...recorded.keys(), ...replayed.keys()])) {
      const one = stateText(recorded.get(partition)), other = stateText(replayed.get(partition));
      if (one !== other) differences.push(`partition ${partition} ${one} recorded, ${other} replayed`);
    }
    return { kind: "state", number: this.#steps, differences, equal: differences.length === 0 };
  }
}

interface Beginning {
  readonly life: LifeStart;
  readonly origin: Origin;
  readonly tables: MemoryTables;
}

function readBeginning(items: Iterable<RecordingItem>): Beginning | null {
  const tables = new MemoryTables(), journal = new JournalState();
  let life: LifeStart | null = null, records = 0, rows = 0;
  for (const item of items) {
    if ((life === null) !== (item.kind === "life")) {
      throw new LifeError("A life begins with what the node was made of, once");
    }
    switch (item.kind) {
      case "life":
        life = item.life;
        break;
      case "record": {
        const wrong = journal.apply(item.record);
        if (wrong !== null) {
          throw new LifeError(`The journal that the node began with contradicts itself: ${wrong}`);
        }
        records++;
        break;
      }
      case "rows":
        for (const [key, value] of item.rows) tables.set(key, value);
        rows += item.rows.length;
        break;
      case "begun":
        if (records !== life!.records || rows !== item.rows) {
          throw new LifeError(
            `The recording holds ${records} records and ${rows} rows to begin with, not ${
              life!.records
            } and ${item.rows}`,
          );
        }
        return { life: life!, origin: originOf(life!, journal), tables };
    }
  }
  return null;
}

function originOf({ origin, view }: LifeStart, journal: JournalState): Origin {
  if (origin === "recovered") {
    const recovered = journal.recovered();
    if (recovered.view === null) throw new LifeError("A node that ran before has a view in its journal");
    return { kind: "recovered", recovered };
  }
  if (view === null) throw new LifeError("A node that begins has a view");
  return { kind: origin, view };
}

function isSame(one: StepResult, other: StepResult): boolean {
  if (one.kind === "broke") return other.kind === "broke" && one.message === other.message;
  return other.kind === "done" && one.fingerprint === other.fingerprint && one.digest === other.digest;
}

function stateText(state: PartitionState | undefined): string {
  return state === undefined ? "nothing" : `${state.applied}:${state.digest.toString(16).padStart(8, "0")}`;
}
