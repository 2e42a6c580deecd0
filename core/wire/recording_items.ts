/** What a recording says, one item after the other, and its encoded form: [tag, field, …]. See recording.ts. */
import { unreachable } from "../base/invariant.ts";
import type { Instant, LogIndex, NodeId, PartitionId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { Row } from "../base/ports.ts";
import { DEFAULT_TUNING, type Tuning, tuningOf } from "../base/tuning.ts";
import { encode, type Reader, type Wire } from "./cbor.ts";
import { inputWire, readInput } from "./input_codec.ts";
import type { Input, JournalRecord, Recovered, RecoveredReplica } from "./kernel.ts";
import type { Entry, SystemView } from "./messages.ts";
import { readRecord, recordWire } from "./record_codec.ts";
import { listWire, readAddress, readList, readName, readRow, readView, viewWire } from "./shared_codec.ts";
import { LIFE_END, LIFE_ORIGIN, RECORDING } from "./tags.ts";

/** Everything a node was made of but its tables and, where it ran before, its journal. */
export interface LifeStart {
  readonly node: NodeId;
  readonly address: string;
  readonly network: string;
  /** Milliseconds since 1970, and the host's own clock at that moment. */
  readonly wallMs: number;
  readonly startedAt: Instant;
  /** See Random.seedWords. */
  readonly random: readonly [number, number, number];
  readonly tuning: Tuning;
  readonly origin: "genesis" | "joined" | "recovered";
  /** What it began with; null where it ran before: the records say. */
  readonly view: SystemView | null;
  /** How many records follow. */
  readonly records: number;
}

/** What a replica held at one moment. */
export interface PartitionState {
  readonly partition: PartitionId;
  readonly applied: LogIndex;
  /** 32 bits that are equal wherever equal entries were applied; 0 where state cannot be compared at its index. */
  readonly digest: number;
}

/**
 * Why no more of a life was recorded. stopped: the node stopped as it was asked to. failed: the node could not go on.
 * full: the recording had all the space it may take. overflow: it could not be written as
 * fast as the node ran.
 */
export type LifeEnd = "stopped" | "failed" | "full" | "overflow";

export type RecordingItem =
  | { readonly kind: "life"; readonly life: LifeStart }
  /** Of the journal that the node recovered from, in order. */
  | { readonly kind: "record"; readonly record: JournalRecord }
  /** Of the tables as they were before the first step, in order of keys. */
  | { readonly kind: "rows"; readonly rows: readonly Row[] }
  /** All rows have been written, and so many there were. */
  | { readonly kind: "begun"; readonly rows: number }
  | {
    readonly kind: "step";
    readonly now: Instant;
    /** Of the node, after the step. */
    readonly fingerprint: number;
    /** Of what the step asked for, see effects_digest.ts. */
    readonly digest: number;
    readonly input: Input;
  }
  /** The step threw, and the node ended. */
  | { readonly kind: "broke"; readonly now: Instant; readonly message: string; readonly input: Input }
  /** After the step before it. */
  | { readonly kind: "state"; readonly view: number; readonly partitions: readonly PartitionState[] }
  /** `steps`: how many were recorded. */
  | { readonly kind: "end"; readonly reason: LifeEnd; readonly steps: number };

/** @throws {TypeError | RangeError} when it holds what no codec takes */
export function encodeItem(item: RecordingItem): Uint8Array {
  return encode(itemWire(item));
}

function itemWire(item: RecordingItem): Wire {
  switch (item.kind) {
    case "step":
      return [RECORDING.step, item.now, item.fingerprint, item.digest, inputWire(item.input)];
    case "life":
      return [RECORDING.life, lifeWire(item.life)];
    case "record":
      return [RECORDING.record, recordWire(item.record)];
    case "rows":
      return [RECORDING.rows, item.rows];
    case "begun":
      return [RECORDING.begun, item.rows];
    case "broke":
      return [RECORDING.broke, item.now, item.message, inputWire(item.input)];
    case "state":
      return [RECORDING.state, item.view, listWire(item.partitions, stateWire)];
    case "end":
      return [RECORDING.end, LIFE_END.codes[item.reason], item.steps];
    default:
      return unreachable(item);
  }
}

const FIELDS_MAX = 8;
const UINT32_MAX = 0xffff_ffff;

/** @throws {WireError} */
export function readItem(reader: Reader): RecordingItem {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case RECORDING.step: {
      reader.expectArity(arity, 5);
      const now = reader.integer() as Instant;
      const fingerprint = reader.integer(UINT32_MAX), digest = reader.integer(UINT32_MAX);
      return { kind: "step", now, fingerprint, digest, input: readInput(reader) };
    }
    case RECORDING.life:
      reader.expectArity(arity, 2);
      return { kind: "life", life: readLife(reader) };
    case RECORDING.record:
      reader.expectArity(arity, 2);
      return { kind: "record", record: readRecord(reader) };
    case RECORDING.rows:
      reader.expectArity(arity, 2);
      return { kind: "rows", rows: readList(reader, LIMITS.arrayItemsMax, readRow) };
    case RECORDING.begun:
      reader.expectArity(arity, 2);
      return { kind: "begun", rows: reader.integer() };
    case RECORDING.broke: {
      reader.expectArity(arity, 4);
      const now = reader.integer() as Instant, message = reader.text();
      return { kind: "broke", now, message, input: readInput(reader) };
    }
    case RECORDING.state:
      reader.expectArity(arity, 3);
      return {
        kind: "state",
        view: reader.integer(),
        partitions: readList(reader, LIMITS.partitionsMax + 1, readState),
      };
    case RECORDING.end:
      reader.expectArity(arity, 3);
      return { kind: "end", reason: reader.choice(LIFE_END.names), steps: reader.integer() };
    default:
      return reader.fail("kind", `No item of a recording has the tag ${tag}`);
  }
}

