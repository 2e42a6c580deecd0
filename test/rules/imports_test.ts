/**
 * First the rules are shown to catch what they should, on made-up sources, then they are applied to the repository.
 * Needs leave to read the repository and nothing else.
 */
import assert from "node:assert/strict";
import { checkCycles, checkImports, checkPurity } from "./rules.ts";
import {
  checkFixture,
  checkHeaders,
  checkLeftovers,
  checkLength,
  filesUnder,
  isSource,
  LINES_MAX,
} from "./files.ts";

const NAMED = ["cborg", "cborg/", "zod", "fast-check"];
const importing = (path: string, specifier: string, type = "") =>
  checkImports({ path, text: `import ${type}{ A } from "${specifier}";` }, NAMED);

Deno.test("checkImports() lets imports run down and stops them running up", () => {
  const allowed = [
    ["core/base/hash.ts", "./ids.ts"],
    ["core/wire/messages.ts", "../base/ids.ts"],
    ["core/membership/membership.ts", "../wire/messages.ts"],
    ["core/membership/membership.ts", "./rumours.ts"],
    ["core/partition/replica.ts", "../election/election.ts"],
    ["core/partition/replica.ts", "../base/random.ts"],
    ["core/node/node.ts", "../partition/replica.ts"],
    ["core/node/node.ts", "../client/client.ts"],
    ["core/mod.ts", "./node/node.ts"],
    ["sim/world.ts", "../core/node/node.ts"],
    ["sim/net/links.ts", "../world.ts"],
    ["cli/host/host.ts", "../../core/wire/kernel.ts"],
    ["cli/sim.ts", "../sim/world.ts"],
    ["mod.ts", "./cli/client/client.ts"],
    ["bench/codec.ts", "../core/wire/codec.ts"],
    ["test/core/base/ids_test.ts", "../../../core/base/ids.ts"],
  ] as const;
  for (const [path, specifier] of allowed) {
    assert.deepEqual(importing(path, specifier), [], `${path} ${specifier}`);
  }

  const refused = [
    ["core/base/hash.ts", "../wire/messages.ts"],
    ["core/wire/codec.ts", "../membership/membership.ts"],
    ["core/membership/membership.ts", "../partition/replica.ts"],
    ["core/partition/replica.ts", "../node/node.ts"],
    ["core/node/node.ts", "../mod.ts"],
    ["core/node/node.ts", "../../sim/world.ts"],
    ["core/node/node.ts", "../../cli/main.ts"],
    ["core/node/node.ts", "../../test/support/x.ts"],
    ["core/node/node.ts", "../../mod.ts"],
    ["core/node/node.ts", "../../../elsewhere/x.ts"],
    ["core/base/hash.ts", "./ids"],
    ["core/base/hash.ts", "../new/thing.ts"],
    ["core/new/thing.ts", "../base/ids.ts"],
    ["sim/world.ts", "../cli/main.ts"],
    ["sim/world.ts", "../mod.ts"],
    ["sim/world.ts", "../test/support/x.ts"],
    ["cli/main.ts", "../bench/codec.ts"],
    ["cli/main.ts", "../test/support/x.ts"],
  ] as const;
  for (const [path, specifier] of refused) {
    assert.equal(importing(path, specifier).length, 1, `${path} ${specifier}`);
    assert.equal(importing(path, specifier, "type ").length, 1, `types too: ${path} ${specifier}`);
  }
});

Deno.test("checkImports() keeps machines apart", () => {
  const machines = [
    "membership",
    "placement",
    "election",
    "replication",
    "catalog",
    "system",
    "client",
    "objects",
  ];
  for (const one of machines) {
    for (const other of machines) {
      const complaints = importing(`core/${one}/a.ts`, `../${other}/b.ts`, "type ");
      assert.equal(complaints.length, one === other ? 0 : 1, `${one} ${other}`);
    }
  }
});

Deno.test("checkImports() shows machines the interfaces they implement as types only", () => {
  for (const to of ["../partition/contracts.ts", "../node/options.ts"]) {
    assert.deepEqual(importing("core/catalog/catalog.ts", to, "type "), []);
    assert.equal(importing("core/catalog/catalog.ts", to).length, 1);
    const inline = { path: "core/catalog/catalog.ts", text: `import { type StateMachine } from "${to}";` };
    assert.equal(checkImports(inline, NAMED).length, 1);
    const exported = { path: "core/catalog/catalog.ts", text: `export * from "${to}";` };
    assert.equal(checkImports(exported, NAMED).length, 1);
    const query = { path: "core/catalog/catalog.ts", text: `let a: import("${to}").StateMachine;` };
    assert.equal(checkImports(query, NAMED).length, 1);
  }
  assert.deepEqual(importing("core/node/node.ts", "../partition/contracts.ts"), []);
});

Deno.test("checkImports() names the file, the line and both sides", () => {
  const file = { path: "core/base/a.ts", text: 'const x = 1;\nimport { b } from "../wire/b.ts";' };
  assert.deepEqual(checkImports(file, NAMED), [
    "core/base/a.ts:2: core/base is below core/wire and does not import it (core/wire/b.ts)",
  ]);
});

