/** Writing whole objects, and how what was written becomes a version. */
import { LIMITS } from "../../base/limits.ts";
import type { TransactItem, TransactOp, Version } from "../../wire/requests.ts";
import { hexOf } from "../records.ts";
import { encodeGarbage } from "../records_upload.ts";
import { DRAW_BYTES, encodePage, encodeVersion, versionId } from "../records_version.ts";
import { garbageRow, newestRow, pageRow, segmentRow, versionRow } from "../rows.ts";
import {
  type Conditions,
  type Content,
  ObjectError,
  type ObjectVersion,
  type Pair,
  type Program,
  type PutOptions,
  type Segment,
} from "../types.ts";
import { ask, getRow, getRows, now, outcomeOf, random, strange } from "./ask.ts";
import { bucketOf } from "./bucket_row.ts";
import {
  change,
  expectSame,
  type Found,
  newestOf,
  type Plan,
  readRows,
  type Rows,
  type VersionRow,
  versionRowOf,
} from "./change.ts";
import { judgeWrite } from "./conditions.ts";
import {
  BODY,
  discard,
  type Draft,
  livingRows,
  type Proofs,
  type Source,
  tookTooLong,
  writeDraft,
} from "./draft.ts";
import { removeGarbage } from "./garbage.ts";
import { checkedMetadata, checkKey, checkTags } from "./names.ts";
import { DEFAULT_SCHEME, type Place, type World } from "./world.ts";

/** Writes the driver's body as the newest version. @throws {ObjectError} see PutOptions; nothing is changed then */
export function* put(world: World, options: PutOptions): Program<ObjectVersion> {
  return yield* putFrom(world, options, BODY);
}

export function* putFrom(world: World, options: PutOptions, source: Source): Program<ObjectVersion> {
  const { bucket, key, conditions, late, tags = [] } = options;
  checkKey(key);
  checkTags(tags);
  checkedMetadata(options.metadata ?? []);
  const place = yield* world.place(bucket, key);
  const rows = yield* readRows(place);
  const { scheme } = bucketOf(bucket, rows.bucket);
  // It is judged again when it counts; but who is refused anyway need not send the body.
  judgeWrite(conditions, key, newestOf(place, rows.newest)?.version ?? null);
  const draft = yield* writeDraft(world, place, source, {
    scheme: scheme ?? DEFAULT_SCHEME,
    bytes: options.bytes,
    bytesMax: LIMITS.objectBytesMax,
    inline: true,
    md5: options.md5,
  });
  let metadata: Pair[];
  try {
    metadata = checkedMetadata([...options.metadata ?? [], ...late?.() ?? []]);
  } catch (error) {
    yield* discard(place, draft);
    throw error;
  }
  const described = { conditions, owner: options.owner ?? "", metadata, tags };
  // Nothing is won by looking again where hardly any time has passed: the transaction holds the rows to what they were.
  const isFresh = draft.bytes <= world.sizes.chunkBytes && (yield* now()) - draft.startedMs < ROWS_FRESH_MS;
  return yield* commitDraft(world, place, draft, { described, rows: isFresh ? rows : null });
}
const ROWS_FRESH_MS = 2000;

/** What of a version its writer says. */
export interface Described {
  readonly conditions?: Conditions | undefined;
  readonly owner: string;
  readonly metadata: readonly Pair[];
  readonly tags: readonly Pair[];
}

