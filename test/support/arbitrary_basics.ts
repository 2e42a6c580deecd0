/** What the arbitraries of all parts are made of. */
import fc from "fast-check";
import type { Epoch, LogIndex, NodeId, PartitionId, Term } from "../../core/base/ids.ts";
import { LIMITS } from "../../core/base/limits.ts";

export type Arb<T> = fc.Arbitrary<T>;

/** Integers from 0 that like the borders of the encoded lengths. */
export const arbInteger: Arb<number> = fc.oneof(
  fc.nat({ max: 30 }),
  fc.nat({ max: 70_000 }),
  fc.maxSafeNat().map((value) => value % 2 ** 52),
  fc.constantFrom(23, 24, 255, 256, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000, 2 ** 52 - 1),
);
export const arbTerm = arbInteger as Arb<Term>;
export const arbIndex = arbInteger as Arb<LogIndex>;
export const arbEpoch = arbInteger as Arb<Epoch>;
export const arbPartition = fc.nat({ max: LIMITS.partitionsMax }) as Arb<PartitionId>;
export const arbBytes: Arb<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.uint8Array({ minLength: 250, maxLength: 300 }),
);
/** Well-formed Unicode of any plane. */
export const arbText: Arb<string> = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 40 }),
);
export const arbNodeId: Arb<NodeId> = fc.oneof(
  fc.constantFrom("sirius", "canopus", "arcturus"),
  fc.stringMatching(/^[\x21-\x7e]{1,64}$/),
) as Arb<NodeId>;
export const arbAddress: Arb<string> = fc.tuple(fc.ipV4(), fc.nat({ max: 65_535 })).map(([ip, port]) =>
  `${ip}:${port}`
);
export const arbHex32: Arb<string> = fc.stringMatching(/^[0-9a-f]{32}$/);
export const arbZone = fc.string({ unit: "binary", maxLength: 12 });

export const orNull = <T>(arb: Arb<T>): Arb<T | null> => fc.option(arb, { nil: null });
export const list = <T>(arb: Arb<T>, maxLength = 5): Arb<T[]> => fc.array(arb, { maxLength });
export const nodeIds = list(arbNodeId, 4);

/** An object in which every field is there. */
export function whole<T>(fields: { [K in keyof T]-?: Arb<T[K]> }): Arb<T> {
  return fc.record(fields as Record<string, Arb<unknown>>, { noNullPrototype: true }) as unknown as Arb<T>;
}
/** An object in which the fields of `optional` may be absent. */
export function sparse<T>(
  fields: { [K in keyof T]-?: Arb<NonNullable<T[K]> | T[K]> },
  optional: (keyof T)[],
): Arb<T> {
  const requiredKeys = Object.keys(fields).filter((key) => !optional.includes(key as keyof T));
  return fc.record(fields as Record<string, Arb<unknown>>, {
    requiredKeys,
    noNullPrototype: true,
  }) as unknown as Arb<T>;
}

/** So many hexadecimal digits in lower case. */
export const hex = (digits: number): Arb<string> => exactly(digits / 2).map((bytes) => bytes.toHex());
export const exactly = (length: number): Arb<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