Deno.test("checkImports() lets the core take only pure functions from outside", () => {
  const core = (text: string) => checkImports({ path: "core/wire/codec.ts", text }, NAMED).length;
  assert.equal(core('import { encodeInto } from "cborg"; import { Tokenizer } from "cborg/decode";'), 2);
  assert.equal(core('import { crc32 } from "node:zlib"; import { createHash } from "node:crypto";'), 0);
  assert.equal(core('import { gzipSync } from "node:zlib";'), 1);
  assert.equal(core('import * as zlib from "node:zlib";'), 1);
  assert.equal(core('import zlib from "node:zlib";'), 1);
  assert.equal(core('import { randomBytes } from "node:crypto";'), 1);
  assert.equal(core('import { crc32 as a, createGzip as b } from "node:zlib";'), 1);
  for (
    const name of [
      "fs",
      "net",
      "tls",
      "http",
      "child_process",
      "worker_threads",
      "os",
      "sqlite",
      "timers",
      "fs/promises",
    ]
  ) {
    assert.equal(core(`import { a } from "node:${name}";`), 1, name);
    assert.equal(core(`const a = import("node:${name}");`), 1, name);
  }
  assert.equal(core('import { z } from "zod";'), 1);
});

Deno.test("checkImports() lets nobody take what deno.json does not name, nor compute a name", () => {
  const cli = (text: string) => checkImports({ path: "cli/main.ts", text }, NAMED).length;
  assert.equal(cli('import { z } from "zod"; import { readFileSync } from "node:fs";'), 0);
  assert.equal(cli('import meta from "../deno.json" with { type: "json" };'), 0);
  assert.equal(cli('import { a } from "zodiac";'), 1);
  assert.equal(cli('import { a } from "npm:zod@4";'), 1);
  assert.equal(cli('import { a } from "jsr:@std/assert";'), 1);
  assert.equal(cli('import { a } from "https://example.org/a.ts";'), 1);
  assert.equal(cli("const a = await import(name);"), 1);
  assert.equal(cli('/* import { a } from "zodiac"; */ const s = "import x from \'zodiac\'";'), 0);
  assert.equal(cli("const broken = `"), 1);
});

Deno.test("checkImports() lets what makes star catalogues fetch a package in one exact version", () => {
  const script = (text: string) => checkImports({ path: "cli/sky_package.ts", text }, NAMED).length;
  assert.equal(script('import a from "npm:d3-celestial@0.7.35/data/stars.6.json" with { type: "json" };'), 0);
  assert.equal(script('import a from "npm:@scope/name@1.2.3";'), 0);
  assert.equal(script("await import(name)"), 0);
  assert.equal(script('import a from "npm:d3-celestial@^0.7";'), 1);
  assert.equal(script('import a from "https://example.org/a.ts";'), 1);
});

Deno.test("checkPurity() catches clocks, randomness, waiting, printing, opening and inexact arithmetic", () => {
  const impure = [
    "Date.now()",
    "new Date()",
    "new Date(0)",
    "Math.random()",
    "Math.log(x)",
    "Math.sin(x)",
    "Math.cos(x)",
    "Math.exp(x)",
    "Math.pow(x, y)",
    "x ** y",
    'Math["random"]()',
    "const { random } = Math;",
    "setTimeout(f, 1)",
    "setInterval(f, 1)",
    "queueMicrotask(f)",
    "performance.now()",
    "let a: Promise<void>;",
    "console.log(x)",
    'fetch("x")',
    "Deno.args",
    "process.env",
    "crypto.getRandomValues(a)",
    "globalThis.name",
    "self.fetch(x)",
    "window.setTimeout(f)",
    "a.localeCompare(b)",
    "x ? process : y",
    "{ fetch(x); }",
    "f(x, fetch(y));",
    "if (a) { b(); } fetch(x) ? c : d;",
    "`${Date.now()}`",
    "const a = [performance];",
    "new WeakRef(a)",
  ];
  for (const text of impure) assert.equal(checkPurity({ path: "core/base/a.ts", text }).length, 1, text);
  assert.equal(checkPurity({ path: "core/base/a.ts", text: "async function f() { await g(); }" }).length, 2);
  for (const text of impure) assert.deepEqual(checkPurity({ path: "cli/a.ts", text }), [], text);
});

Deno.test("checkPurity() lets pure code be", () => {
  const pure = [
    "// Date.now(), Math.random(), await\n/* console.log */ const a = 'setTimeout';",
    "`Deno ${a} process`",
    "const r = /console/;",
    "Math.imul(a, b) + Math.floor(c) + Math.max(d, e)",
    "const a = { process: 1, fetch: 2 }; a.process; a?.fetch",
    "interface A { readonly process: number; fetch?: string }",
    "class A { fetch(now: Instant): void {} prompt() {} get process() { return f(x); } }",
    "interface A { fetch(f: (x: number) => void): void; }",
    "const a = 2 ** 40;",
    "const self = node; self.id; window.size",
    "this.performance = selfish + Dated;",
  ];
  for (const text of pure) assert.deepEqual(checkPurity({ path: "core/base/a.ts", text }), [], text);
});

