/** The files of the repository, and the rules that hold for every one of them, source or not. */
import type { SourceFile } from "./rules.ts";

/** A file this long is more than one idea. */
export const LINES_MAX = 600;

const SKIPPED = new Set([".git", "node_modules", "dist", "coverage", "space-opera-data"]);
const DATA = /\.(csv|json|jsonl|yaml|yml|txt|hex|bin|md|log|db)$/;
// Put together from halves, or this file would find itself.
const MARKERS = new RegExp(
  ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK", "W" + "IP"].map((word) => `\\b${word}\\b`)
    .concat([
      "<".repeat(7) + " ",
      ">".repeat(7) + " ",
      "\\bdebug" + "ger\\b",
      "\\.on" + "ly\\(",
      "@ts-" + "(ignore|nocheck)",
    ])
    .join("|"),
);
const MACHINE_PATH = new RegExp(
  ["work", "home", "root", "Users", "mnt"].map((folder) => `(?<![\\w.~:/-])/${folder}/[\\w.-]`).join("|"),
);

/** Every file under `root` that is not built, fetched or a node's data, sorted by path; binary ones have no text. */
export function filesUnder(root: string): SourceFile[] {
  const found: SourceFile[] = [];
  const walk = (folder: string, prefix: string) => {
    for (const entry of Deno.readDirSync(folder)) {
      if (SKIPPED.has(entry.name)) continue;
      const path = `${prefix}${entry.name}`;
      if (entry.isDirectory) walk(`${folder}/${entry.name}`, `${path}/`);
      else if (entry.isFile) {
        const bytes = Deno.readFileSync(`${folder}/${entry.name}`);
        found.push({
          path,
          text: bytes.subarray(0, 8000).includes(0) ? "" : new TextDecoder().decode(bytes),
        });
      }
    }
  };
  walk(root, "");
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function isSource(file: SourceFile): boolean {
  return /\.(ts|tsx|mts|js|mjs)$/.test(file.path);
}

/** A source of more than LINES_MAX lines. */
export function checkLength(file: SourceFile): string[] {
  const lines = file.text.split("\n").length - 1;
  return isSource(file) && lines > LINES_MAX
    ? [`${file.path}:${lines}: Has ${lines} lines, more than ${LINES_MAX}: split it by idea`]
    : [];
}

/** Notes to oneself, switched-off checks, conflict marks, paths that exist on one machine only. */
export function checkLeftovers(file: SourceFile): string[] {
  const complaints: string[] = [];
  if (file.path === "deno.lock" || file.path.startsWith("fixtures/sky/")) return complaints;
  file.text.split("\n").forEach((line, index) => {
    const marker = MARKERS.exec(line)?.[0], path = MACHINE_PATH.exec(line)?.[0];
    if (marker !== undefined) complaints.push(`${file.path}:${index + 1}: Left over: ${marker.trim()}`);
    if (path !== undefined) complaints.push(`${file.path}:${index + 1}: A path of one machine: ${path}…`);
  });
  return complaints;
}

/** fixtures/ holds data only. */
export function checkFixture(file: SourceFile): string[] {
  if (!file.path.startsWith("fixtures/")) return [];
  return DATA.test(file.path) ? [] : [`${file.path}:1: Is no data; fixtures hold nothing else`];
}

/**
 * A folder of core with more than a few sources says what lives there: in a README.md, in a comment of three lines or
 * more that opens one of its files, or in one that numbers the invariants of its machine.
 */
export function checkHeaders(files: readonly SourceFile[]): string[] {
  const folders = new Map<string, SourceFile[]>();
  for (const file of files) {
    const folder = /^(core\/[^/]+)\//.exec(file.path)?.[1];
    if (folder !== undefined) folders.set(folder, [...folders.get(folder) ?? [], file]);
  }
  const complaints: string[] = [];
  for (const [folder, members] of folders) {
    const told = members.some((file) => file.path === `${folder}/README.md` || tellsItsPurpose(file.text));
    if (members.length > 1 && !told) {
      complaints.push(
        `${folder}/:1: Does not say what lives here: open its main file with a comment, or add a README.md`,
      );
    }
  }
  return complaints;
}

function tellsItsPurpose(text: string): boolean {
  const opening = /^\/\*\*[\s\S]*?\*\/|^(\/\/.*\n)+/.exec(text)?.[0] ?? "";
  return opening.trim().split("\n").length >= 3 || /\/\*\*(?:(?!\*\/)[\s\S])*\n \* +[A-Z]*1[.:) ]/.test(text);
}
