/** The value of an environment variable; undefined too where this command was not given the right to read it. */
export function variable(name: string): string | undefined {
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") return undefined;
  const value = Deno.env.get(name);
  return value === "" ? undefined : value;
}
