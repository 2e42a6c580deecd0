/** Makes plain data that nearly makes sense out of some that does. */
import type { Random } from "../../core/base/random.ts";
import { mutant } from "./mutate.ts";

const INTEGERS = [0, 1, 2, 3, 255, 1024, 2 ** 31, 2 ** 32 - 1, Number.MAX_SAFE_INTEGER] as const;
const NAMES = ["a", "b", "c", "mallory", "sirius", "x".repeat(64)] as const;

/** A copy of `value` in which something, somewhere, is another. */
export function changedValue<T>(value: T, random: Random): T {
  const rounds = 1 + random.below(3);
  let changed: unknown = value;
  for (let i = 0; i < rounds; i++) changed = changedOnce(changed, random);
  return changed as T;
}

function changedOnce(value: unknown, random: Random): unknown {
  if (typeof value === "number") return integerNear(value, random);
  if (typeof value === "boolean") return !value;
  if (typeof value === "string") return random.chance(1, 2) ? random.pick(NAMES) : value;
  if (value instanceof Uint8Array) return mutant([value], random);
  if (Array.isArray(value)) return changedList(value, random);
  if (typeof value === "object" && value !== null) return changedField(value, random);
  return value;
}

function integerNear(value: number, random: Random): number {
  switch (random.below(4)) {
    case 0:
      return random.pick(INTEGERS);
    case 1:
      return Math.max(0, value - 1 - random.below(3));
    default:
      return value + 1 + random.below(3);
  }
}

function changedList(list: readonly unknown[], random: Random): unknown[] {
  const at = random.below(list.length + 1);
  switch (random.below(4)) {
    case 0:
      return list.toSpliced(at, 1);
    case 1:
      return list.toSpliced(at, 0, ...list.slice(at, at + 1));
    case 2:
      return list.toReversed();
    default:
      return at === list.length ? [...list] : list.with(at, changedOnce(list[at], random));
  }
}

/** What names the form stays: another form has other fields. */
function changedField(record: object, random: Random): object {
  const fields = Object.entries(record).filter(([name]) => name !== "kind");
  if (fields.length === 0) return record;
  const [name, value] = random.pick(fields);
  return { ...record, [name]: changedOnce(value, random) };
}