Deno.test("checkCycles() finds a loop at run time and lets types refer to each other", () => {
  const file = (path: string, text: string) => ({ path, text });
  const loop = [
    file("core/wire/a.ts", 'import { b } from "./b.ts";'),
    file("core/wire/b.ts", 'import { c } from "./c.ts";'),
    file("core/wire/c.ts", 'export * from "./a.ts";'),
    file("core/wire/d.ts", 'import { a } from "./a.ts";'),
  ];
  assert.deepEqual(checkCycles(loop), [
    "core/wire/a.ts:1: Imports itself at run time: core/wire/a.ts → core/wire/b.ts → core/wire/c.ts → core/wire/a.ts",
  ]);
  const types = [
    file("core/wire/a.ts", 'import type { B } from "./b.ts";'),
    file("core/wire/b.ts", 'import { a } from "./a.ts";'),
  ];
  assert.deepEqual(checkCycles(types), []);
  assert.equal(checkCycles([file("core/wire/a.ts", 'import { a } from "./a.ts";')]).length, 1);
});

Deno.test("checkLength() stops a file that outgrew one idea", () => {
  const lines = (count: number) => ({ path: "core/base/a.ts", text: "x;\n".repeat(count) });
  assert.deepEqual(checkLength(lines(LINES_MAX)), []);
  assert.equal(checkLength(lines(LINES_MAX + 1)).length, 1);
  assert.deepEqual(checkLength({ ...lines(LINES_MAX + 1), path: "fixtures/sky/a.csv" }), []);
});

Deno.test("checkLeftovers() finds notes to oneself, switched-off checks and paths of one machine", () => {
  const line = (text: string) => checkLeftovers({ path: "docs/a.md", text }).length;
  // In halves, so that this file passes its own check.
  const bad = [
    "TO" + "DO: later",
    "// FIX" + "ME",
    "XX" + "X",
    "<".repeat(7) + " HEAD",
    "Deno.test.on" + "ly(",
    "// @ts-" + "ignore",
  ];
  for (const text of bad) assert.equal(line(`fine\n${text}`), 1, text);
  for (const path of ["home/ann/x", "work/main", "root/.cache", "Users/ann"]) {
    assert.equal(line(`see "/${path}"`), 1, path);
  }
  for (
    const text of ["todos", "https://example.org/home/ann", "a/work/b", "./root/x", "the /work of others"]
  ) {
    assert.equal(line(text), 0, text);
  }
});

Deno.test("checkFixture() keeps code out of fixtures", () => {
  const path = (path: string) => checkFixture({ path, text: "" }).length;
  assert.equal(path("fixtures/scenarios/churn.yaml"), 0);
  assert.equal(path("fixtures/scripts/stars.ts"), 1);
  assert.equal(path("fixtures/sky/make.ts"), 1);
  assert.equal(path("fixtures/run.sh"), 1);
  assert.equal(path("cli/main.ts"), 0);
});

Deno.test("checkHeaders() wants a folder of core to say what lives there", () => {
  const header = "/**\n * What lives here.\n */\n";
  const folder = (...texts: string[]) =>
    checkHeaders(texts.map((text, i) => ({ path: `core/base/${i}.ts`, text }))).length;
  assert.equal(folder("x", "y"), 1);
  assert.equal(folder("x", header + "y"), 0);
  assert.equal(folder("x", "import y;\n" + header), 1);
  assert.equal(folder("x", "import y;\n/**\n * What.\n *\n * 1. It holds.\n */\nclass A {}"), 0);
  assert.equal(folder("x", "import y;\n/** What. */\nclass A {} // 1. no\n * 1. no"), 1);
  assert.equal(folder("x"), 0);
  const readme = { path: "core/base/README.md", text: "What lives here." };
  assert.deepEqual(checkHeaders([{ path: "core/base/a.ts", text: "x" }, readme]), []);
});

const files = filesUnder(".");
const sources = files.filter(isSource);
const named = Object.keys(JSON.parse(files.find((file) => file.path === "deno.json")!.text).imports);
const none = (complaints: readonly string[]) =>
  assert.deepEqual(complaints, [], `\n${complaints.join("\n")}\n`);

Deno.test("the repository was found", () => {
  assert.ok(sources.some((file) => file.path === "core/wire/kernel.ts"));
  assert.ok(sources.some((file) => file.path === "test/rules/imports_test.ts"));
});
Deno.test("imports run one way", () => none(sources.flatMap((file) => checkImports(file, named))));
Deno.test("no file imports itself at run time", () => none(checkCycles(sources)));
Deno.test("the core is pure", () => none(sources.flatMap(checkPurity)));
Deno.test("no source is too long", () => none(files.flatMap(checkLength)));
Deno.test("nothing is left over", () => none(files.flatMap(checkLeftovers)));
Deno.test("fixtures hold data only", () => none(files.flatMap(checkFixture)));
Deno.test("every folder of core says what lives there", () => none(checkHeaders(files)));