function* commitDraft(
  world: World,
  place: Place,
  draft: Draft,
  { described, rows }: { readonly described: Described; readonly rows: Rows | null },
): Program<ObjectVersion> {
  let staged: Staged | null = null;
  const giveUp = function* (): Program<void> {
    if (staged !== null) yield* unstage(world, place, staged);
    yield* discard(place, draft);
  };
  try {
    staged = yield* stage(world, place, draft.segments, draft.proofs);
  } catch (error) {
    yield* giveUp();
    throw error;
  }
  const { draw, content, conditions, then } = staged;
  const living = staged.claim === null ? livingRows(place, draft.segments, draft.proofs) : [];
  const present = draft.registered && staged.claim === null ? draft.segments : [];
  const decide = function* (found: Found): Program<Plan<ObjectVersion>> {
    judgeWrite(described.conditions, place.key, found.newest?.version ?? null);
    const modifiedMs = yield* now();
    if (
      !draft.registered && draft.segments.length > 0 &&
      modifiedMs - draft.startedMs > world.sizes.unregisteredMs
    ) {
      throw tookTooLong();
    }
    const { owner, metadata, tags } = described;
    const facts = {
      deleted: false,
      bytes: draft.bytes,
      etag: draft.md5,
      modifiedMs,
      owner,
      metadata,
      tags,
      parts: [],
    };
    const { plan } = yield* planNewest(place, found, draw, {
      ...facts,
      content: draft.inline === null ? content : { kind: "inline", bytes: draft.inline },
    });
    return {
      ...plan,
      conditions: [
        ...plan.conditions,
        ...conditions,
        ...present.map(({ id }) => ({
          key: segmentRow(place, id),
          expect: { kind: "present" } as const,
        })),
      ],
      then: [...plan.then, ...living, ...then],
      lost: function* (): Program<void> {
        yield* checkRegistered(place, present, staged?.claim ?? null);
      },
    };
  };
  return yield* change(world, place, decide, giveUp, rows);
}

/** For a version's id: what is drawn once however often its write tries. */
export function* drawVersion(): Program<string> {
  return hexOf(yield* random(DRAW_BYTES));
}

/** What commit does not know of a version, and its writer does. */
export type Facts = Omit<ObjectVersion, "id" | "sequence" | "isNull">;

/**
 * How a new version becomes the newest, given what is there: where versions are kept the newest moves to the older ones; where they
 * are not any more, the null version is replaced wherever it lies.
 */
export function* planNewest(
  place: Place,
  { bucket, newest }: Found,
  draw: string,
  facts: Facts,
  upload: string | null = null,
): Program<{ version: ObjectVersion; plan: Extract<Plan<ObjectVersion>, { kind: "change" }> }> {
  const sequence = (newest?.version.sequence ?? 0) + 1;
  const isNull = bucket.versioning !== "enabled";
  const version: ObjectVersion = { ...facts, id: versionId(sequence, draw), sequence, isNull };
  const conditions: TransactOp["conditions"][number][] = [], then: TransactItem[] = [];
  const removed: ObjectVersion[] = [];
  let olderNull = newest?.olderNull ?? null;
  if (newest !== null) {
    if (isNull && newest.version.isNull) removed.push(newest.version);
    else {
      then.push({
        kind: "put",
        key: versionRow(place.bucket, place.key, newest.version.id),
        value: olderOf(newest),
      });
      if (newest.version.isNull) olderNull = newest.version.id;
    }
  }
  if (isNull && olderNull !== null) {
    const older = yield* getOlder(place, olderNull);
    if (older !== null) {
      conditions.push({ key: older.row, expect: expectSame({ version: older.at }) });
      then.push({ kind: "delete", key: older.row });
      removed.push(older.version);
    }
    olderNull = null;
  }
  then.push({
    kind: "put",
    key: newestRow(place.bucket, place.key),
    value: encodeVersion({ version, olderNull, upload }),
  });
  const applied = function* (now: VersionRow | null): Program<boolean | null> {
    if (now?.version.id === version.id) return true;
    return (yield* getOlder(place, version.id)) === null ? null : true;
  };
  return { version, plan: { kind: "change", conditions, then, removed, value: version, applied } };
}

export function* getOlder(place: Place, id: string): Program<VersionRow | null> {
  const found = yield* getRow(versionRow(place.bucket, place.key, id));
  return found === null ? null : versionRowOf(place, found);
}

/** A newest row as a row of an older version. */
function olderOf({ version, upload }: VersionRow): Uint8Array {
  return encodeVersion({ version, olderNull: null, upload });
}

/** A content that is ready to be named by a version; its pages are written. */
export interface Staged {
  /** Of the version that names it. */
  readonly draw: string;
  readonly content: Content;
  /** Of the transaction that names it. */
  readonly conditions: TransactOp["conditions"];
  readonly then: readonly TransactItem[];
  /** The row that tells of it until then, and its version; null: none is needed. */
  readonly claim: { readonly row: string; readonly at: Version } | null;
}

/**
 * Contents of many segments do not go into one transaction: they are claimed, their pages written, and, where they are the writer's
 * own (`owned`), their rows made to last; the transaction that names them takes the claim (G2).
 */
