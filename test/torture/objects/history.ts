/**
 * What the clients of objects did and saw. The bytes of a version follow from its number, which its writer puts into its
 * metadata, so a reader knows what it ought to see and nothing has to be kept.
 */
import { linearizable } from "../../../sim/checkers/linearizability.ts";
import { type ObjectAction, objectModel, type ObjectOperation } from "../../../sim/objects/model.ts";
import type { ObjectVersion, Versioning } from "../../../core/objects/types.ts";

export const NUMBER_HEADER = "x-amz-meta-number";
/** Content is made of words that follow from the number and from where they stand. */
const WORD_BYTES = 4;

export interface Recorded extends ObjectOperation {
  readonly client: string;
  /** bucket/key */
  readonly object: string;
  readonly invoke: number;
  complete: number;
  action: ObjectAction;
  /** It came to nothing, for certain. */
  void: boolean;
}

export interface Seen {
  readonly client: string;
  readonly object: string;
  readonly invoke: number;
}

interface Written {
  readonly object: string;
  readonly bytes: number;
  /** Known when it is written, or when it was first read. */
  etag: string | null;
}

const STORY_OPERATIONS = 12;
const CONFIGURATIONS_MAX = 400_000;

export class ObjectHistory {
  readonly operations: Recorded[] = [];
  readonly problems: string[] = [];
  readonly #versioning: (bucket: string) => Versioning;
  readonly #written: Written[] = [];
  readonly #objects = new Set<string>();
  bytesRead = 0;

  constructor(versioning: (bucket: string) => Versioning) {
    this.#versioning = versioning;
  }

  /** The number that a new version shall bear. */
  number(object: string, bytes: number): number {
    this.#objects.add(object);
    return this.#written.push({ object, bytes, etag: null });
  }
  get objects(): readonly string[] {
    return [...this.#objects].sort();
  }

  invoked(client: string, object: string, action: ObjectAction): Recorded {
    const recorded = { client, object, action, invoke: now(), complete: Infinity, void: false };
    this.operations.push(recorded);
    return recorded;
  }
  /** What is not told of stays possible for ever. */
  completed(recorded: Recorded, action: ObjectAction = recorded.action): void {
    recorded.complete = now();
    recorded.action = action;
  }
  saw(seen: Seen, action: ObjectAction): void {
    this.operations.push({ ...seen, action, complete: now(), void: false });
  }

  /** The number of a version that somebody was shown; null, and a problem: nobody wrote it. */
  numberOf(object: string, version: ObjectVersion): number | null {
    const number = Number(version.metadata.find(([name]) => name === NUMBER_HEADER)?.[1]);
    const written = this.#written[number - 1];
    if (written === undefined || written.object !== object) {
      this.problem(`${object} has version ${version.id} with number ${number}, which nobody wrote to it`);
      return null;
    }
    written.etag ??= version.etag;
    if (written.bytes === version.bytes && written.etag === version.etag) return number;
    this.problem(
      `${object} version ${number} has ${version.bytes} bytes and ETag ${version.etag}, ` +
        `not ${written.bytes} and ${written.etag}`,
    );
    return null;
  }

  problem(what: string): void {
    this.problems.push(what);
  }

  /** Keys and operations checked. What breaks the order is added to the problems. */
  check(): { readonly objects: number; readonly operations: number; readonly undecided: number } {
    const byObject = Map.groupBy(
      this.operations.filter((operation) => !operation.void),
      ({ object }) => object,
    );
    let undecided = 0;
    for (const [object, operations] of byObject) {
      const model = objectModel(
        this.#versioning(object.slice(0, object.indexOf("/"))),
        (number) => this.#written[number - 1]?.etag ?? null,
      );
      const verdict = linearizable(operations, model, CONFIGURATIONS_MAX);
      if (verdict.kind === "undecided") undecided++;
      else if (verdict.kind === "broken") this.problem(story(object, operations, verdict.stuck));
    }
    return { objects: byObject.size, operations: this.operations.length, undecided };
  }
}

/** Milliseconds of one clock for all. */
export function now(): number {
  return performance.now();
}

/** The bytes of a version from `start`, so many. */
export function contentOf(number: number, start: number, length: number): Uint8Array {
  const first = Math.floor(start / WORD_BYTES);
  const words = new Uint32Array(Math.ceil((start % WORD_BYTES + length) / WORD_BYTES));
  for (let i = 0; i < words.length; i++) words[i] = wordOf(number, first + i);
  return new Uint8Array(words.buffer, start % WORD_BYTES, length);
}

function wordOf(number: number, at: number): number {
  let word = Math.imul(number ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(at + 1, 0xc2b2ae35);
  word = Math.imul(word ^ word >>> 15, 0x2c1b3c6d);
  return word ^ word >>> 13;
}

/** Where `bytes`, which stand at `start` of a version, are not what was written; null: nowhere. */
export function firstDifference(number: number, start: number, bytes: Uint8Array): number | null {
  const wanted = contentOf(number, start, bytes.length);
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== wanted[i]) return start + i;
  return null;
}

function story(object: string, operations: readonly Recorded[], stuck: number): string {
  const lineOf = ({ client, action, invoke, complete }: Recorded) =>
    `[${invoke.toFixed(0)}..${complete === Infinity ? "?" : complete.toFixed(0)}] ${client} ${
      JSON.stringify(action)
    }`;
  const { complete } = operations[stuck]!;
  const before = operations.filter((each) => each.invoke < complete).slice(-STORY_OPERATIONS);
  return `${object}: no order explains what was told: ${lineOf(operations[stuck]!)}; before: ` +
    before.map(lineOf).join("; ");
}
