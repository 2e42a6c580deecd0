/** A rule that the code itself must keep was found broken. The node that throws it stops: better dead than wrong. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/**
 * Throws InvariantError unless `condition` holds. `message` names the rule that was broken.
 * Pass a function where building the message would cost something.
 */
export function invariant(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new InvariantError(typeof message === "string" ? message : message());
}

/** The end of a switch over a closed union: the compiler proves it is never reached. */
export function unreachable(value: never): never {
  throw new InvariantError(`Unreachable case ${JSON.stringify(value)}`);
}
