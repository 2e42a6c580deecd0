import assert from "node:assert/strict";
import { importsOf, scan } from "./scan.ts";

const words = (source: string) =>
  scan(source).filter((token) => token.kind === "word").map((token) => token.text);
const specifiers = (source: string) => importsOf(scan(source)).map((found) => found.specifier);

Deno.test("scan() drops comments of every shape", () => {
  assert.deepEqual(words("a // b\nc /* d\n e */ f /** g */ h // i"), ["a", "c", "f", "h"]);
  assert.deepEqual(words("a /* // */ b // /* c\nd"), ["a", "b", "d"]);
  assert.deepEqual(words("#!/usr/bin/env deno\na"), ["a"]);
  assert.deepEqual(words("//"), []);
});

Deno.test("scan() tells strings from code", () => {
  assert.deepEqual(words(`a("b // c", 'd \\' e', "/* f")`), ["a"]);
  assert.deepEqual(words(`"\\\\" + a`), ["a"]);
  assert.throws(() => scan('let a = "b\nc"'), /SyntaxError|does not end/);
  assert.throws(() => scan("/* a"), SyntaxError);
  assert.throws(() => scan("`a ${b"), SyntaxError);
});

Deno.test("scan() reads code in the holes of templates, however deep, and only there", () => {
  assert.deepEqual(words("`a ${b} c ${d + `e ${f({ g: 1 })} h`} i` + j"), ["b", "d", "f", "g", "1", "j"]);
  assert.deepEqual(words("`\\${a} \\` b` + c"), ["c"]);
  assert.deepEqual(words("`${`${a}`}` + { b }"), ["a", "b"]);
  assert.deepEqual(words("`$ { a } $` + b"), ["b"]);
});

Deno.test("scan() tells regular expressions from divisions", () => {
  assert.deepEqual(words("x = /a'b/g; c"), ["x", "c"]);
  assert.deepEqual(words("x = /[/'\"]`/.test(c)"), ["x", "test", "c"]);
  assert.deepEqual(words("return /a\\/b/u"), ["return"]);
  assert.deepEqual(words("a / b / c"), ["a", "b", "c"]);
  assert.deepEqual(words("f(a) / b / c"), ["f", "a", "b", "c"]);
  assert.deepEqual(words("a[0]! / b / c"), ["a", "0", "b", "c"]);
  assert.deepEqual(words("a++ / b / c"), ["a", "b", "c"]);
  assert.deepEqual(words("!/a/.test(b)"), ["test", "b"]);
  assert.deepEqual(words("if (!/a'/.test(b)) c"), ["if", "test", "b", "c"]);
  assert.deepEqual(words("m.of / b / c"), ["m", "of", "b", "c"]);
  assert.deepEqual(words("x = / 2"), ["x", "2"]);
});

Deno.test("scan() counts lines through comments, templates and strings", () => {
  const tokens = scan("a\n/*\n\n*/ b\n`\n${c}\n` + d\n\re");
  assert.deepEqual(
    tokens.filter((token) => token.kind === "word").map((token) => [token.text, token.line]),
    [["a", 1], ["b", 4], ["c", 6], ["d", 7], ["e", 8]],
  );
});

Deno.test("importsOf() finds every form of import and re-export", () => {
  const forms: [string, string, boolean, string[]][] = [
    ['import "./a.ts";', "./a.ts", false, []],
    ['"."\nimport "./a.ts";', "./a.ts", false, []],
    ['import a from "./a.ts";', "./a.ts", false, ["default"]],
    ["import a, { b } from './a.ts'", "./a.ts", false, ["default", "b"]],
    ['import * as a from "./a.ts";', "./a.ts", false, ["*"]],
    ['import { a as b, type C, type D as E, "f g" as h } from "./a.ts";', "./a.ts", false, [
      "a",
      "C",
      "D",
      "f g",
    ]],
    ['import { type } from "./a.ts";', "./a.ts", false, ["type"]],
    ['import { from } from "./a.ts";', "./a.ts", false, ["from"]],
    ['import { a }from"./a.ts";', "./a.ts", false, ["a"]],
    ['import {\n  a, // from "./b.ts"\n  b,\n} from\n "./a.ts";', "./a.ts", false, ["a", "b"]],
    ['import type { A } from "./a.ts";', "./a.ts", true, ["A"]],
    ['import type A from "./a.ts";', "./a.ts", true, ["default"]],
    ['import type * as A from "./a.ts";', "./a.ts", true, ["*"]],
    ['import type from "./a.ts";', "./a.ts", false, ["default"]],
    ['import type from from "./a.ts";', "./a.ts", true, ["default"]],
    ['import type, { a } from "./a.ts";', "./a.ts", false, ["default", "a"]],
    ['import a from "./a.json" with { type: "json" };', "./a.json", false, ["default"]],
    ['import a = require("./a.ts");', "./a.ts", false, ["*"]],
    ['export * from "./a.ts";', "./a.ts", false, ["*"]],
    ['export * as a from "./a.ts";', "./a.ts", false, ["*"]],
    ['export { a, b as c } from "./a.ts";', "./a.ts", false, ["a", "b"]],
    ['export { type A } from "./a.ts";', "./a.ts", false, ["A"]],
    ['export type { A } from "./a.ts";', "./a.ts", true, ["A"]],
    ['export type * from "./a.ts";', "./a.ts", true, ["*"]],
    ['const a = await import("./a.ts");', "./a.ts", false, ["*"]],
    ["const a = import(`./a.ts`);", "./a.ts", false, ["*"]],
    ['import("./a.json", { with: { type: "json" } });', "./a.json", false, ["*"]],
    ['let a: import("./a.ts").A;', "./a.ts", false, ["*"]],
    ['`${await import("./a.ts")}`', "./a.ts", false, ["*"]],
  ];
  for (const [source, specifier, typeOnly, names] of forms) {
    assert.deepEqual(importsOf(scan(source)), [{
      specifier,
      typeOnly,
      names,
      line: source.startsWith('"') ? 2 : 1,
    }], source);
  }
});

Deno.test("importsOf() is not taken in by what only looks like an import", () => {
  const shapes = [
    '// import "./a.ts"',
    '/* import a from "./a.ts" */',
    "const s = 'import \"./a.ts\"';",
    'const s = `import a from "./a.ts"`;',
    'const r = /import "a"/;',
    "import.meta.url",
    'a.import("./a.ts")',
    'a?.import("./a.ts")',
    "const a = { import: 1, export: 2 };",
    "export const from = 1;",
    'export const a = "./a.ts";',
    'export { a }; const from = "./a.ts";',
    'export type A = "from" | "./a.ts";',
    'export default "./a.ts";',
    'export { a }\nfunction from() { return "./a.ts"; }',
  ];
  for (const source of shapes) assert.deepEqual(specifiers(source), [], source);
});

Deno.test("importsOf() reports a computed dynamic import as one without a specifier", () => {
  assert.deepEqual(specifiers("import(name)"), [null]);
  assert.deepEqual(specifiers('import("./a" + b)'), [null]);
  assert.deepEqual(specifiers("import(`./${a}.ts`)"), [null]);
});

Deno.test("importsOf() keeps order and lines", () => {
  const source =
    'import "./a.ts";\nconst b = 1;\nexport * from "./c.ts"; import "./d.ts"\n\nimport("./e.ts");';
  assert.deepEqual(importsOf(scan(source)).map((found) => [found.specifier, found.line]), [
    ["./a.ts", 1],
    ["./c.ts", 3],
    ["./d.ts", 3],
    ["./e.ts", 5],
  ]);
});