export function* stage(
  world: World,
  place: Place,
  segments: readonly Segment[],
  owned: Proofs | null,
): Program<Staged> {
  const { segmentsPerRow, segmentsPerPage } = world.sizes;
  if (segments.length <= segmentsPerRow) {
    const draw = yield* drawVersion(), content = { kind: "segments", segments, pages: 0 } as const;
    return { draw, content, conditions: [], then: [], claim: null };
  }
  const { bucket, key } = place;
  const pages = Math.ceil(segments.length / segmentsPerPage);
  const { draw, ...claim } = yield* writeClaim(place, pages, owned !== null);
  const staged: Staged = {
    draw,
    content: { kind: "segments", segments: [], pages },
    conditions: [{ key: claim.row, expect: expectSame({ version: claim.at }) }],
    then: [{ kind: "delete", key: claim.row }],
    claim,
  };
  try {
    for (let page = 0; page < pages; page++) {
      const value = encodePage(segments.slice(page * segmentsPerPage, (page + 1) * segmentsPerPage));
      yield* whileClaimed(claim, [], [{ kind: "put", key: pageRow(bucket, key, draw, page), value }]);
    }
    if (owned !== null) yield* makeLasting(world, place, { segments, proofs: owned }, claim);
  } catch (error) {
    yield* unstage(world, place, staged);
    throw error;
  }
  return staged;
}

/** Removes what was staged and will not be named. Where that fails, maintenance does it in time. */
export function* unstage(world: World, place: Place, { claim }: Staged): Program<void> {
  if (claim === null) return;
  try {
    const row = yield* getRow(claim.row);
    if (row !== null) yield* removeGarbage(world, place, row, true);
  } catch (error) {
    if (!(error instanceof ObjectError)) throw error;
  }
}

/**
 * A claim of which it is not known whether it was made is not made again: it could come to be after the other was taken, and end in
 * the removal of what lives by then. Another draw has a claim of its own.
 */
function* writeClaim(
  { bucket, key }: Place,
  pages: number,
  owns: boolean,
): Program<{ draw: string; row: string; at: Version }> {
  for (let attempt = 1;; attempt++) {
    const draw = yield* drawVersion(), row = garbageRow(bucket, key, draw);
    const value = encodeGarbage({ kind: "claim", draw, pages, owns, startedMs: yield* now() });
    const response = yield* ask({ kind: "put", key: row, value });
    if (response.kind === "written") return { draw, row, at: response.version };
    if (outcomeOf(response) === "known" || attempt === CLAIM_ATTEMPTS) throw strange(response);
  }
}
const CLAIM_ATTEMPTS = 3;

function* makeLasting(
  world: World,
  place: Place,
  { segments, proofs }: Pick<Draft, "segments" | "proofs">,
  claim: NonNullable<Staged["claim"]>,
): Program<void> {
  const { rowsPerTransaction } = world.sizes;
  for (let i = 0; i < segments.length; i += rowsPerTransaction) {
    const some = segments.slice(i, i + rowsPerTransaction);
    yield* whileClaimed(
      claim,
      some.map(({ id }) => segmentRow(place, id)),
      livingRows(place, some, proofs),
    );
  }
}

/** Writes rows while the claim stands and `present` are there: once it was given up or taken, they would be nobody's. */
function* whileClaimed(
  { row, at }: NonNullable<Staged["claim"]>,
  present: readonly string[],
  then: readonly TransactItem[],
): Program<void> {
  const op: TransactOp = {
    kind: "transact",
    conditions: [
      { key: row, expect: expectSame({ version: at }) },
      ...present.map((key) => ({ key, expect: { kind: "present" } as const })),
    ],
    then,
    otherwise: [],
  };
  let response = yield* ask(op);
  for (let more = CLAIM_ATTEMPTS; more > 1 && outcomeOf(response) === "unknown"; more--) {
    response = yield* ask(op);
  }
  if (response.kind !== "transacted") throw strange(response);
  if (!response.held) throw tookTooLong();
}

/** Why a commit that nobody else came before did not hold: what it was to name has ended. */
function* checkRegistered(
  place: Place,
  present: readonly Segment[],
  claim: Staged["claim"],
): Program<void> {
  const found = yield* getRows(present.map(({ id }) => segmentRow(place, id)));
  if (found.includes(null)) throw tookTooLong();
  if (claim === null) return;
  const row = yield* getRow(claim.row);
  if (row === null || row.version.index !== claim.at.index) throw tookTooLong();
}
