/**
 * What is left to be removed: done by whoever left it, and again by whoever finds it.
 *
 * Invariants
 *  G1  Everything that a row of garbage names is gone for good before the row is: no id is ever used again, so removing twice is
 *      removing once, and several may work at it.
 *  G2  A claim stands for a version that is being made. Its commit takes the claim as it was written; whoever removes what was
 *      claimed changes the claim first. So one of the two happens.
 */
import { prefixEnd } from "../../base/bytes.ts";
import { WireError } from "../../wire/cbor.ts";
import type { KeyValue, Op, TransactItem } from "../../wire/requests.ts";
import { tryDecode } from "../records.ts";
import { decodeGarbage, decodePart, encodeGarbage, type Garbage } from "../records_upload.ts";
import { decodePage } from "../records_version.ts";
import { garbageRow, pageRow, partRow, segmentRow } from "../rows.ts";
import type { Program, Segment } from "../types.ts";
import { ask, errorOf, getRow, now, outcomeOf, strange } from "./ask.ts";
import { hintGone, removalsOf } from "./draft.ts";
import { rowsFrom } from "./paging.ts";
import type { Place, World } from "./world.ts";

/** Removes what is left of what was deleted under this key. */
export function* collect(world: World, bucket: string, key: string): Program<void> {
  const place = yield* world.place(bucket, key);
  const start = garbageRow(bucket, key, "");
  const rows = rowsFrom(world, { start, end: prefixEnd(start), partition: place.partition });
  for (let row = yield* rows.next(); row !== null; row = yield* rows.next()) {
    yield* removeGarbage(world, place, row);
  }
}

/** True: it is done. `force`: claims, too, however young. */
export function* removeGarbage(world: World, place: Place, row: KeyValue, force = false): Program<boolean> {
  const garbage = tryDecode(() => decodeGarbage(row.value ?? new Uint8Array(0)));
  // What it named cannot be known. It stays, for a person to see.
  if (garbage instanceof WireError) return false;
  let version = row.version;
  switch (garbage.kind) {
    case "content":
      if (garbage.content.kind === "segments") {
        yield* removeSegments(world, place, garbage.content.segments);
        yield* removePages(world, place, garbage.draw, garbage.content.pages, true);
      }
      break;
    case "claim": {
      const given = yield* giveUpClaim(world, row, garbage, force);
      if (given === null) return false;
      version = given;
      yield* removePages(world, place, garbage.draw, garbage.pages, garbage.owns);
      break;
    }
    case "parts":
      yield* removeParts(world, place, garbage.upload, new Set(garbage.keep));
      break;
  }
  yield* must({ kind: "cas", key: row.key, expect: { kind: "version", version }, value: null });
  return true;
}

/** G2. The claim's version afterwards; null: it is to be left alone. */
function* giveUpClaim(
  world: World,
  row: KeyValue,
  claim: Extract<Garbage, { kind: "claim" }>,
  force: boolean,
): Program<KeyValue["version"] | null> {
  // Given up before.
  if (claim.startedMs === 0) return row.version;
  if (!force && (yield* now()) - claim.startedMs < world.sizes.claimMs) return null;
  const response = yield* ask({
    kind: "cas",
    key: row.key,
    expect: { kind: "version", version: row.version },
    value: encodeGarbage({ ...claim, startedMs: 0 }),
  });
  if (response.kind === "cas") return response.applied ? response.version : null;
  throw strange(response);
}

export function* removeSegments(world: World, place: Place, segments: readonly Segment[]): Program<void> {
  if (segments.length === 0) return;
  for (const op of removalsOf(place, segments, world.sizes.rowsPerTransaction)) yield* must(op);
  yield* hintGone(place, segments);
}

function* removePages(
  world: World,
  place: Place,
  draw: string,
  pages: number,
  withSegments: boolean,
): Program<void> {
  for (let page = 0; page < pages; page++) {
    const key = pageRow(place.bucket, place.key, draw, page);
    const found = withSegments ? yield* getRow(key) : null;
    if (found !== null) {
      const segments = tryDecode(() => decodePage(found.value ?? new Uint8Array(0)));
      if (!(segments instanceof WireError)) yield* removeSegments(world, place, segments);
    }
    yield* must({ kind: "delete", key });
  }
}

function* removeParts(world: World, place: Place, upload: string, keep: ReadonlySet<number>): Program<void> {
  const { bucket, key, partition } = place;
  const start = partRow(bucket, key, upload, 0).slice(0, -5);
  const rows = rowsFrom(world, { start, end: prefixEnd(start), partition });
  let items: TransactItem[] = [], gone: Segment[] = [];
  for (let row = yield* rows.next();; row = yield* rows.next()) {
    const part = row === null ? null : tryDecode(() => decodePart(row.value ?? new Uint8Array(0)));
    const segments = part === null || part instanceof WireError || keep.has(part.number) ? [] : part.segments;
    if (
      items.length > 0 && (row === null || items.length + segments.length >= world.sizes.rowsPerTransaction)
    ) {
      yield* must({ kind: "transact", conditions: [], then: items, otherwise: [] });
      yield* hintGone(place, gone);
      items = [];
      gone = [];
    }
    if (row === null) return;
    items.push({ kind: "delete", key: row.key });
    for (const segment of segments) {
      items.push({ kind: "delete", key: segmentRow(place, segment.id) });
      gone.push(segment);
    }
  }
}

/** Removing twice is removing once: what is not known to have happened is asked for again, a few times. */
export function* must(op: Op): Program<void> {
  for (let attempt = 1;; attempt++) {
    const response = yield* ask(op);
    if (response.kind !== "refused") return;
    if (outcomeOf(response) === "known" || attempt === MUST_ATTEMPTS) throw errorOf(response);
  }
}
const MUST_ATTEMPTS = 3;
