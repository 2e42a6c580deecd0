/** That every mutant still fits the source, so that none rots away unseen. */
import assert from "node:assert/strict";
import { MUTANTS } from "../mutants/all.ts";
import { HUNTS } from "../mutants/hunts.ts";
import { type Mutant, mutate, TESTS } from "../mutants/mutant.ts";

const TOY: Mutant = { name: "toy", rule: "", file: "toy.ts", original: "a + b", mutated: "a - b" };

Deno.test("mutate() replaces the one occurrence, and refuses none or several", () => {
  assert.equal(mutate("return a + b;", TOY), "return a - b;");
  assert.throws(() => mutate("return a;", TOY), /toy does not fit: toy\.ts does not contain "a \+ b"/);
  assert.throws(() => mutate("a + b, a + b", TOY), /more than once/);
});

Deno.test("Every mutant fits the source, changes it, and has a name and hunts of its own", () => {
  const names = new Set<string>(), hunts = [TESTS, ...HUNTS.map(({ name }) => name)];
  for (const mutant of MUTANTS) {
    const source = Deno.readTextFileSync(new URL(`../../${mutant.file}`, import.meta.url));
    assert.notEqual(mutate(source, mutant), source, mutant.name);
    assert.match(mutant.name, /^[a-z0-9]+(-[a-z0-9]+)*$/);
    assert.ok(!names.has(mutant.name), `Two mutants are called ${mutant.name}`);
    names.add(mutant.name);
    assert.ok(mutant.first === undefined || hunts.includes(mutant.first), mutant.name);
  }
  assert.ok(names.size >= 30, `There are ${names.size} mutants`);
});
