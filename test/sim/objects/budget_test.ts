import assert from "node:assert/strict";
import type { PartitionId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import type { FragmentId, Scheme } from "../../../core/wire/objects.ts";
import { FragmentBudget, type Keeper, marginOf } from "../../../sim/objects/budget.ts";
import { ChunkDisk, DEFAULT_CHUNK_DISK } from "../../../sim/objects/chunk_disk.ts";

const COPIES: Scheme = { kind: "replicated", copies: 3 };
const STRIPES: Scheme = { kind: "striped", data: 4, parity: 2 };
const LATER = 1_000_000_000;

function fragment(index = 0): FragmentId {
  return { partition: 1 as PartitionId, segment: "0".repeat(32), chunk: 0, index };
}

/** Machines of which the first few hold the indexes given of one chunk. */
function stage(scheme: Scheme, indexes: readonly number[], machines: number) {
  const keepers = Array.from({ length: machines }, (_, i) => {
    const chunks = new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(i)), index = indexes[i];
    if (index !== undefined) chunks.place(fragment(index), 100, scheme);
    return { chunks, out: false };
  });
  const budget = new FragmentBudget((): readonly Keeper[] => keepers, () => machines);
  const losses = (...which: number[]) => which.map((i) => ({ chunks: keepers[i]!.chunks, fragments: null }));
  const lose = (i: number) => {
    budget.bill(losses(i))();
    keepers[i]!.chunks.lose();
  };
  return { keepers, budget, losses, lose };
}

Deno.test("marginOf() is what a write quorum has more than is needed", () => {
  assert.deepEqual(
    [
      COPIES,
      STRIPES,
      { kind: "striped", data: 2, parity: 1 } as const,
      { kind: "replicated", copies: 1 } as const,
    ]
      .map(marginOf),
    [1, 1, 1, 0],
  );
});

Deno.test("F1: the last copy, and the last fragment that is needed, are left alone", () => {
  const two = stage(COPIES, [0, 0], 4);
  assert.ok(two.budget.affords(two.losses(0), LATER));
  assert.ok(!two.budget.affords(two.losses(0, 1), LATER));
  const one = stage(COPIES, [0], 4);
  assert.ok(!one.budget.affords(one.losses(0), LATER));
  const stripe = stage(STRIPES, [0, 1, 2, 3, 3], 7);
  assert.ok(!stripe.budget.affords(stripe.losses(0), LATER));
  assert.ok(stripe.budget.affords(stripe.losses(3), LATER));
});

Deno.test("F2: after a loss nothing more of a chunk is hurt before repair has caught up", () => {
  const { budget, losses, lose, keepers } = stage(COPIES, [0, 0, 0], 4);
  assert.ok(budget.affords(losses(0), LATER));
  lose(0);
  assert.ok(!budget.affords(losses(1), LATER));
  assert.equal(budget.wounded, 1);
  keepers[3]!.chunks.place(fragment(), 100, COPIES);
  assert.ok(budget.affords(losses(1), LATER));
  assert.equal(budget.wounded, 0);
});

Deno.test("F2: what only those hold who are on their way out does not count", () => {
  const { budget, losses, keepers } = stage(COPIES, [0, 0], 4);
  keepers[1]!.out = true;
  assert.ok(!budget.affords(losses(0), LATER));
});

Deno.test("F3: a stripe that is being written is left alone while it is young", () => {
  const { budget, losses } = stage(STRIPES, [0, 1], 7);
  assert.ok(!budget.affords(losses(0), 1_000_000));
  assert.ok(budget.affords(losses(0), LATER));
});
