/**
 * The rules that keep the core pure and the parts apart, as functions over sources. docs/architecture.md states them
 * for people. Each function returns complaints, "path:line: what is wrong", and none where all is well.
 *
 * 1. Imports run one way: cli → sim → core and cli → core; inside core base ← wire ← machines ← partition ← node.
 * 2. Machines never import each other, and see the interfaces they implement (INTERFACES) only as types.
 * 3. The core takes nothing from outside but EXTERNALS, and nobody takes what deno.json does not name.
 * 4. The core uses no name that reads a clock, draws randomness, waits, prints or opens anything, and no arithmetic
 *    that two machines may round differently.
 * 5. No import at run time leads back to the file it began in.
 */
import { type Import, importsOf, scan, type Token } from "./scan.ts";

export interface SourceFile {
  /** From the root of the repository, with "/". */
  readonly path: string;
  readonly text: string;
}

/** The folders of core by layer: a file imports its own folder and lower layers. */
export const LAYERS: readonly (readonly string[])[] = [
  ["base"],
  ["wire"],
  ["membership", "placement", "election", "replication", "catalog", "system", "client", "objects", "tables"],
  ["partition"],
  ["node"],
];
/** The interfaces that machines implement: any part of core may import them, as types only. */
const INTERFACES = ["core/partition/contracts.ts", "core/node/options.ts"];
/** What each world may import besides itself. mod.ts is the library's face. */
const WORLDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["core", []],
  ["sim", ["core"]],
  ["cli", ["core", "sim", "deno.json"]],
  ["mod.ts", ["core", "sim", "cli", "deno.json"]],
  ["bench", ["core", "sim", "cli", "mod.ts", "test"]],
  ["test", ["core", "sim", "cli", "mod.ts", "bench", "fixtures", "deno.json"]],
  ["fixtures", []],
]);
/** What core may take from outside: pure functions, and a sorted map. */
const EXTERNALS: ReadonlyMap<string, readonly string[]> = new Map([
  ["sorted-btree", ["default"]],
  ["node:zlib", ["crc32"]],
  ["node:crypto", words("createHash createHmac hkdfSync createCipheriv createDecipheriv timingSafeEqual")],
]);

const FORBIDDEN_NAMES = new Set([
  ...words("Date performance Temporal Intl"), // clocks, and answers that depend on the machine's locale
  ...words("async await Promise setTimeout setInterval setImmediate queueMicrotask requestAnimationFrame"),
  ...words("console fetch Deno process navigator localStorage sessionStorage indexedDB require"),
  ...words("WebSocket EventSource XMLHttpRequest Worker BroadcastChannel MessageChannel"),
  ...words("crypto WeakRef FinalizationRegistry"), // what a collector frees, and when, differs from run to run
  ...words("globalThis eval"), // ways round this list
]);
/** Names of the global object that are also good names for other things: `self.id` is fine, `self.fetch` is not. */
const GLOBAL_OBJECTS = new Set(["self", "window", "global"]);
const FORBIDDEN_MEMBERS = new Set(words("localeCompare toLocaleString toLocaleUpperCase toLocaleLowerCase"));
/** These, and only these, give the same bits on every machine. */
const EXACT_MATH = new Set(words("abs ceil clz32 floor fround imul max min round sign sqrt trunc"));

/** Rules 1, 2 and 3 for one file. `named`: the names that deno.json imports. */
export function checkImports(file: SourceFile, named: readonly string[]): string[] {
  return scanned(file, (tokens) =>
    importsOf(tokens).flatMap((found) => {
      // What makes star catalogues runs seldom, and fetches a package that nothing else needs.
      if (file.path === "cli/sky_package.ts" && isFetched(found.specifier)) return [];
      const why = found.specifier === null
        ? "A dynamic import names its module in plain text"
        : found.specifier.startsWith(".")
        ? whyNotInside(file.path, resolve(file.path, found.specifier), found)
        : whyNotOutside(file.path, found, named);
      return why === null ? [] : [`${file.path}:${found.line}: ${why}`];
    }));
}

/** Rule 4 for one file of core. */
export function checkPurity(file: SourceFile): string[] {
  if (worldOf(file.path) !== "core") return [];
  return scanned(file, (tokens) => {
    const complaints: string[] = [];
    for (let i = 0; i < tokens.length; i++) {
      const what = impurityAt(tokens, i);
      if (what === null) continue;
      complaints.push(`${file.path}:${tokens[i]!.line}: The core is pure and exact: it does not use ${what}`);
    }
    return complaints;
  });
}

/** Rule 5 over all files: one complaint for each file that imports itself through others at run time. */
export function checkCycles(files: readonly SourceFile[]): string[] {
  const graph = new Map<string, string[]>();
  for (const file of files) {
    const edges: string[] = [];
    for (const found of importsOf(scan(file.text))) {
      if (!found.typeOnly && found.specifier?.startsWith(".")) {
        edges.push(resolve(file.path, found.specifier));
      }
    }
    graph.set(file.path, edges);
  }
  const complaints: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      const loop = [...trail.slice(trail.indexOf(path)), path];
      complaints.push(`${path}:1: Imports itself at run time: ${loop.join(" → ")}`);
      return;
    }
    if (done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return complaints;
}

