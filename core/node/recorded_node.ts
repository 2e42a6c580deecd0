/** A node that writes its own flight recording (core/wire/recording.ts) as it is stepped. */
import type { Instant } from "../base/ids.ts";
import { DEFAULT_TUNING } from "../base/tuning.ts";
import { effectsDigest } from "../wire/effects_digest.ts";
import type { Effects, Input } from "../wire/kernel.ts";
import { encodeItem, type LifeStart, type RecordingItem, recordsOf } from "../wire/recording_items.ts";
import { Node } from "./node.ts";
import type { NodeOptions } from "./options.ts";
import { partitionStates } from "./state.ts";

/** Where the items of a recording go, encoded. */
export interface Tape {
  /** False: nothing more of this life is recorded. */
  readonly running: boolean;
  take(item: Uint8Array): void;
  /** An item could not be made, which is no reason for the node to end. */
  fail(error: unknown): void;
}

/** What the replicas hold is recorded after so many steps, and at the end. */
const STEPS_BETWEEN_STATES = 8192;

/**
 * Records every step onto `tape`. Whoever makes one first writes down what it is made of (lifeItems), and sees to the
 * rows of its tables.
 */
export class RecordedNode extends Node {
  readonly #tape: Tape;
  #steps = 0;
  #broken = false;

  constructor(options: NodeOptions, tape: Tape) {
    super(options);
    this.#tape = tape;
  }

  /** Steps recorded. */
  get recordedSteps(): number {
    return this.#steps;
  }

  override step(input: Input, now: Instant): Effects {
    if (!this.#tape.running) return super.step(input, now);
    let effects;
    try {
      effects = super.step(input, now);
    } catch (error) {
      this.#broken = true;
      this.#recordBroken(input, now, error);
      throw error;
    }
    this.#recordStep(input, now, effects);
    return effects;
  }

  /** Writes down what its replicas hold now. A node that broke is in the middle of a step, and has no state to speak of. */
  recordState(): void {
    if (this.#broken) return;
    this.#take({ kind: "state", view: this.view().version, partitions: partitionStates(this.replicas()) });
  }

  #recordStep(input: Input, now: Instant, effects: Effects): void {
    try {
      const digest = effectsDigest(effects, this.nextWake()) >>> 0;
      this.#take({ kind: "step", now, fingerprint: this.fingerprint() >>> 0, digest, input });
    } catch (error) {
      return this.#tape.fail(error);
    }
    // The tape may have ended with this very step, without it.
    if (this.#tape.running && ++this.#steps % STEPS_BETWEEN_STATES === 0) this.recordState();
  }

  #recordBroken(input: Input, now: Instant, error: unknown): void {
    try {
      this.#take({
        kind: "broke",
        now,
        message: error instanceof Error ? error.message : String(error),
        input,
      });
      if (this.#tape.running) this.#steps++;
    } catch (failure) {
      this.#tape.fail(failure);
    }
  }

  #take(item: RecordingItem): void {
    this.#tape.take(encodeItem(item));
  }
}

export interface LifeOptions {
  readonly node: NodeOptions;
  readonly network: string;
  readonly wallMs: number;
  readonly now: Instant;
}

/** What `node` is made of, as the first items of its recording: all but the rows of its tables. */
export function* lifeItems({ node, network, wallMs, now }: LifeOptions): Generator<Uint8Array> {
  const { id, address, origin, random, tuning = DEFAULT_TUNING } = node;
  // Encoded at once: the node goes on with these very entries.
  const records = origin.kind === "recovered"
    ? [...recordsOf(origin.recovered)].map((record) => encodeItem({ kind: "record", record }))
    : [];
  const life: LifeStart = {
    node: id,
    address,
    network,
    wallMs,
    startedAt: now,
    random: random.seedWords,
    tuning,
    origin: origin.kind,
    view: origin.kind === "recovered" ? null : origin.view,
    records: records.length,
  };
  yield encodeItem({ kind: "life", life });
  yield* records;
}
