/** Mistakes in the host's journal, each of which the sweep of crashes must catch. */
import type { Mutant } from "../../mutants/mutant.ts";

const JOURNAL = "cli/host/journal.ts";
const OPENING = "cli/host/journal_opening.ts";
const SEGMENTS = "cli/host/journal_segments.ts";

export const JOURNAL_MUTANTS: readonly Mutant[] = [
  {
    name: "directory-not-synced",
    rule: "A new segment's name is durable before anything is written behind its header (J2)",
    file: SEGMENTS,
    original: "    files.syncDirectory(directory);\n  } catch",
    mutated: "  } catch",
  },
  {
    name: "durable-before-the-sync",
    rule: "A record is reported durable when it is (J1)",
    file: JOURNAL,
    original: "    this.#segment.file.syncDataSync();\n",
    mutated: "",
  },
  {
    name: "left-segment-not-synced",
    rule: "A segment is synced to its end before the next one is created (J2)",
    file: JOURNAL,
    original: "    old.truncateSync(this.#offset);\n    await this.#syncPooled();\n",
    mutated: "    old.truncateSync(this.#offset);\n",
  },
  {
    name: "mark-with-the-head",
    rule: "The mark is written when head and tables are durable (J3)",
    file: JOURNAL,
    original: "    const behind = this.#behind!;\n",
    mutated:
      "    this.#buffer(encodeMark(head.length, this.#place()), 1);\n    const behind = this.#behind!;\n",
  },
  {
    name: "older-removed-before-the-mark-is-durable",
    rule: "Older segments are deleted when the mark is durable (J4)",
    file: JOURNAL,
    original: "    await this.#durable(this.#sequence);\n    if (this.#failed) return;\n",
    mutated: "",
  },
  {
    name: "torn-end-not-cut",
    rule: "The torn end is cut before the node goes on (J5)",
    file: OPENING,
    original: "    file.truncateSync(offset);\n",
    mutated: "",
  },
  {
    name: "recovered-not-synced",
    rule: "What was read back is synced before it is acted upon (J5)",
    file: OPENING,
    original: "    file.syncSync();\n",
    mutated: "",
  },
  {
    name: "unproven-not-written-again",
    rule: "What nothing proves is written again before it is acted upon (J9)",
    file: OPENING,
    original: "    writeAll(file, bytes);\n",
    mutated: "",
  },
  {
    name: "opening-not-drawn",
    rule: "Each opening of a file seals with nonces of its own (C1)",
    file: SEGMENTS,
    original: "  return crypto.getRandomValues(new Uint8Array(OPENING_BYTES));\n",
    mutated: "  return new Uint8Array(OPENING_BYTES);\n",
  },
  {
    name: "former-generation-goes-on",
    rule: "After a checkpoint nothing is encrypted with a former generation (H7)",
    file: JOURNAL,
    original: "    this.#vault = vault;\n",
    mutated: "    const first = vault();\n    this.#vault = () => first;\n",
  },
  {
    name: "failed-sync-tried-again",
    rule: "A sync that failed is never tried again (H2)",
    file: JOURNAL,
    original: "    this.#failed = true;\n",
    mutated: "",
  },
];
