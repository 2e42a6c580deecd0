/** Mistakes in the journal, in checkpoints, in recovery and in snapshots. */
import type { Mutant } from "./mutant.ts";

const JOURNAL = "core/wire/journal.ts";
const RECOVERY = "core/wire/journal_recovery.ts";
const STATE = "core/wire/journal_state.ts";
const INSTALLATION = "core/partition/installation.ts";
const SNAPSHOTS = "core/replication/snapshots.ts";
const REPLICA = "core/partition/replica.ts";
const DISK = "sim/disk.ts";

export const STORAGE: readonly Mutant[] = [
  {
    name: "checksum-not-checked",
    rule: "A record counts only with the right checksum",
    file: JOURNAL,
    original: "  if (crc32(bytes.subarray(at + 8, end), salt) !== readUint32(bytes, at + 4)) return null;\n",
    mutated: "",
    first: "crashes",
  },
  {
    name: "sequence-not-checked",
    rule: "Recovery takes records in the order of their sequences (J1)",
    file: RECOVERY,
    original: "if (raw === null || raw.sequence !== this.#due) {",
    mutated: "if (raw === null) {",
    first: "crashes",
  },
  {
    name: "torn-tail-skipped",
    rule: "A torn end is cut, nothing behind it is read (J7)",
    file: RECOVERY,
    original: "        this.#cut(segment, at, header.salt, last);\n        break;",
    mutated: "        this.#cut(segment, at, header.salt, last);\n        at = bytes.length;\n        break;",
    first: "crashes",
  },
  {
    name: "recovery-starts-at-any-head",
    rule: "Recovery starts at a checkpoint that is complete (J6)",
    file: RECOVERY,
    original: "    if (isCheckpointed(segments[i]!)) return i;",
    mutated: "    if (segments[i]!.bytes.length > SEGMENT_HEADER_BYTES) return i;",
    first: "crashes",
  },
  {
    name: "unmarked-head-replayed",
    rule: "The heads of later segments are skipped (J6)",
    file: RECOVERY,
    original: "raw.part === PART.live || (raw.part === PART.head && first)",
    mutated: "raw.part === PART.live || raw.part === PART.head",
    first: "crashes",
  },
  {
    name: "mark-before-the-tables",
    rule: "A checkpoint counts when its tables are durable (J3)",
    file: DISK,
    original: "checkpoint.mark > 0 || !checkpoint.tablesDurable) return;",
    mutated: "checkpoint.mark > 0) return;",
    first: "crashes",
  },
  {
    name: "mark-before-the-head",
    rule: "A checkpoint counts when its head is durable (J3)",
    file: DISK,
    original: "if (this.#journal.durable >= checkpoint.head) {",
    mutated: "if (this.#journal.durable >= 0) {",
    first: "crashes",
  },
  {
    name: "older-segments-dropped-early",
    rule: "Older segments are deleted when the mark is durable (J4)",
    file: DISK,
    original: "checkpoint.mark === 0 || this.#journal.durable < checkpoint.mark) return -1;",
    mutated: "checkpoint.mark === 0) return -1;",
    first: "crashes",
  },
  {
    name: "drop-forgets-the-vote",
    rule: "Term and vote outlive a dropped replica (S3)",
    file: STATE,
    original: "    replica.exists = false;\n",
    mutated: "    replica.exists = false;\n    replica.term = 0 as Term;\n    replica.votedFor = null;\n",
  },
  {
    name: "retired-vote-forgotten",
    rule: "A replica that is opened again knows the vote of its earlier life",
    file: "core/node/replicas.ts",
    original:
      "const recovered = retired === undefined ? null : emptyReplica(retired.term, retired.votedFor);",
    mutated: "const recovered = null;",
    first: "moves",
  },
  {
    name: "checkpoint-forgets-the-vote",
    rule: "A checkpoint holds term and vote of every replica",
    file: REPLICA,
    original: `    if (term > 0) records.push({ kind: "vote", partition, term, votedFor });\n`,
    mutated: "",
  },
  {
    name: "checkpoint-forgets-the-tail",
    rule: "A checkpoint holds what the tables have not reached",
    file: "core/replication/ledger.ts",
    original: "    const limit = Math.min(Math.max(applied, log.base), log.stable) as LogIndex;",
    mutated: "    const limit = log.stable;",
  },
  {
    name: "vote-lost-in-recovery",
    rule: "Recovery keeps the vote of the term that it is in",
    file: "core/partition/recovery.ts",
    original: "return { ...log, term: recovered.term, votedFor: recovered.votedFor };",
    mutated: "return { ...log, term: recovered.term, votedFor: null };",
  },
  {
    name: "snapshot-acknowledged-before-it-is-durable",
    rule: "A snapshot counts when a checkpoint has made it durable (P4)",
    file: INSTALLATION,
    original: "    this.#settling = { from, chunk };\n",
    mutated: "    this.answer({ from, chunk }, chunk.term, chunk.sequence + 1, true);\n",
  },
  {
    name: "checkpoint-under-way-settles",
    rule: "A replica that asks for a checkpoint is told of one that began afterwards (N2)",
    file: "core/node/replicas.ts",
    original: "    const covered = this.#coveredByCheckpoint;\n",
    mutated: "    const covered = [...this.#coveredByCheckpoint, ...this.#askedForCheckpoint];\n",
    first: "moves",
  },
  {
    name: "lost-snapshot-not-noticed",
    rule: "A replica whose tables lost a snapshot is hollow (P3)",
    file: "core/partition/recovery.ts",
    original: "const hollow = appliedIndex < base.index;",
    mutated: "const hollow = false;",
  },
  {
    name: "older-snapshot-accepted",
    rule: "An older state does not take the place of one that was acknowledged (P3)",
    file: INSTALLATION,
    original:
      "if (chunk.index < ledger.log.base) following.askForSnapshot(from, chunk.term);\n    else this.#collect",
    mutated: "this.#collect",
  },
  {
    name: "snapshots-mixed",
    rule: "All chunks installed are of one attempt (S1)",
    file: SNAPSHOTS,
    original: "return this.#from === from && this.#term === chunk.term && this.#transfer === chunk.transfer;",
    mutated: "return this.#from === from;",
  },
  {
    name: "chunk-installed-out-of-turn",
    rule: "Chunks are installed in order, each once (S1)",
    file: INSTALLATION,
    original: "let due = sequence === incoming.next ? chunk : undefined;",
    mutated: "let due = sequence >= incoming.next ? chunk : undefined;",
  },
  {
    name: "row-lost-between-chunks",
    rule: "A snapshot holds every row",
    file: "core/catalog/snapshot.ts",
    original:
      "while (!this.#ended && (bytes < bytesMax || chunk.length === 0)) {\n      const step = this.#rows.next();",
    mutated: "while (!this.#ended) {\n      const step = this.#rows.next();\n" +
      "      if (bytes >= bytesMax && chunk.length > 0) break;",
    first: "moves",
  },
  {
    name: "snapshot-over-the-old-rows",
    rule: "A snapshot replaces the state, it is not added to it (C4)",
    file: "core/catalog/catalog.ts",
    original:
      "    this.#installation.finish(index, term);\n    this.#installation = null;\n    this.#reload();",
    mutated: "    this.#installation.finish(index, term);\n    this.#installation = null;",
    first: "moves",
  },
  {
    name: "compacted-too-far",
    rule: "Only what is applied leaves the log",
    file: "core/replication/ledger.ts",
    original: "    const limit = Math.min(applied, log.stable) as LogIndex;\n    const tail",
    mutated: "    const limit = log.stable;\n    const tail",
  },
];
