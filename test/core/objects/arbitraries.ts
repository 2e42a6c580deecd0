import fc from "fast-check";
import { type PartitionId, partitionId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import type { FragmentId, Scheme } from "../../../core/wire/objects.ts";

export const schemes: fc.Arbitrary<Scheme> = fc.oneof(
  fc.record({
    kind: fc.constant("replicated" as const),
    copies: fc.integer({ min: 1, max: LIMITS.copiesMax }),
  }, { noNullPrototype: true }),
  fc.record({
    kind: fc.constant("striped" as const),
    data: fc.integer({ min: 1, max: 10 }),
    parity: fc.integer({ min: 1, max: 5 }),
  }, { noNullPrototype: true }),
);

/** Few of each, so that names often have much in common. */
export const fragmentIds: fc.Arbitrary<FragmentId> = fc.record({
  partition: fc.constantFrom<PartitionId>(partitionId(1), partitionId(2), partitionId(300)),
  segment: fc.constantFrom(
    "0".repeat(32),
    "0".repeat(31) + "1",
    "f".repeat(32),
    "1".repeat(8) + "0".repeat(24),
  ),
  chunk: fc.constantFrom(0, 1, 2, 256, 0xffff_ffff),
  index: fc.constantFrom(0, 1, 2, LIMITS.stripeMax - 1),
}, { noNullPrototype: true });
