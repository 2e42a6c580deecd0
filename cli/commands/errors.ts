/** What the person typed cannot be done: exit code 2. The message says what was wrong, the value, and what to do. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
