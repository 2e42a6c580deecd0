/**
 * What object clients did and saw, kept apart from the network: the content of every version, by a number that its writer
 * puts into its metadata, and every operation with its times.
 *
 * Invariants
 *  H1  Every version was written by one operation of the run and says which (NUMBER_HEADER); its bytes are that one's.
 *  H2  Operations on one key have an order in which each saw what a single copy of it would have shown (model.ts).
 */
import { createHash } from "node:crypto";
import type { ObjectVersion, Versioning } from "../../core/objects/types.ts";
import { linearizable } from "../checkers/linearizability.ts";
import { formatDuration } from "../units.ts";
import { joined } from "./draws.ts";
import { type ObjectAction, objectModel, type ObjectOperation } from "./model.ts";

export const NUMBER_HEADER = "x-amz-meta-number";

/** A copy has the content of some version of its source. */
type Content =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly etag: string }
  | { readonly kind: "copy"; readonly source: string; found: number | null; etag: string | null };

export interface RecordedObject extends ObjectOperation {
  readonly client: number;
  readonly object: string;
  readonly invoke: number;
  complete: number;
  action: ObjectAction;
  /** It came to nothing, for certain. */
  void: boolean;
}

/** Of a key without an order, so many operations are told. */
const STORY_OPERATIONS = 12;
/** Beyond this many configurations the search gives a key up. */
const CONFIGURATIONS_MAX = 300_000;

export class ObjectHistory {
  readonly operations: RecordedObject[] = [];
  readonly #versioning: (bucket: string) => Versioning;
  readonly #contents: Content[] = [];
  /** By object, the numbers of its versions that were ever begun. */
  readonly #byObject = new Map<string, number[]>();
  bytesRead = 0;

  constructor(versioning: (bucket: string) => Versioning) {
    this.#versioning = versioning;
  }

  // ---- what clients write

