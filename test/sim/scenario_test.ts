import assert from "node:assert/strict";
import fc from "fast-check";
import { CHECK_NAMES } from "../../sim/checks.ts";
import { checksOf, parseScenario, ScenarioError } from "../../sim/scenario.ts";
import { describeFault } from "../../sim/scenario_faults.ts";
import { formatDuration, formatRatio, parseDuration, parseRatio } from "../../sim/units.ts";

const MINIMAL = "name: tiny\nduration: 1m30s\nsky:\n  nodes: 3\n";

function problems(text: string): string[] {
  try {
    parseScenario(text, "x.yaml");
  } catch (error) {
    assert.ok(error instanceof ScenarioError);
    return error.problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
  }
  return [];
}

Deno.test("parseScenario() fills in what is left out", () => {
  const scenario = parseScenario(MINIMAL, "x.yaml");
  assert.equal(scenario.duration, 90_000_000);
  assert.equal(scenario.cluster.settings.partitions, 64);
  assert.deepEqual(scenario.faults, []);
});

Deno.test("parseScenario() names each problem with its line and column", () => {
  const text =
    `${MINIMAL}faults:\n  - { do: crash, at: 5x }\n  - { do: crash }\ncolour: red\nnetwork:\n  loss: 3\n`;
  const found = problems(text);
  assert.ok(found.some((line) => line.startsWith("6:22 ") && line.includes('not "5x"')), found.join("\n"));
  assert.ok(found.some((line) => line.startsWith("8:") && line.includes("colour")), found.join("\n"));
  assert.ok(found.some((line) => line.startsWith("10:9 ")), found.join("\n"));
});

Deno.test("parseScenario() wants to know when a fault strikes, once", () => {
  for (const fault of ["{ do: crash }", "{ do: crash, at: 1s, every: 2s }", "{ do: crash, every: 0 }"]) {
    assert.equal(problems(`${MINIMAL}faults:\n  - ${fault}\n`).length, 1, fault);
  }
});

Deno.test("parseScenario() names what is wrong with a fault of disks, with its line and column", () => {
  const text =
    `${MINIMAL}budget: some\nfaults:\n  - { do: rot, at: 1s, of: heart }\n  - { do: full, at: 1s, room: 0 }\n` +
    `  - { do: slow-disk, at: 1s }\n  - { do: lose-disk, at: 1s, for: 2s }\n`;
  const found = problems(text);
  for (const place of ["5:9 ", "7:28 ", "8:31 ", "9:5 ", "10:"]) {
    assert.ok(found.some((line) => line.startsWith(place)), `${place}: ${found.join("\n")}`);
  }
  assert.equal(found.length, 5);
});

Deno.test("checksOf() asks nobody to become well again who may have nothing left", () => {
  const quorum = parseScenario(MINIMAL, "x.yaml"), none = parseScenario(`${MINIMAL}budget: none\n`, "x.yaml");
  const hidden = parseScenario(`${MINIMAL}security: private\nobjects: {}\n`, "x.yaml");
  assert.deepEqual(checksOf(hidden), CHECK_NAMES);
  assert.ok(!checksOf(quorum).includes("objects are linearizable"));
  assert.ok(!checksOf(quorum).includes("rights are kept") && checksOf(quorum).includes("converged"));
  assert.ok(checksOf(none).includes("linearizability") && !checksOf(none).includes("converged"));
});

Deno.test("parseScenario() lets no open network have the faults of a private one", () => {
  const text = `${MINIMAL}faults:\n  - { do: rotate-keys, at: 1s }\n`;
  assert.match(problems(text)[0]!, /Only a private network can have the fault "rotate-keys"/);
  assert.deepEqual(parseScenario(`${text}security: private\n`, "x.yaml").faults.length, 1);
});

Deno.test("parseScenario() reads what a scenario says of objects, and lets nobody else have their faults", () => {
  const text = `${MINIMAL}faults:\n  - { do: fragment-rot, at: 1s }\n`;
  assert.match(problems(text)[0]!, /Only a network with objects can have the fault "fragment-rot"/);
  const { objects } = parseScenario(
    `${text}objects:\n  buckets:\n    - { name: some, scheme: 4+2 }\n    - { name: more, scheme: "2" }\n`,
    "x.yaml",
  );
  assert.deepEqual(objects?.buckets.map(({ scheme }) => scheme), [
    { kind: "striped", data: 4, parity: 2 },
    { kind: "replicated", copies: 2 },
  ]);
  assert.match(
    problems(`${MINIMAL}objects: { buckets: [{ name: some, scheme: 4-2 }] }\n`)[0]!,
    /A scheme is/,
  );
});

Deno.test("parseScenario() tells where YAML itself is wrong", () => {
  assert.match(problems("name: [tiny\nduration: 1s\n")[0]!, /^2:\d+ /);
});

Deno.test("parseDuration() and parseRatio() refuse what they do not know", () => {
  for (const text of ["", "5", "5 s", "-5s", "s", "1s2", "1e3s"]) {
    assert.equal(parseDuration(text), null, text);
  }
  for (const text of ["", "2", "3/2", "1/0", "101%", "0.1", "-1/2"]) {
    assert.equal(parseRatio(text), null, text);
  }
});

Deno.test("parseDuration() reads what formatDuration() writes", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 1e10 }), (us) => {
    const back = parseDuration(formatDuration(us));
    // Three decimals of the unit are kept.
    assert.ok(back !== null && Math.abs(back - us) <= us / 1000 + 1, `${us} ${formatDuration(us)} ${back}`);
  }));
  assert.equal(parseDuration("1m30s"), 90_000_000);
  assert.equal(parseDuration("250ms"), 250_000);
});

Deno.test("parseRatio() reads fractions and percentages", () => {
  assert.deepEqual(parseRatio("0.5%"), { numerator: 5, denominator: 1000 });
  assert.equal(formatRatio(parseRatio("1/200")!), "1/200");
  assert.equal(formatRatio(parseRatio("1")!), "1");
});

Deno.test("describeFault() says what, when and how long", () => {
  const { faults } = parseScenario(
    `${MINIMAL}faults:\n  - { do: crash, every: 40s, for: 5s..30s }\n`,
    "x.yaml",
  );
  assert.equal(describeFault(faults[0]!), "crash, every 40s, for 5s..30s, silent 1/4");
  const disks = parseScenario(
    `${MINIMAL}faults:\n  - { do: rot, rate: 9s, of: tables }\n  - { do: full, at: 1s, for: 5s }\n`,
    "x.yaml",
  ).faults.map(describeFault);
  assert.deepEqual(disks, [
    "rot, rate 9s, crash 0..5s, for 1s..3s, of tables",
    "full, at 1s, for 5s, room 65536",
  ]);
});

Deno.test("parseScenario() refuses what nests too deeply, what is too long, and an alias of nothing (fuzz, seed 1)", () => {
  const cases: [string, RegExp][] = [
    ["name: " + "[".repeat(60_000), /nests too deeply|call stack/],
    ["- ".repeat(30_000), /nests too deeply|call stack/],
    [`name: x\nabout: ${"x".repeat(70_000)}`, /up to 65536 characters, not 70\d{3}/],
    ["name: *nobody", /nobody/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseScenario(text, "scenario.yaml"), (error) => {
      assert(error instanceof ScenarioError);
      assert.match(error.message, message);
      return true;
    });
  }
});
