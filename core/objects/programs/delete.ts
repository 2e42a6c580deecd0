/** Deleting objects, single versions, and changing the tags of one. */
import { prefixEnd } from "../../base/bytes.ts";
import type { KeyValue, TransactItem, TransactOp } from "../../wire/requests.ts";
import { encodeVersion } from "../records_version.ts";
import { newestRow, versionRow } from "../rows.ts";
import {
  type Deleted,
  type DeleteOptions,
  type GetOptions,
  ObjectError,
  type ObjectVersion,
  type Pair,
  type Program,
} from "../types.ts";
import { getRow, now } from "./ask.ts";
import { change, expectSame, type Found, type Plan, type VersionRow, versionRowOf } from "./change.ts";
import { judgeWrite } from "./conditions.ts";
import { deletedError, findVersion } from "./get.ts";
import { checkKey, checkTags, quote } from "./names.ts";
import { rowsFrom } from "./paging.ts";
import { drawVersion, getOlder, planNewest } from "./put.ts";
import type { Place, World } from "./world.ts";

/**
 * Deletes the object; where versions are kept, by a marker; or exactly the version named. Nothing there is no error. `ifMatchVersion`: only
 * while that version is the newest.
 */
export function* deleteObject(
  world: World,
  options: DeleteOptions,
  { ifMatchVersion }: { readonly ifMatchVersion?: string } = {},
): Program<Deleted> {
  const { bucket, key, version } = options;
  checkKey(key);
  const place = yield* world.place(bucket, key);
  const draw = yield* drawVersion();
  return yield* change(world, place, function* (found): Program<Plan<Deleted>> {
    if (version !== undefined) return yield* planRemoval(world, place, found, version, options);
    judgeWrite(options.conditions, key, found.newest?.version ?? null);
    if (ifMatchVersion !== undefined && found.newest?.version.id !== ifMatchVersion) {
      return { kind: "done", value: { existed: false, version: null, marker: false } };
    }
    if (found.bucket.versioning === "off") return planDelete(place, found);
    const facts = {
      deleted: true,
      bytes: 0,
      etag: "",
      modifiedMs: yield* now(),
      owner: options.owner ?? "",
      metadata: [],
      tags: [],
      content: { kind: "inline", bytes: new Uint8Array(0) } as const,
      parts: [],
    };
    const { plan, version: marker } = yield* planNewest(place, found, draw, facts);
    return { ...plan, value: { existed: true, version: idShown(marker), marker: true } };
  });
}

/**
 * Removes one version if it is an older one, or if it is the only one: for rules, which judged it a moment before.
 */
export function* removeIf(
  world: World,
  { bucket, key, version }: { readonly bucket: string; readonly key: string; readonly version: string },
  only: "older" | "alone",
): Program<Deleted> {
  const place = yield* world.place(bucket, key);
  return yield* change(world, place, function* (found): Program<Plan<Deleted>> {
    const isNewest = found.newest?.version.id === version;
    if (isNewest === (only === "alone")) {
      if (only === "older" || (yield* nextOlder(world, place)) === null) {
        return yield* planRemoval(world, place, found, version, {});
      }
    }
    return { kind: "done", value: { existed: false, version, marker: false } };
  });
}

/** "null" for what was written while versions were not kept. */
export function idShown(version: ObjectVersion): string {
  return version.isNull ? "null" : version.id;
}

/** Versions were never kept: there is one at most. */
function planDelete(place: Place, { newest }: Found): Plan<Deleted> {
  if (newest === null) return { kind: "done", value: { existed: false, version: null, marker: false } };
  return {
    kind: "change",
    conditions: [],
    then: [{ kind: "delete", key: newestRow(place.bucket, place.key) }],
    removed: [newest.version],
    value: { existed: true, version: null, marker: false },
    applied: goneWith(newest),
  };
}

