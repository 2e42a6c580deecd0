/** Mistakes in the journal, in checkpoints, in recovery and in snapshots. */
import type { Mutant } from "./mutant.ts";

const JOURNAL = "core/wire/journal.ts";
const RECOVERY = "core/wire/journal_recovery.ts";
const STATE = "core/wire/journal_state.ts";
const CIPHER = "core/wire/journal_cipher.ts";
const INSTALLATION = "core/partition/installation.ts";
const REPLICA = "core/partition/replica.ts";

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
    name: "torn-tail-skipped",
    rule: "A torn end is cut, nothing behind it is read (J7)",
    file: RECOVERY,
    original: "        this.#cut(segment, at, header.salt, last);\n        break;",
    mutated: "        this.#cut(segment, at, header.salt, last);\n        at = bytes.length;\n        break;",
    first: "tests",
  },
  {
    name: "recovery-starts-at-any-head",
    rule: "Recovery starts at a checkpoint that is complete (J6)",
    file: RECOVERY,
    original: "    if (isCheckpointed(segments[i]!)) return i;",
    mutated: "    if (segments[i]!.bytes.length > SEGMENT_HEADER_BYTES) return i;",
    first: "tests",
  },
  {
    name: "unmarked-head-replayed",
    rule: "The heads of later segments are skipped (J6)",
    file: RECOVERY,
    original: "raw.part === PART.live || (raw.part === PART.head && first)",
    mutated: "raw.part === PART.live || raw.part === PART.head",
    first: "tests",
  },
  {
    name: "seal-proves-nothing",
    rule: "A seal proves that what is before it had been durable (J8)",
    file: JOURNAL,
    original: "    if (readRawRecord(bytes, at, salt) !== null) return true;",
    mutated: "    const raw = readRawRecord(bytes, at, salt);\n" +
      "    if (raw !== null && raw.part !== PART.seal) return true;",
    first: "tests",
  },
  {
    name: "unproven-end-not-written-again",
    rule: "What no record proves is written again before the node starts (J9)",
    file: RECOVERY,
    original: "this.#append = { name, segment: number, salt, key, offset: at, unproven, version };",
    mutated: "this.#append = { name, segment: number, salt, key, offset: at, unproven: at, version };",
    first: "crashes",
  },
  {
    name: "record-not-bound-to-its-place",
    rule: "An encrypted record opens only at its place in its segment (C3)",
    file: CIPHER,
    original: "    this.#bound.set(place, this.#bound.length - PLACE_BYTES);\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "marks-not-opened",
    rule: "Nobody without the key makes a checkpoint count (C3)",
    file: RECOVERY,
    original: "const payload = opened(raw, {",
    mutated: "const payload = raw.part === PART.mark ? raw.payload : opened(raw, {",
    first: "tests",
  },
  {
    name: "nonce-without-its-opening",
    rule: "What one opening of a file has sealed opens under its nonce and no other (C1)",
    file: CIPHER,
    original: "    this.#nonce.set(opening);\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "drop-forgets-the-vote",
    rule: "Term and vote outlive a dropped replica (S3)",
    file: STATE,
    original: "    replica.exists = false;\n",
    mutated: "    replica.exists = false;\n    replica.term = 0 as Term;\n    replica.votedFor = null;\n",
    first: "tests",
  },
  {
    name: "checkpoint-forgets-the-vote",
    rule: "A checkpoint holds term and vote of every replica",
    file: REPLICA,
    original: `    if (term > 0) records.push({ kind: "vote", partition, term, votedFor });\n`,
    mutated: "",
    first: "crashes",
  },
  {
    name: "checkpoint-forgets-the-tail",
    rule: "A checkpoint holds what the tables have not reached",
    file: "core/replication/ledger.ts",
    original: "    const limit = Math.min(Math.max(applied, log.base), log.stable) as LogIndex;",
    mutated: "    const limit = log.stable;",
    first: "elections",
  },
  {
    name: "vote-lost-in-recovery",
    rule: "Recovery keeps the vote of the term that it is in",
    file: "core/partition/recovery.ts",
    original: "return { ...log, term: recovered.term, votedFor: recovered.votedFor };",
    mutated: "return { ...log, term: recovered.term, votedFor: null };",
    first: "changes",
  },
  {
    name: "snapshot-acknowledged-before-it-is-durable",
    rule: "A snapshot counts when a checkpoint has made it durable (P4)",
    file: INSTALLATION,
    original: "    this.#settling = { from, chunk };\n",
    mutated: "    this.answer({ from, chunk }, chunk.term, chunk.sequence + 1, true);\n",
    first: "tests",
  },
  {
    name: "lost-snapshot-not-noticed",
    rule: "A replica whose tables lost a snapshot is hollow (P3)",
    file: "core/partition/recovery.ts",
    original: "const hollow = appliedIndex < base.index;",
    mutated: "const hollow = false;",
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
    original: "      this.#installation = null;\n      this.#reload();\n    }\n    return wrong;",
    mutated: "      this.#installation = null;\n    }\n    return wrong;",
    first: "moves",
  },
  {
    name: "compacted-too-far",
    rule: "Only what is applied leaves the log",
    file: "core/replication/ledger.ts",
    original: "    const limit = Math.min(applied, log.stable) as LogIndex;\n    const tail",
    mutated: "    const limit = log.stable;\n    const tail",
  },
  {
    name: "snapshots-mixed",
    rule: "All chunks installed are of one attempt (S1)",
    file: "core/replication/snapshots.ts",
    original: "return this.#from === from && this.#term === chunk.term && this.#transfer === chunk.transfer;",
    mutated: "return this.#from === from;",
    first: "tests",
  },
  {
    name: "older-snapshot-accepted",
    rule: "An older state does not take the place of one that was acknowledged (P3)",
    file: "core/partition/installation.ts",
    original:
      "if (chunk.index < ledger.log.base) following.askForSnapshot(from, chunk.term);\n    else return this.#collect",
    mutated: "return this.#collect",
    first: "tests",
  },
  {
    name: "acknowledged-suffix-dropped",
    rule: "A snapshot takes nothing back that the log has behind it (P3)",
    file: "core/partition/installation.ts",
    original: "    if (ledger.log.termAt(index) === indexTerm) ledger.commitTo(index);\n    else {\n",
    mutated: "    {\n",
    first: "tests",
  },
  {
    name: "blank-voter-takes-a-snapshot",
    rule: "A replica without a journal is no voter under its old name (P6)",
    file: "core/partition/installation.ts",
    original:
      "    if (blank && isVoter(chunk.configuration, self)) return null; // P6; or it is late, and this replica was dropped\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "blank-replica-vouches-for-a-leader",
    rule: "A replica without a journal confirms no leader's round (P6)",
    file: "core/partition/replica.ts",
    original:
      "const round = this.#initialised ? beat.round : 0; // P6: a blank replica vouches for no leader.",
    mutated: "const round = beat.round;",
    first: "tests",
  },
];
