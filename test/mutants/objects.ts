/** Mistakes in how objects are written, kept, repaired and removed. */
import type { Mutant } from "./mutant.ts";
import { TESTS } from "./mutant.ts";

const FRAGMENT = "core/objects/fragment.ts";
const HUNT = "objects";

export const OBJECT_MUTANTS: readonly Mutant[] = [
  {
    name: "answered-before-the-quorum",
    rule: "A chunk's write is answered when a quorum of its fragments is durable (Q2)",
    file: "core/objects/gateway.ts",
    original: "if (!answered && stored >= quorum) {",
    mutated: "if (!answered && stored >= 1) {",
    // The budget of the simulator leaves the last copy alone, whoever answers too early.
    first: TESTS,
  },
  {
    name: "surplus-removed-unheard",
    rule: "A fragment is removed only after all who should hold it said that they do (V1)",
    file: "core/objects/surplus.ts",
    original: "if (held?.[i] !== true) round.kept.add(fragmentKey(fragment));",
    mutated: "if (held === null) round.kept.add(fragmentKey(fragment));",
    first: HUNT,
  },
  {
    name: "orphan-removed-young",
    rule: "What no row names is removed only when it is old: its writer may be about to name it (D6)",
    file: "core/objects/look.ts",
    original: `if (ageMs > orphanAgeMs) finds.garbage(listed, "orphan", now);`,
    mutated: `finds.garbage(listed, "orphan", now);`,
    first: HUNT,
  },
  {
    name: "orphan-never-removed",
    rule: "What no row names is removed when it is old (D6)",
    file: "core/objects/look.ts",
    original: `if (ageMs > orphanAgeMs) finds.garbage(listed, "orphan", now);`,
    mutated: `if (ageMs > orphanAgeMs * 1_000) finds.garbage(listed, "orphan", now);`,
    first: HUNT,
  },
  {
    name: "fragment-checksum-not-compared",
    rule: "A fragment that fails its checksum is rotten (H1)",
    file: FRAGMENT,
    original:
      "if (!hasSegment(file, id.segment) || readUint32(file, CRC_AT) !== checksum(file)) return null;",
    mutated: "if (!hasSegment(file, id.segment)) return null;",
    first: HUNT,
  },
  {
    name: "fragment-of-another-segment",
    rule: "A file that names another fragment than the one asked for is rotten (H1)",
    file: FRAGMENT,
    original:
      "if (!hasSegment(file, id.segment) || readUint32(file, CRC_AT) !== checksum(file)) return null;",
    mutated: "if (readUint32(file, CRC_AT) !== checksum(file)) return null;",
    first: HUNT,
  },
  {
    name: "object-changed-unconditionally",
    rule: "Every change of an object names its newest row as it was read (P1)",
    file: "core/objects/programs/change.ts",
    original: "      { key: row, expect: expectSame(newestValue) },\n",
    mutated: "",
    first: HUNT,
  },
  {
    name: "segment-not-registered",
    rule: "A segment that a version names has a row (P3)",
    file: "core/objects/programs/put.ts",
    original: "then: [...plan.then, ...living, ...then],",
    mutated: "then: [...plan.then, ...then],",
    first: HUNT,
  },
  {
    name: "anyone-writes-chunks",
    rule: "Chunks are stored for the segment's writer alone (Q6)",
    file: "core/objects/gateway.ts",
    original: "return segmentOfToken(token) === segment.segment ? null : refusal(",
    mutated: "return token.length > 0 || segmentOfToken(token) === segment.segment ? null : refusal(",
    first: TESTS,
  },
  {
    name: "first-row-of-a-segment-counts",
    rule: "Of several rows of a segment the owner's counts (R1)",
    file: "core/objects/registry.ts",
    original: "const owners = ownersOf(last.row) ?? ownersOf(row);",
    mutated: "const owners = last.record ?? ownersOf(row);",
    first: TESTS,
  },
];
