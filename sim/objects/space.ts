/**
 * What is on all disks, held against what the catalog says should be there. It reads the rows itself, by name and record,
 * and asks no node what it thinks it holds.
 *
 *  Z1. Every segment that a version or a part names has a row, and every row of a segment is named by one.
 *  Z2. Nothing is left to be removed: no garbage, no pages, parts or pending segments that nothing names.
 *  Z3. The fragments on the disks of members are exactly those of the segments that have rows, each where placement has it,
 *      and whole. Fragments of stripes that have no place, because there are too few members, may be kept.
 */
import type { NodeId, PartitionId } from "../../core/base/ids.ts";
import { chunkCount, fragmentCount, fragmentHash, indexAt } from "../../core/objects/fragment.ts";
import { decodeSegmentRecord, type SegmentRecord } from "../../core/objects/registry.ts";
import { decodePart } from "../../core/objects/records_upload.ts";
import { decodePage, decodeVersion } from "../../core/objects/records_version.ts";
import type { ObjectVersion, Segment } from "../../core/objects/types.ts";
import { ViewHolders } from "../../core/node/holders.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { FragmentId } from "../../core/wire/objects.ts";
import { formatDuration } from "../units.ts";
import { nameOf, type StoredFragment } from "./chunk_disk.ts";

/** A row of the catalog that belongs to objects, where it was found. */
export interface ObjectRow {
  readonly partition: PartitionId;
  readonly key: string;
  readonly value: Uint8Array;
}

/** A member's disk. */
export interface Shelf {
  readonly node: NodeId;
  readonly chunks: { sorted(): readonly Pick<StoredFragment, "fragment" | "length" | "harm">[] };
}

export interface SpaceReport {
  readonly problems: readonly string[];
  /** Damaged fragments, and where they are. */
  readonly rotten: readonly string[];
  /** Segments that are registered and not named yet. */
  readonly pending: number;
  readonly segments: number;
  readonly fragments: number;
  readonly versions: number;
}

interface Registered {
  readonly partition: PartitionId;
  /** bucket/key */
  readonly owner: string;
  readonly record: SegmentRecord;
}

export function spaceReport(
  rows: readonly ObjectRow[],
  view: SystemView,
  shelves: readonly Shelf[],
): SpaceReport {
  const catalog = new Catalog(rows);
  const fragments = expectedFragments(catalog.registered, view);
  const shelved = shelfProblems(fragments, catalog.registered, view, shelves),
    { versions, registered: { size: segments } } = catalog;
  const problems = [...catalog.problems(), ...shelved.problems];
  return {
    problems,
    rotten: shelved.rotten,
    pending: catalog.pending,
    segments,
    fragments: fragments.size,
    versions,
  };
}

/** Rows, sorted by what they are. */
class Catalog {
  readonly registered = new Map<string, Registered>();
  versions = 0;
  readonly #named = new Map<string, string>();
  readonly #pages = new Map<string, readonly Segment[]>();
  readonly #problems: string[] = [];

  constructor(rows: readonly ObjectRow[]) {
    const uploads = new Set<string>(),
      paged: { readonly name: string; readonly version: ObjectVersion }[] = [];
    for (const row of rows) if (row.key[1] === "u") uploads.add(row.key.slice(2));
    for (const { key, value, partition } of rows) {
      const rest = key.slice(2), parts = rest.split("\0");
      try {
        switch (key[1]) {
          case "o":
          case "v": {
            const { version } = decodeVersion(value);
            this.versions++;
            const name = `${parts[0]}/${parts[1]} version ${version.id}`;
            if (version.content.kind !== "segments") break;
            if (version.content.pages > 0) paged.push({ name: `${parts[0]}\0${parts[1]}`, version });
            this.#name(version.content.segments, name);
            break;
          }
          case "p": {
            const upload = parts.slice(0, 3).join("\0");
            if (!uploads.has(upload)) this.#problems.push(`a part without an upload: ${show(rest)}`);
            this.#name(decodePart(value).segments, `part ${show(rest)}`);
            break;
          }
          case "m":
            this.#pages.set(rest, decodePage(value));
            break;
          case "s": {
            const owner = `${parts[1]}/${parts[2]}`;
            this.registered.set(parts[0]!.slice(4), { partition, owner, record: decodeSegmentRecord(value) });
            break;
          }
          case "g":
            this.#problems.push(`garbage that nobody collected: ${show(rest)}`);
            break;
          case "f":
            this.#problems.push(`a fence in the way of ${show(rest)}`);
            break;
        }
      } catch (error) {
        this.#problems.push(`the row ${show(key.slice(1))} cannot be read: ${String(error)}`);
      }
    }
    for (const { name, version } of paged) this.#readPages(name, version);
    for (const page of this.#pages.keys()) this.#problems.push(`a page that no version names: ${show(page)}`);
  }

  #readPages(name: string, { id, content }: ObjectVersion): void {
    if (content.kind !== "segments") return;
    for (let page = 0; page < content.pages; page++) {
      const key = `${name}\0${id.slice(-20)}\0${page.toString(16).padStart(4, "0")}`;
      const segments = this.#pages.get(key);
      if (segments === undefined) {
        this.#problems.push(`page ${page} of version ${id} is not there: ${show(name)}`);
      }
      this.#pages.delete(key);
      this.#name(segments ?? [], `${show(name)} version ${id}`);
    }
  }

