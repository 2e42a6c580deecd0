/**
 * Reads just enough TypeScript to judge a file by its words: comments are dropped, strings, templates and regular
 * expressions are told from code, and every import and re-export is found. It does not parse; where JavaScript cannot
 * be told apart without parsing (a regular expression after `)`), it takes the common case.
 */

export interface Token {
  /** word: a name, keyword or number. string: `text` is its content as written. template: holes are tokens of their own. */
  readonly kind: "word" | "punctuation" | "string" | "template" | "regex";
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

export interface Import {
  /** As written; null where a dynamic import computes it. */
  readonly specifier: string | null;
  /** True only for `import type …` and `export type … from`: nothing is left of it at run time. */
  readonly typeOnly: boolean;
  /** The names taken, as the other module calls them; "*" for a namespace or a dynamic import. */
  readonly names: readonly string[];
  readonly line: number;
}

const WORD = /[\p{ID_Start}\p{ID_Continue}$#@\u200c\u200d]/u;
/** After these words a slash begins a regular expression. */
const BEFORE_REGEX = new Set(
  "return typeof case in of delete void throw new else do instanceof yield await".split(" "),
);
const LONG_PUNCTUATION = ["...", "=>", "++", "--", "**", "?."];

/** @throws {SyntaxError} when a comment, string or template does not end */
export function scan(source: string): Token[] {
  const tokens: Token[] = [];
  // The depth of braces at which each open template goes on.
  const templates: number[] = [];
  let depth = 0, line = 1, at = 0;

  const push = (kind: Token["kind"], end: number) => {
    tokens.push({ kind, text: source.slice(at, end), line });
    pass(end);
  };
  const pass = (end: number) => {
    for (; at < end; at++) if (source[at] === "\n") line++;
  };
  const until = (mark: string, from: number, what: string): number => {
    const end = source.indexOf(mark, from);
    if (end < 0) throw new SyntaxError(`The ${what} that begins on line ${line} does not end`);
    return end + mark.length;
  };
  const pushTemplate = () => {
    const end = templateEnd(source, at + 1, line);
    const hole = source[end - 1] === "{";
    tokens.push({ kind: "template", text: source.slice(at + 1, hole ? end - 2 : end - 1), line });
    pass(end);
    if (hole) templates.push(depth++);
  };

  if (source.startsWith("#!")) pass(source.indexOf("\n") < 0 ? source.length : source.indexOf("\n"));
  while (at < source.length) {
    const c = source[at]!;
    if (/\s/.test(c)) pass(at + 1);
    else if (source.startsWith("//", at)) pass((source.indexOf("\n", at) + 1 || source.length + 1) - 1);
    else if (source.startsWith("/*", at)) pass(until("*/", at + 2, "comment"));
    else if (c === '"' || c === "'") {
      const end = stringEnd(source, at, line);
      tokens.push({ kind: "string", text: source.slice(at + 1, end - 1), line });
      pass(end);
    } else if (c === "`") pushTemplate();
    else if (c === "}" && templates.at(-1) === depth - 1) {
      templates.pop();
      depth--;
      pushTemplate();
    } else if (c === "/" && regexMayBegin(tokens) && regexEnd(source, at) > 0) {
      push("regex", regexEnd(source, at));
    } else if (WORD.test(c)) {
      let end = at + 1;
      while (end < source.length && WORD.test(source[end]!)) end++;
      push("word", end);
    } else {
      if (c === "{") depth++;
      if (c === "}") depth--;
      const long = LONG_PUNCTUATION.find((text) => source.startsWith(text, at));
      push("punctuation", at + (long?.length ?? 1));
    }
  }
  if (templates.length > 0) throw new SyntaxError("A template's hole does not end");
  return tokens;
}

/** Every static, dynamic and type import and every re-export, in order. */
export function importsOf(tokens: readonly Token[]): Import[] {
  const found: Import[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token.kind !== "word" || (token.text !== "import" && token.text !== "export")) continue;
    const before = tokens[i - 1];
    if (before?.kind === "punctuation" && (before.text === "." || before.text === "?.")) continue;
    const next = tokens[i + 1];
    if (next === undefined || next.text === "." || next.text === ":") continue;
    if (token.text === "import" && next.kind === "string") {
      found.push({ specifier: next.text, typeOnly: false, names: [], line: token.line });
    } else if (token.text === "import" && next.text === "(") {
      found.push(dynamicImport(tokens, i));
    } else {
      const statement = fromClause(tokens, i);
      if (statement !== null) found.push(statement);
    }
  }
  return found;
}

function dynamicImport(tokens: readonly Token[], at: number): Import {
  const argument = tokens[at + 2], close = tokens[at + 3];
  const literal = (argument?.kind === "string" || argument?.kind === "template") &&
    (close?.text === ")" || close?.text === ",");
  return {
    specifier: literal ? argument.text : null,
    typeOnly: false,
    names: ["*"],
    line: tokens[at]!.line,
  };
}

/** Reads `import a, { b as c } from "x"`, `export * from "x"` and their kin; null for an export of the file's own. */
function fromClause(tokens: readonly Token[], start: number): Import | null {
  let at = start + 1;
  const typeOnly = tokens[at]?.text === "type" && !isFrom(tokens, at + 1, tokens[at + 2]) &&
    tokens[at + 1]?.text !== ",";
  if (typeOnly) at++;
  const names: string[] = [];
  let inBraces = false;
  for (; at < tokens.length; at++) {
    const token = tokens[at]!, next = tokens[at + 1];
    if (!inBraces && isFrom(tokens, at, next)) {
      return { specifier: next!.text, typeOnly, names, line: tokens[start]!.line };
    }
    // `import x = require("y")`
    if (!inBraces && token.text === "require" && next?.text === "(") {
      return { specifier: tokens[at + 2]?.text ?? null, typeOnly, names: ["*"], line: tokens[start]!.line };
    }
    if (token.text === "{") inBraces = true;
    else if (token.text === "}") inBraces = false;
    else if (token.text === "*") names.push("*");
    else if (token.text === "as") at++; // the local name does not matter
    else if (
      inBraces && token.text === "type" && next !== undefined && ![",", "}", "as"].includes(next.text)
    ) continue;
    else if (inBraces && (token.kind === "word" || token.kind === "string")) names.push(token.text);
    else if (token.kind === "word" && tokens[start]!.text === "import") {
      if (token.text !== "require") names.push("default");
    } else if (token.text !== "," && token.text !== "=") return null;
  }
  return null;
}

function isFrom(tokens: readonly Token[], at: number, next: Token | undefined): boolean {
  return tokens[at]?.text === "from" && next?.kind === "string";
}

/** Just past the closing quote. */
function stringEnd(source: string, start: number, line: number): number {
  for (let i = start + 1; i < source.length && source[i] !== "\n"; i++) {
    if (source[i] === "\\") i++;
    else if (source[i] === source[start]) return i + 1;
  }
  throw new SyntaxError(`The string that begins on line ${line} does not end`);
}

/** Just past the closing backquote, or past the `${` that opens a hole. */
function templateEnd(source: string, start: number, line: number): number {
  for (let i = start; i < source.length; i++) {
    if (source[i] === "\\") i++;
    else if (source[i] === "`") return i + 1;
    else if (source.startsWith("${", i)) return i + 2;
  }
  throw new SyntaxError(`The template that begins on line ${line} does not end`);
}

/** Just past the flags, or 0 when the line ends first: then the slash was a division. */
function regexEnd(source: string, start: number): number {
  let inClass = false;
  for (let i = start + 1; i < source.length && source[i] !== "\n"; i++) {
    const c = source[i];
    if (c === "\\") i++;
    else if (c === "[") inClass = true;
    else if (c === "]") inClass = false;
    else if (c === "/" && !inClass) {
      let end = i + 1;
      while (end < source.length && /[a-z]/.test(source[end]!)) end++;
      return end;
    }
  }
  return 0;
}

function regexMayBegin(tokens: readonly Token[]): boolean {
  const last = tokens.at(-1);
  if (last === undefined) return true;
  if (last.kind === "word") return BEFORE_REGEX.has(last.text) && tokens.at(-2)?.text !== ".";
  if (last.kind !== "punctuation") return false;
  if (last.text === "!" || last.text === "++" || last.text === "--") {
    // `a! / b`, `a++ / b` divide, `!/a/.test(b)` does not.
    const operand = tokens.at(-2);
    const ends = operand?.kind === "word"
      ? !BEFORE_REGEX.has(operand.text)
      : operand?.text === ")" || operand?.text === "]";
    return !ends;
  }
  return ![")", "]", "}"].includes(last.text);
}