/** What must not be used and is named at this token, or null. */
function impurityAt(tokens: readonly Token[], at: number): string | null {
  const token = tokens[at]!, text = token.text;
  // A power of two is exact, however it is computed.
  if (token.kind === "punctuation") return text === "**" && tokens[at - 1]?.text !== "2" ? text : null;
  if (token.kind !== "word") return null;
  const before = tokens[at - 1], next = tokens[at + 1]?.text, afterNext = tokens[at + 2]?.text;
  if (before?.kind === "punctuation" && (before.text === "." || before.text === "?.")) {
    const ofGlobal = GLOBAL_OBJECTS.has(tokens[at - 2]?.text ?? "") && FORBIDDEN_NAMES.has(text);
    return ofGlobal || FORBIDDEN_MEMBERS.has(text) ? text : null;
  }
  if (text === "Math") {
    return next === "." && EXACT_MATH.has(afterNext ?? "") ? null : `Math${next ?? ""}${afterNext ?? ""}`;
  }
  return FORBIDDEN_NAMES.has(text) && !isKey(tokens, at) ? text : null;
}

function whyNotInside(from: string, to: string, found: Import): string | null {
  const world = worldOf(from), other = worldOf(to);
  if (to.startsWith("..")) return `${found.specifier} leads out of the repository`;
  if (!/\.(ts|json)$/.test(to)) return `${found.specifier} needs its full name with .ts`;
  if (world !== other) {
    return WORLDS.get(world)?.includes(other) ? null : `${world} does not import ${other} (${to})`;
  }
  return world === "core" ? whyNotInCore(from, to, found) : null;
}

function whyNotInCore(from: string, to: string, found: Import): string | null {
  const fromFolder = folderOf(from), toFolder = folderOf(to);
  const fromLayer = layerOf(fromFolder), toLayer = layerOf(toFolder);
  if (fromLayer < 0) return `core/${fromFolder} is not in LAYERS of the rules: give it a layer there`;
  if (toLayer < 0) return `core/${toFolder} is not in LAYERS of the rules: give it a layer there`;
  if (fromFolder === toFolder || toLayer < fromLayer) return null;
  if (INTERFACES.includes(to)) {
    return found.typeOnly
      ? null
      : `${to} is imported with "import type", and by no other way, from core/${fromFolder}`;
  }
  return fromLayer === toLayer
    ? `core/${fromFolder} and core/${toFolder} never import each other (${to})`
    : `core/${fromFolder} is below core/${toFolder} and does not import it (${to})`;
}

/** Computed, or from npm in one exact version. */
function isFetched(specifier: string | null): boolean {
  return specifier === null || /^npm:(@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+/.test(specifier);
}

function whyNotOutside(from: string, found: Import, named: readonly string[]): string | null {
  const specifier = found.specifier!;
  const isNode = specifier.startsWith("node:");
  if (
    !isNode && !named.some((name) => specifier === name || (name.endsWith("/") && specifier.startsWith(name)))
  ) {
    return `${specifier} is not named in the imports of deno.json`;
  }
  if (worldOf(from) !== "core") return null;
  const allowed = EXTERNALS.get(isNode ? specifier : specifier.split("/")[0]!);
  if (allowed === undefined) return `The core does not import ${specifier}`;
  const bad = found.names.find((name) => !allowed.includes(name));
  return bad === undefined
    ? null
    : `The core takes only ${allowed!.join(", ")} from ${specifier}, not ${bad}`;
}

/** True for `{ process: … }`, `readonly process: …` and the method `process(…) {`, which only name a property. */
function isKey(tokens: readonly Token[], at: number): boolean {
  const before = tokens[at - 1]?.text, next = tokens[at + 1]?.text;
  if (before === undefined || !["{", "}", ",", ";", "readonly", "get", "set", "static"].includes(before)) {
    return false;
  }
  if (next === ":" || (next === "?" && tokens[at + 2]?.text === ":")) return before !== "}";
  if (next !== "(") return false;
  let end = at + 1;
  for (let depth = 0; end < tokens.length; end++) {
    if (tokens[end]!.kind !== "punctuation") continue;
    if (tokens[end]!.text === "(") depth++;
    if (tokens[end]!.text === ")" && --depth === 0) break;
  }
  const after = tokens[end + 1]?.text;
  return after === "{" || after === ":";
}

function scanned(file: SourceFile, judge: (tokens: Token[]) => string[]): string[] {
  try {
    return judge(scan(file.text));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return [`${file.path}:1: ${error.message}`];
  }
}

/** "core", "sim", … or the name of a file at the root. */
function worldOf(path: string): string {
  return path.split("/")[0]!;
}

/** "base" of core/base/ids.ts, and "" of a file that lies in core itself. */
function folderOf(path: string): string {
  const parts = path.split("/");
  return parts.length > 2 ? parts[1]! : "";
}

/** A file that lies in core itself gathers what the folders offer, so it is above them all. */
function layerOf(folder: string): number {
  return folder === "" ? LAYERS.length : LAYERS.findIndex((layer) => layer.includes(folder));
}

function resolve(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") {
      if (parts.length === 0 || parts.at(-1) === "..") parts.push("..");
      else parts.pop();
    } else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function words(text: string): string[] {
  return text.split(" ");
}