  /** The number that a new version of one body shall bear. */
  number(object: string, bytes: Uint8Array): number {
    return this.#add(object, { kind: "bytes", bytes, etag: md5(bytes) });
  }
  /** The number that a new version of several parts shall bear. */
  numberOfParts(object: string, parts: readonly Uint8Array[]): number {
    const digests = joined(parts.map((part) => createHash("md5").update(part).digest()));
    return this.#add(object, {
      kind: "bytes",
      bytes: joined(parts),
      etag: `${md5(digests)}-${parts.length}`,
    });
  }
  /** The number that a copy shall bear. */
  numberOfCopy(object: string, source: string): number {
    return this.#add(object, { kind: "copy", source, found: null, etag: null });
  }

  #add(object: string, content: Content): number {
    const number = this.#contents.length + 1;
    this.#contents.push(content);
    const numbers = this.#byObject.get(object);
    if (numbers === undefined) this.#byObject.set(object, [number]);
    else numbers.push(number);
    return number;
  }

  invoked(client: number, object: string, action: ObjectAction, now: number): RecordedObject {
    const recorded = { client, object, action, invoke: now, complete: Infinity, void: false };
    this.operations.push(recorded);
    return recorded;
  }

  /** What is not told of stays possible for ever. */
  completed(recorded: RecordedObject, now: number, action: ObjectAction = recorded.action): void {
    recorded.complete = now;
    recorded.action = action;
  }

  /** A look whose answer tells something. */
  saw(
    seen: { readonly client: number; readonly object: string; readonly invoke: number; readonly now: number },
    action: ObjectAction,
  ): void {
    const { client, object, invoke, now } = seen;
    this.operations.push({ client, object, action, invoke, complete: now, void: false });
  }

  // ---- what clients read

  /** The number of a version; a problem where no operation of the run made it (H1). */
  numberOf(object: string, version: ObjectVersion): number | { readonly problem: string } {
    const text = version.metadata.find(([name]) => name === NUMBER_HEADER)?.[1] ?? "";
    const number = Number(text);
    if (this.#byObject.get(object)?.includes(number) === true) {
      const content = this.#contents[number - 1]!;
      if (content.kind === "copy") content.etag ??= version.etag;
      if (content.etag === version.etag) return number;
      return { problem: `${object} version ${number} has the ETag ${version.etag}, not ${content.etag}` };
    }
    return {
      problem: `${object} has version ${version.id} of number ${JSON.stringify(text)}, which nobody wrote`,
    };
  }

  /** H1: what is wrong with bytes read of a version, `start` of them on; null: nothing. */
  contentProblem(
    object: string,
    number: number,
    read: { readonly start: number; readonly bytes: Uint8Array; readonly total: number },
  ): string | null {
    this.bytesRead += read.bytes.length;
    const candidates = this.#candidates(number);
    for (const candidate of candidates) {
      const bytes = this.#bytesOf(candidate);
      if (bytes === null || bytes.length !== read.total) continue;
      if (!isPart(bytes, read.start, read.bytes)) continue;
      const content = this.#contents[number - 1]!;
      // Any part may fit several candidates; a whole one is unique.
      if (content.kind === "copy" && read.bytes.length === read.total) content.found = candidate;
      return null;
    }
    const expected = candidates.map((candidate) => this.#bytesOf(candidate)?.length ?? "?").join(" or ");
    return `${object}: ${read.bytes.length} of ${read.total} bytes from ${read.start} of version ${number} are not ` +
      `those that were written (${expected} bytes)`;
  }

  /** The versions whose content this one may have. */
  #candidates(number: number): readonly number[] {
    const content = this.#contents[number - 1]!;
    if (content.kind === "bytes") return [number];
    if (content.found !== null) return [content.found];
    return this.#sources(content.source, new Set());
  }

  #sources(object: string, visited: Set<string>): number[] {
    if (visited.has(object)) return [];
    visited.add(object);
    return (this.#byObject.get(object) ?? []).flatMap((number) => {
      const content = this.#contents[number - 1]!;
      return content.kind === "bytes" ? [number] : this.#sources(content.source, visited);
    });
  }

  #bytesOf(number: number): Uint8Array | null {
    const content = this.#contents[number - 1]!;
    if (content.kind === "bytes") return content.bytes;
    return content.found === null ? null : this.#bytesOf(content.found);
  }

  #etagOf(number: number): string | null {
    return this.#contents[number - 1]?.etag ?? null;
  }

  // ---- afterwards

  /** All objects that anybody tried to write. */
  objects(): string[] {
    return [...this.#byObject.keys()].sort();
  }

  /** H2. */
  check(): { readonly objects: number; readonly operations: number; readonly problems: readonly string[] } {
    const byObject = new Map<string, RecordedObject[]>(), problems: string[] = [];
    for (const operation of this.operations) {
      if (operation.void) continue;
      const list = byObject.get(operation.object);
      if (list === undefined) byObject.set(operation.object, [operation]);
      else list.push(operation);
    }
    for (const [object, operations] of [...byObject].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const model = objectModel(this.#versioning(bucketOf(object)), (number) => this.#etagOf(number));
      const verdict = linearizable(operations, model, CONFIGURATIONS_MAX);
      if (verdict.kind === "broken") problems.push(this.#story(object, operations, verdict.stuck));
    }
    return { objects: byObject.size, operations: this.operations.length, problems };
  }

  #story(object: string, operations: readonly RecordedObject[], stuck: number): string {
    const { client, action, invoke, complete } = operations[stuck]!;
    const before = operations.filter((each) => each.invoke < complete).slice(-STORY_OPERATIONS);
    const lines = before.map((each) =>
      `[${formatDuration(each.invoke)}..${
        each.complete === Infinity ? "?" : formatDuration(each.complete)
      }] ` +
      `client ${each.client} ${JSON.stringify(each.action)}`
    );
    return `${object}: no order explains what client ${client} was told, ${JSON.stringify(action)} ` +
      `(${formatDuration(invoke)}..${formatDuration(complete)}): ${lines.join("; ")}`;
  }
}

/** Names a key of a bucket. Buckets have no "/". */
export function objectName(bucket: string, key: string): string {
  return `${bucket}/${key}`;
}
export function bucketOf(object: string): string {
  return object.slice(0, object.indexOf("/"));
}
export function keyOf(object: string): string {
  return object.slice(object.indexOf("/") + 1);
}

function isPart(whole: Uint8Array, start: number, part: Uint8Array): boolean {
  if (start + part.length > whole.length) return false;
  for (let i = 0; i < part.length; i++) if (whole[start + i] !== part[i]) return false;
  return true;
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}
