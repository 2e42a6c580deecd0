/**
 * A mutant is a realistic mistake: one small edit of one production file, kept here as the text it replaces and the text
 * it puts there. No switch exists in production code. Here live
 *
 *     mutant.ts                  what a mutant is, and how it is applied
 *     consensus.ts, storage.ts,
 *     tables.ts, state.ts,
 *     network.ts, security.ts,
 *     objects.ts                 the mutants, by what they break
 *     hunts.ts                   the runs that they are set loose in
 *     hunter.ts                  a process that hunts in one copy of the tree
 *     main.ts                    `deno task mutants`: copies the tree, applies each, reports who caught it
 *
 * test/rules/mutants_test.ts keeps the lists honest: each edit must still fit the source.
 */

export interface Mutant {
  /** Small letters, digits and hyphens. */
  readonly name: string;
  /** The rule that it breaks, as a correct implementation would state it. */
  readonly rule: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly original: string;
  readonly mutated: string;
  /** The hunt to begin with, where another than the first is the likelier to catch it. */
  readonly first?: string;
}

/** The hunt that is not of seeds: the staged tests of the parts. */
export const TESTS = "tests";

/** The source with the mistake in it. @throws {Error} unless the original text occurs exactly once */
export function mutate(source: string, { name, file, original, mutated }: Mutant): string {
  const at = source.indexOf(original);
  if (at < 0) {
    throw new Error(
      `Mutant ${name} does not fit: ${file} does not contain ${JSON.stringify(original)}. Adapt it`,
    );
  }
  if (source.indexOf(original, at + 1) >= 0) {
    throw new Error(
      `Mutant ${name} does not fit: ${file} contains ${
        JSON.stringify(original)
      } more than once. Take in more text`,
    );
  }
  return source.slice(0, at) + mutated + source.slice(at + original.length);
}
