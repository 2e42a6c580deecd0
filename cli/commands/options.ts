import { UsageError } from "./errors.ts";

/** Parses an option's value as an integer from `low` to `high`. */
export function integerOption(name: string, low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < low || value > high) {
      throw new UsageError(`Option ${name} takes an integer from ${low} to ${high}, not "${text}"`);
    }
    return value;
  };
}

/** Parses an option's value as one of `choices`. */
export function choiceOption<T extends string>(name: string, choices: readonly T[]): (text: string) => T {
  return (text) => {
    const found = choices.find((choice) => choice === text);
    if (found === undefined) {
      throw new UsageError(`Option ${name} takes one of ${choices.join(", ")}, not "${text}"`);
    }
    return found;
  };
}

/** For options that may be given more than once. */
export function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), ...text.split(",")];
}
