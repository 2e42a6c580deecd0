/** Patterns in the names of objects: `*` and `?` within one part of a path, `**` over several, `[a-c]`. */

/** True where the text has to be matched rather than taken as it is. A backslash takes a sign as it is. */
export function isPattern(text: string): boolean {
  return /(^|[^\\])[*?[]/.test(text);
}

/** What every match begins with. */
export function literalPrefix(pattern: string): string {
  let prefix = "";
  for (let i = 0; i < pattern.length; i++) {
    const sign = pattern[i]!;
    if (sign === "*" || sign === "?" || sign === "[") break;
    if (sign === "\\" && i + 1 < pattern.length) i++;
    prefix += pattern[i];
  }
  return prefix;
}

export function unescaped(text: string): string {
  return text.replace(/\\([*?[\]\\])/g, "$1");
}

/** A test for whole names. Its time is bounded by the length of pattern and name together, whatever the pattern. */
export function matcher(pattern: string): (name: string) => boolean {
  const tokens = tokensOf(pattern);
  return (name) => {
    // The states that reading the name up to here can have led to, as in a nondeterministic automaton: no backtracking.
    const signs = [...name];
    let states = closure(new Set([0]), tokens);
    for (const sign of signs) {
      const next = new Set<number>();
      for (const state of states) {
        const token = tokens[state];
        if (token === undefined || !token.takes(sign)) continue;
        next.add(token.many ? state : state + 1);
      }
      states = closure(next, tokens);
      if (states.size === 0) return false;
    }
    return states.has(tokens.length);
  };
}

interface Token {
  readonly takes: (sign: string) => boolean;
  readonly many: boolean;
}

function closure(states: Set<number>, tokens: readonly Token[]): Set<number> {
  for (const state of states) if (tokens[state]?.many) states.add(state + 1);
  return states;
}

function tokensOf(pattern: string): Token[] {
  const signs = [...pattern];
  const tokens: Token[] = [];
  const one = (takes: Token["takes"]) => tokens.push({ takes, many: false });
  for (let i = 0; i < signs.length; i++) {
    const sign = signs[i]!;
    if (sign === "*") {
      const deep = signs[i + 1] === "*";
      if (deep) i++;
      tokens.push({ takes: deep ? () => true : (s) => s !== "/", many: true });
    } else if (sign === "?") one((s) => s !== "/");
    else if (sign === "[") {
      const end = signs.indexOf("]", i + 2);
      if (end < 0) one((s) => s === "[");
      else {
        one(setOf(signs.slice(i + 1, end)));
        i = end;
      }
    } else {
      const literal = sign === "\\" && i + 1 < signs.length ? signs[++i]! : sign;
      one((s) => s === literal);
    }
  }
  return tokens;
}

function setOf(signs: readonly string[]): (sign: string) => boolean {
  const isNot = signs[0] === "!" || signs[0] === "^";
  const inside = isNot ? signs.slice(1) : signs;
  const ranges: [string, string][] = [];
  for (let i = 0; i < inside.length; i++) {
    const isRange = inside[i + 1] === "-" && i + 2 < inside.length;
    ranges.push([inside[i]!, inside[isRange ? i + 2 : i]!]);
    if (isRange) i += 2;
  }
  return (sign) => sign !== "/" && ranges.some(([low, high]) => low <= sign && sign <= high) !== isNot;
}
