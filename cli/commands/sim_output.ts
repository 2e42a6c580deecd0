/** Where the commands of the simulator write: results to stdout, progress to stderr. */
export async function print(text: string): Promise<void> {
  await writeAll(Deno.stdout, text);
}

export async function note(text: string): Promise<void> {
  await writeAll(Deno.stderr, text);
}

async function writeAll(to: { write(bytes: Uint8Array): Promise<number> }, text: string): Promise<void> {
  let bytes = new TextEncoder().encode(`${text}\n`);
  while (bytes.length > 0) bytes = bytes.subarray(await to.write(bytes));
}
