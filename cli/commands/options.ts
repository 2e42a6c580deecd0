import { type NodeId, nodeId } from "../../core/base/ids.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { isRow } from "../../core/wire/rows.ts";
import { parseAddress } from "../host/socket.ts";
import { UsageError } from "./errors.ts";

const REPLICAS_MAX = 7;

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

/** Parses an option's value as a power of two from 1 to `high`, which is one too. */
export function powerOfTwoOption(name: string, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < 1 || value > high || (value & (value - 1)) !== 0) {
      throw new UsageError(`Option ${name} takes a power of two from 1 to ${high}, not "${text}"`);
    }
    return value;
  };
}

/** What a new node, and a new network, may be given, whichever command makes them. */
export const capacityOption = integerOption("--capacity", 1, LIMITS.capacityMax);
export const partitionsOption = powerOfTwoOption("--partitions", LIMITS.partitionsMax);
export const replicasOption = integerOption("--replicas", 1, REPLICAS_MAX);

/** Takes a key, or what keys begin with, that is none of the rows of objects. @throws {UsageError} */
export function ordinaryKey(text: string): string {
  if (!isRow(text)) return text;
  throw new UsageError(
    `Keys that begin with U+0001, as ${
      JSON.stringify(text)
    } does, are the network's own; objects are seen with ls`,
  );
}

/** Parses an option's value as a node's name. */
export function nodeIdOption(name: string): (text: string) => NodeId {
  return (text) => {
    try {
      return nodeId(text);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new UsageError(`Option ${name}: ${error.message}`);
    }
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

/** Parses an option's value as one address. */
export function addressOption(name: string): (text: string) => string {
  return (text) => {
    try {
      parseAddress(text);
      return text;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new UsageError(`Option ${name}: ${error.message}`);
    }
  };
}

/** Parses an option's value as addresses with commas between them; each time that it is given adds to them. */
export function addressesOption(
  name: string,
): (text: string, before: readonly string[] | undefined) => readonly string[] {
  const parse = addressOption(name);
  return (text, before = []) => [...before, ...text.split(",").map((part) => parse(part.trim()))];
}

const UNIT_BYTES: Readonly<Record<string, number>> = { "": 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Parses an option's value as a number of bytes. */
export function bytesOption(name: string): (text: string) => number {
  return (text) => {
    const match = /^(\d{1,9})\s?(|KiB|MiB|GiB)$/.exec(text);
    if (match === null) {
      throw new UsageError(`Option ${name} takes a size such as 65536, 64KiB, 256MiB or 2GiB, not "${text}"`);
    }
    return Number(match[1]) * UNIT_BYTES[match[2]!]!;
  };
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses an option's value as a time, in milliseconds. */
export function durationOption(name: string): (text: string) => number {
  return (text) => {
    const match = /^(\d+)(ms|s|m|h|d)$/.exec(text);
    if (match === null) {
      throw new UsageError(`Option ${name} takes a time such as 500ms, 30s, 5m or 2h, not "${text}"`);
    }
    return Number(match[1]) * UNIT_MS[match[2]!]!;
  };
}