function stateWire({ partition, applied, digest }: PartitionState): Wire {
  return [partition, applied, digest];
}
function readState(reader: Reader): PartitionState {
  reader.tuple(3);
  return { partition: reader.partition(), applied: reader.index(), digest: reader.integer(UINT32_MAX) };
}

function lifeWire(life: LifeStart): Wire {
  const { node, address, network, wallMs, startedAt, random, tuning, origin, view, records } = life;
  const limits = TUNING_NAMES.map((name): Wire => [name, tuning[name]]);
  return [
    node,
    address,
    network,
    wallMs,
    startedAt,
    random,
    limits,
    LIFE_ORIGIN.codes[origin],
    view === null ? null : viewWire(view),
    records,
  ];
}
function readLife(reader: Reader): LifeStart {
  reader.tuple(10);
  const life = {
    node: reader.nodeId(),
    address: readAddress(reader),
    network: readName(reader),
    wallMs: reader.integer(),
    startedAt: reader.integer() as Instant,
    random: readSeedWords(reader),
    tuning: readTuning(reader),
    origin: reader.choice(LIFE_ORIGIN.names),
    view: reader.skipNull() ? null : readView(reader),
    records: reader.integer(),
  };
  if ((life.origin === "recovered") !== (life.view === null)) {
    reader.fail("invalid", "A node that ran before has records, any other a view");
  }
  return life;
}

function readSeedWords(reader: Reader): [number, number, number] {
  reader.tuple(3);
  return [reader.integer(UINT32_MAX), reader.integer(UINT32_MAX), reader.integer(UINT32_MAX)];
}

const TUNING_NAMES = (Object.keys(DEFAULT_TUNING) as (keyof Tuning)[]).sort();
const TUNING_NAME_BYTES_MAX = 64;

/** By name, so that a limit more or less is no new format. */
function readTuning(reader: Reader): Tuning {
  const given: Partial<Record<keyof Tuning, number>> = {};
  const count = reader.array(TUNING_NAME_BYTES_MAX);
  for (let i = 0; i < count; i++) {
    reader.tuple(2);
    const named = reader.token(TUNING_NAME_BYTES_MAX);
    const name = TUNING_NAMES.find((known) => known === named);
    if (name === undefined) return reader.fail("kind", `No limit of a node is named ${named}`);
    given[name] = reader.integer();
  }
  try {
    return tuningOf(given);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return reader.fail("range", error.message);
  }
}

/** Entries of one record end past this many bytes. */
const RECORD_ENTRIES_BYTES = 256 * 1024;

/** Journal records that add up to `recovered`, see foldRecords(). */
export function* recordsOf(recovered: Recovered): Generator<JournalRecord> {
  const { view, incarnation, peers, replicas } = recovered;
  if (view !== null) yield { kind: "view", view };
  yield { kind: "peers", incarnation, peers };
  for (const partition of [...replicas.keys()].sort((a, b) => a - b)) {
    yield* replicaRecords(partition, replicas.get(partition)!);
  }
}

function* replicaRecords(partition: PartitionId, replica: RecoveredReplica): Generator<JournalRecord> {
  const { term, votedFor, exists, base, configuration, configurationIndex } = replica;
  yield { kind: "vote", partition, term, votedFor };
  if (!exists) return;
  yield { kind: "base", partition, index: base.index, term: base.term, configuration, configurationIndex };
  let entries: Entry[] = [], bytes = 0;
  for (const entry of replica.entries) {
    entries.push(entry);
    bytes += entry.data.length;
    if (bytes < RECORD_ENTRIES_BYTES) continue;
    yield { kind: "entries", partition, entries };
    entries = [];
    bytes = 0;
  }
  if (entries.length > 0) yield { kind: "entries", partition, entries };
}