  #name(segments: readonly Segment[], owner: string): void {
    for (const { id, bytes } of segments) {
      const before = this.#named.get(id);
      if (before !== undefined) this.#problems.push(`segment ${id} belongs to ${before} and to ${owner}`);
      this.#named.set(id, owner);
      const registered = this.registered.get(id);
      if (registered !== undefined && registered.record.bytes !== bytes) {
        this.#problems.push(
          `segment ${id} of ${owner} has ${bytes} bytes, and its row says ${registered.record.bytes}`,
        );
      }
    }
  }

  get pending(): number {
    return [...this.registered.values()].filter(({ record }) => record.pending).length;
  }

  /** Z1, Z2. */
  problems(): string[] {
    const problems = [...this.#problems];
    for (const [id, owner] of this.#named) {
      if (!this.registered.has(id)) problems.push(`segment ${id} of ${owner} has no row`);
    }
    for (const [id, { record, owner, partition }] of this.registered) {
      if (!this.#named.has(id)) {
        const what = record.pending ? "pending segment" : "segment";
        problems.push(
          `${what} ${id} of ${owner} in partition ${partition} belongs to nothing`,
        );
      }
    }
    return problems;
  }
}

/** By node and name, each fragment that should be. */
function expectedFragments(
  registered: ReadonlyMap<string, Registered>,
  view: SystemView,
): Map<string, FragmentId> {
  const holders = new ViewHolders(view), expected = new Map<string, FragmentId>();
  for (const [segment, { partition, record }] of registered) {
    for (let chunk = 0; chunk < chunkCount(record); chunk++) {
      const places = holders.place(fragmentHash(segment, chunk), fragmentCount(record.scheme));
      for (const [position, node] of places.entries()) {
        if (node === null) continue;
        const fragment = { partition, segment, chunk, index: indexAt(record.scheme, position) };
        expected.set(`${node} ${nameOf(fragment)}`, fragment);
      }
    }
  }
  return expected;
}

/** Z3. */
function shelfProblems(
  expected: ReadonlyMap<string, FragmentId>,
  registered: ReadonlyMap<string, Registered>,
  view: SystemView,
  shelves: readonly Shelf[],
): Pick<SpaceReport, "problems" | "rotten"> {
  const missing = new Map(expected), problems: string[] = [], rotten: string[] = [];
  const holders = new ViewHolders(view);
  const active = new Set(view.members.filter(({ state }) => state === "active").map(({ id }) => id));
  for (const { node, chunks } of shelves) {
    if (!active.has(node)) continue;
    for (const { fragment, harm, length } of chunks.sorted()) {
      const name = `${node} ${nameOf(fragment)}`, wanted = missing.get(name);
      const scheme = registered.get(fragment.segment)?.record.scheme;
      const isSpare = scheme !== undefined &&
        holders.place(
            fragmentHash(fragment.segment, fragment.chunk),
            fragmentCount(scheme),
          )[fragment.index] === null;
      if ((wanted === undefined || wanted.partition !== fragment.partition) && !isSpare) {
        problems.push(`${node} holds ${nameOf(fragment)}, ${length} bytes, which it should not`);
      }
      if (harm !== null) {
        const since = formatDuration(harm.at);
        rotten.push(`${node} holds ${nameOf(fragment)} damaged since ${since} (${harm.kind})`);
      }
      missing.delete(name);
    }
  }
  for (const name of missing.keys()) problems.push(`${name.replace(" ", " lacks ")}`);
  return { problems, rotten };
}

function show(name: string): string {
  return name.replaceAll("\0", " ");
}
