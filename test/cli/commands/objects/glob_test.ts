import assert from "node:assert/strict";
import fc from "fast-check";
import { isPattern, literalPrefix, matcher, unescaped } from "../../../../cli/commands/objects/glob.ts";

const CASES: readonly (readonly [pattern: string, fits: readonly string[], fitsNot: readonly string[]])[] = [
  ["*.jpg", ["a.jpg", ".jpg"], ["a/b.jpg", "a.jpg/", "ajpg"]],
  ["**.jpg", ["a.jpg", "a/b.jpg"], ["a.jp"]],
  ["a/*/c", ["a/b/c", "a//c"], ["a/c", "a/b/b/c"]],
  ["a/**/c", ["a/b/c", "a/b/b/c", "a//c"], ["a/c"]],
  ["?-[a-c1]", ["x-b", "é-1"], ["/-a", "x-d", "-a", "xy-a"]],
  ["[!a]b", ["bb", "xb"], ["ab", "/b"]],
  ["[]x]", ["]", "x"], ["y"]],
  ["[ab", ["[ab"], ["a"]],
  ["a\\*b", ["a*b"], ["axb"]],
  ["🌟?", ["🌟🌟"], ["🌟"]],
];

Deno.test("matcher() follows examples of each sign", () => {
  for (const [pattern, fits, fitsNot] of CASES) {
    const test = matcher(pattern);
    for (const name of fits) assert(test(name), `${pattern} fits ${name}`);
    for (const name of fitsNot) assert(!test(name), `${pattern} does not fit ${name}`);
  }
});

/** The slow twin: tries every split. */
function fitsSlowly(pattern: string, name: string): boolean {
  if (pattern === "") return name === "";
  if (pattern.startsWith("**")) {
    return Array.from(name + ".", (_, i) => i).some((i) => fitsSlowly(pattern.slice(2), name.slice(i)));
  }
  if (pattern.startsWith("*")) {
    for (let i = 0; i <= name.length; i++) {
      if (fitsSlowly(pattern.slice(1), name.slice(i))) return true;
      if (name[i] === "/") break;
    }
    return false;
  }
  const first = name[0];
  if (first === undefined) return false;
  const fits = pattern.startsWith("?") ? first !== "/" : pattern.startsWith(first);
  return fits && fitsSlowly(pattern.slice(1), name.slice(1));
}

Deno.test("matcher() agrees with a slow twin that tries every split", () => {
  const text = (signs: string) => fc.string({ unit: fc.constantFrom(...signs), maxLength: 8 });
  fc.assert(
    fc.property(text("ab/*?"), text("ab/"), (pattern, name) => {
      // Three stars are a deep one and a plain one, in either order: the same names.
      assert.equal(matcher(pattern)(name), fitsSlowly(pattern, name), `${pattern} ${name}`);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("matcher() takes a time that does not explode with stars", () => {
  assert.equal(matcher("*a".repeat(40))("a".repeat(2000) + "b"), false);
});

Deno.test("literalPrefix() is what every match begins with", () => {
  const text = (signs: string) => fc.string({ unit: fc.constantFrom(...signs), maxLength: 8 });
  fc.assert(
    fc.property(text("ab/*?\\["), text("ab/*?["), (pattern, name) => {
      if (matcher(pattern)(name)) assert(name.startsWith(literalPrefix(pattern)), `${pattern} ${name}`);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("isPattern() is not taken in by signs behind a backslash, and unescaped() takes it away", () => {
  assert(isPattern("a*") && isPattern("?") && isPattern("a[b"));
  assert(!isPattern("a\\*b") && !isPattern("ab"));
  assert.equal(unescaped("a\\*b\\c"), "a*b\\c");
});
