/** How rights are written: PREFIX:LETTERS, as in "star/:rw". */
import { LIMITS } from "../../core/base/limits.ts";
import { utf8Length } from "../../core/base/bytes.ts";
import type { Right } from "../../core/wire/security.ts";
import { UsageError } from "./errors.ts";

export const RIGHTS_HELP = `
Rights are written PREFIX:LETTERS. They hold for all keys that begin with PREFIX; an empty one stands for every key.
  r  read: get, range, watch, history
  w  write: put, delete, cas, leases
  a  administer: make and revoke access keys with rights within PREFIX; with an empty PREFIX run the network
Whoever may write must still be given r to read. PREFIX may be "so://BUCKET/KEYS", for objects whose keys begin
with KEYS in that bucket; "so://BUCKET/" is all of a bucket, and making and removing it, "so://" all objects. To write
objects takes rw. Other prefixes cover no objects, and these no keys.`;

/** Parses an option's value as a right; each time that it is given adds one. */
export function rightsOption(name: string): (text: string, before: readonly Right[] | undefined) => Right[] {
  return (text, before = []) => {
    const right = parseRight(name, text);
    if (before.some(({ prefix }) => prefix === right.prefix)) {
      throw new UsageError(
        `Option ${name} gives ${quoted(right.prefix)} twice; write all its letters together`,
      );
    }
    if (before.length >= LIMITS.rightsMax) {
      throw new UsageError(`Option ${name} can be given ${LIMITS.rightsMax} times; make a second access key`);
    }
    return [...before, right];
  };
}

function parseRight(name: string, text: string): Right {
  const match = /^(.*):([rwa]{1,3})$/s.exec(text);
  const letters = match?.[2] ?? "";
  if (match === null || new Set(letters).size !== letters.length) {
    throw new UsageError(
      `Option ${name} takes PREFIX:LETTERS of r, w and a, as in "star/:rw", not "${text}"`,
    );
  }
  const prefix = match[1]!;
  if (utf8Length(prefix) > LIMITS.keyBytesMax) {
    throw new UsageError(
      `Option ${name} takes a prefix of at most ${LIMITS.keyBytesMax} bytes, not ${utf8Length(prefix)}`,
    );
  }
  const has = (letter: string) => letters.includes(letter);
  return { prefix, read: has("r"), write: has("w"), admin: has("a") };
}

/** `star/:rw`, as it would be written. */
export function rightText({ prefix, read, write, admin }: Right): string {
  return `${prefix}:${read ? "r" : ""}${write ? "w" : ""}${admin ? "a" : ""}`;
}

export function rightsText(rights: readonly Right[]): string {
  return rights.map(rightText).join(" ");
}

function quoted(prefix: string): string {
  return prefix === "" ? "the empty prefix" : `the prefix "${prefix}"`;
}
