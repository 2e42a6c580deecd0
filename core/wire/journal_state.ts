/**
 * What journal records add up to. A record that contradicts those before it is told, not guessed at.
 *
 * Invariants
 *  S1  Entries follow the log without a gap; to write an index again it is truncated first.
 *  S2  `base` begins a log anew: entries before it are gone, and those after it come as records that follow.
 *  S3  `drop` leaves term and vote; a term never goes back.
 */
import { EMPTY_BYTES } from "../base/bytes.ts";
import type { LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import { invariant, unreachable } from "../base/invariant.ts";
import { NO_CONFIGURATION } from "./configuration.ts";
import type { JournalRecord, Recovered, RecoveredReplica } from "./kernel.ts";
import type { Configuration, Entry, SystemView } from "./messages.ts";

class ReplicaState implements RecoveredReplica {
  term = 0 as Term;
  votedFor: NodeId | null = null;
  exists = false;
  base = { index: 0 as LogIndex, term: 0 as Term };
  configuration: Configuration = NO_CONFIGURATION;
  configurationIndex = 0 as LogIndex;
  readonly entries: Entry[] = [];
  /** Entries whose data is a copy of our own already. */
  owned = 0;

  get lastIndex(): number {
    return this.base.index + this.entries.length;
  }

  /** Shortens the log to `length` entries. */
  cut(length: number): void {
    this.entries.length = length;
    this.owned = Math.min(this.owned, length);
  }
}

type RecordOf<K extends JournalRecord["kind"]> = Extract<JournalRecord, { kind: K }>;

export class JournalState {
  #view: SystemView | null = null;
  #incarnation = 0;
  #peers: RecordOf<"peers">["peers"] = [];
  readonly #replicas = new Map<PartitionId, ReplicaState>();

  /** Takes one more record in. Returns null, or why it cannot follow those before it (and nothing is changed). */
  apply(record: JournalRecord): string | null {
    switch (record.kind) {
      case "entries":
        return this.#applyEntries(record);
      case "vote":
        return this.#applyVote(record);
      case "truncate":
        return this.#applyTruncate(record);
      case "base":
        return this.#applyBase(record);
      case "drop":
        return this.#applyDrop(record);
      case "view":
        this.#view = record.view;
        return null;
      case "peers":
        this.#incarnation = record.incarnation;
        this.#peers = record.peers;
        return null;
      default:
        return unreachable(record);
    }
  }

  /** What was taken in so far. The state must not be changed afterwards. */
  recovered(): Recovered {
    return { view: this.#view, incarnation: this.#incarnation, peers: this.#peers, replicas: this.#replicas };
  }

  /**
   * Copies the data of the entries kept, which are views of the bytes they were read from, so that those can go: one
   * buffer for each replica.
   */
  own(): void {
    for (const replica of this.#replicas.values()) ownEntries(replica);
  }

  #replica(partition: PartitionId): ReplicaState {
    let replica = this.#replicas.get(partition);
    if (replica === undefined) {
      replica = new ReplicaState();
      this.#replicas.set(partition, replica);
    }
    return replica;
  }

  #applyEntries(record: RecordOf<"entries">): string | null {
    const replica = this.#replica(record.partition);
    const { entries } = record;
    for (let i = 0; i < entries.length; i++) {
      const due = replica.lastIndex + 1 + i;
      if (entries[i]!.index !== due) {
        return `partition ${record.partition} goes on with entry ${entries[i]!.index} instead of ${due}`;
      }
    }
    for (let i = 0; i < entries.length; i++) replica.entries.push(entries[i]!);
    replica.exists = true;
    return null;
  }

  #applyVote(record: RecordOf<"vote">): string | null {
    const replica = this.#replica(record.partition);
    if (record.term < replica.term) {
      return `partition ${record.partition} goes back from term ${replica.term} to ${record.term}`;
    }
    replica.term = record.term;
    replica.votedFor = record.votedFor;
    return null;
  }

  #applyTruncate(record: RecordOf<"truncate">): string | null {
    const replica = this.#replica(record.partition);
    if (record.from <= replica.base.index || record.from > replica.lastIndex + 1) {
      const log = `${replica.base.index + 1} to ${replica.lastIndex}`;
      return `partition ${record.partition} is truncated from ${record.from} where it holds entries ${log}`;
    }
    replica.cut(record.from - replica.base.index - 1);
    return null;
  }

  #applyBase(record: RecordOf<"base">): string | null {
    const replica = this.#replica(record.partition);
    replica.cut(0);
    replica.exists = true;
    replica.base = { index: record.index, term: record.term };
    replica.configuration = record.configuration;
    replica.configurationIndex = record.configurationIndex;
    return null;
  }

  #applyDrop(record: RecordOf<"drop">): string | null {
    const replica = this.#replica(record.partition);
    replica.cut(0);
    replica.exists = false;
    replica.base = { index: 0 as LogIndex, term: 0 as Term };
    replica.configuration = NO_CONFIGURATION;
    replica.configurationIndex = 0 as LogIndex;
    return null;
  }
}

/** What `records`, in order, add up to. The result holds their entries as they are. */
export function foldRecords(records: Iterable<JournalRecord>): Recovered {
  const state = new JournalState();
  for (const record of records) {
    const wrong = state.apply(record);
    invariant(wrong === null, () => `Journal records follow one another: ${wrong}`);
  }
  return state.recovered();
}

function ownEntries(replica: ReplicaState): void {
  const { entries } = replica;
  let total = 0;
  for (let i = replica.owned; i < entries.length; i++) total += entries[i]!.data.length;
  const buffer = total === 0 ? EMPTY_BYTES : new Uint8Array(total);
  let at = 0;
  for (let i = replica.owned; i < entries.length; i++) {
    const entry = entries[i]!;
    buffer.set(entry.data, at);
    entries[i] = { ...entry, data: buffer.subarray(at, at + entry.data.length) };
    at += entry.data.length;
  }
  replica.owned = entries.length;
}