/** Gone is gone, whoever did it; but if another came after it, it cannot be known what happened between. */
function goneWith({ version }: VersionRow) {
  return function* (now: VersionRow | null): Program<boolean | null> {
    yield* nothing();
    return now === null ? true : now.version.id === version.id ? false : null;
  };
}
function* nothing(): Program<void> {}

/** Exactly one version goes. Where it was the newest, the next older one takes its place. */
export function* planRemoval(
  world: World,
  place: Place,
  { newest }: Found,
  asked: string,
  { conditions: judged }: Pick<DeleteOptions, "conditions">,
): Program<Plan<Deleted>> {
  const none: Plan<Deleted> = { kind: "done", value: { existed: false, version: asked, marker: false } };
  if (newest === null) return none;
  const target = yield* findVersion(
    place,
    { key: newest.row, value: newest.value, version: newest.at },
    asked,
  );
  if (target === null) return none;
  const { version } = target;
  judgeWrite(judged, place.key, version);
  const value = { existed: true, version: idShown(version), marker: version.deleted };
  const changed = target.version.id === newest.version.id ? yield* promote(world, place, newest) : {
    conditions: [{ key: target.row, expect: expectSame({ version: target.at }) }],
    then: [{ kind: "delete", key: target.row } as const],
  };
  return {
    kind: "change",
    ...changed,
    removed: [version],
    value,
    applied: function* (now) {
      if (now === null) return true;
      return now.version.id !== version.id && (yield* getOlder(place, version.id)) === null;
    },
  };
}

function* promote(
  world: World,
  place: Place,
  newest: VersionRow,
): Program<{ conditions: TransactOp["conditions"]; then: TransactItem[] }> {
  const row = newestRow(place.bucket, place.key);
  const next = yield* nextOlder(world, place);
  if (next === null) return { conditions: [], then: [{ kind: "delete", key: row }] };
  const { version, upload } = versionRowOf(place, next);
  const olderNull = newest.olderNull === version.id ? null : newest.olderNull;
  return {
    conditions: [{ key: next.key, expect: expectSame(next) }],
    then: [
      { kind: "delete", key: next.key },
      { kind: "put", key: row, value: encodeVersion({ version, olderNull, upload }) },
    ],
  };
}

/** The row of the newest of the older versions. */
function* nextOlder(world: World, { bucket, key, partition }: Place): Program<KeyValue | null> {
  const start = versionRow(bucket, key, "");
  return yield* rowsFrom(world, { start, end: prefixEnd(start), partition, wanted: 1 }).next();
}

/** Replaces the tags of the newest version, or of the one named. @throws {ObjectError} "deleted" for a marker */
export function* setTags(world: World, options: GetOptions, tags: readonly Pair[]): Program<ObjectVersion> {
  const { bucket, key, version: asked } = options;
  checkKey(key);
  checkTags(tags);
  const place = yield* world.place(bucket, key);
  return yield* change(world, place, function* ({ newest }): Program<Plan<ObjectVersion>> {
    const target = newest === null || asked === undefined
      ? newest
      : yield* findVersion(place, { key: newest.row, value: newest.value, version: newest.at }, asked);
    if (target === null) {
      throw asked === undefined
        ? new ObjectError("no-such-key", `There is no object ${quote(key)} in the bucket ${quote(bucket)}`)
        : new ObjectError("no-such-version", `The object ${quote(key)} has no version ${quote(asked)}`);
    }
    if (target.version.deleted) throw deletedError(options, target.version);
    const version = { ...target.version, tags };
    const value = encodeVersion({ ...target, version });
    return {
      kind: "change",
      conditions: [{ key: target.row, expect: expectSame({ version: target.at }) }],
      then: [{ kind: "put", key: target.row, value }],
      removed: [],
      value: version,
      applied: function* () {
        return isSame(yield* getRow(target.row), value) ? true : null;
      },
    };
  });
}

function isSame(row: KeyValue | null, value: Uint8Array): boolean {
  return row !== null && row.value !== null && row.value.length === value.length &&
    row.value.every((byte, i) => byte === value[i]);
}
