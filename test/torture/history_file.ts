/**
 * The history of a run as JSON lines: docs/history_format.md says what each holds. Written while the run goes on, so
 * that a run that breaks off leaves what it saw; read back by the checker, which has no other source.
 */
import { z } from "zod";

export const HISTORY_FORMAT = "space-opera-history";
export const HISTORY_VERSION = 1;

const nanoseconds = z.number().int().min(0);
const version = z.tuple([z.number().int(), z.number().int()]);
/** null: the key is absent. */
const value = z.string().nullable();
const microOp = z.union([
  z.tuple([z.literal("r"), z.string()]),
  z.tuple([z.literal("w"), z.string(), value]),
]);
const condition = z.tuple([z.string(), z.enum(["absent", "present"]).or(z.object({ value: z.string() }))]);
const transaction = z.object({
  if: z.array(condition),
  then: z.array(microOp),
  else: z.array(microOp),
});

const header = z.object({
  type: z.literal("header"),
  format: z.literal(HISTORY_FORMAT),
  version: z.literal(HISTORY_VERSION),
  began: z.string(),
  seed: z.number(),
  network: z.string(),
  nodes: z.array(z.object({ name: z.string(), address: z.string() })),
  clients: z.number(),
  partitions: z.number(),
  replicas: z.number(),
  left_out: z.array(z.string()),
});

const invoked = { process: z.number().int(), time: nanoseconds };
const read = { f: z.literal("read"), key: z.string() };
const write = { f: z.literal("write"), key: z.string(), value: z.string() };
const remove = { f: z.literal("delete"), key: z.string() };
const cas = { f: z.literal("cas"), key: z.string(), value: z.tuple([value, value]) };
const transact = { f: z.literal("transact"), value: transaction };
const range = {
  f: z.literal("range"),
  value: z.object({ start: z.string(), end: z.string(), limit: z.number() }),
};
const invoke = z.discriminatedUnion("f", [
  z.object({ type: z.literal("invoke"), ...invoked, ...read, value: z.null() }),
  z.object({ type: z.literal("invoke"), ...invoked, ...write }),
  z.object({ type: z.literal("invoke"), ...invoked, ...remove, value: z.null() }),
  z.object({ type: z.literal("invoke"), ...invoked, ...cas }),
  z.object({ type: z.literal("invoke"), ...invoked, ...transact }),
  z.object({ type: z.literal("invoke"), ...invoked, ...range }),
]);
const ok = z.discriminatedUnion("f", [
  z.object({ type: z.literal("ok"), ...invoked, ...read, value, version: version.nullable() }),
  z.object({ type: z.literal("ok"), ...invoked, ...write, version, existed: z.boolean() }),
  z.object({ type: z.literal("ok"), ...invoked, ...remove, value: z.null(), version, existed: z.boolean() }),
  z.object({ type: z.literal("ok"), ...invoked, ...cas, version }),
  z.object({
    type: z.literal("ok"),
    ...invoked,
    ...transact,
    version,
    held: z.boolean(),
    results: z.array(value),
  }),
  z.object({
    type: z.literal("ok"),
    ...invoked,
    ...range,
    items: z.array(z.tuple([z.string(), z.string()])),
    more: z.boolean(),
  }),
]);
/** `found`: of a compare-and-set whose expectation did not hold, what was there. */
const fail = z.object({
  type: z.literal("fail"),
  ...invoked,
  f: z.string(),
  error: z.string(),
  found: value.optional(),
});
const info = z.object({ type: z.literal("info"), ...invoked, f: z.string(), error: z.string() });
const nemesis = z.object({
  type: z.literal("info"),
  process: z.literal("nemesis"),
  time: nanoseconds,
  f: z.string(),
  value: z.string(),
});
const final = z.object({ type: z.literal("final"), key: z.string(), value, version: version.nullable() });
const replica = z.object({
  type: z.literal("replica"),
  node: z.string(),
  partition: z.number(),
  keys: z.number(),
  hash: z.string(),
});
const problem = z.object({ type: z.literal("problem"), what: z.string() });
const end = z.object({ type: z.literal("end"), operations: z.number(), seconds: z.number() });

const line = z.union([invoke, ok, fail, info, final, nemesis, replica, problem, end, header]);

export type Header = z.infer<typeof header>;
export type Invoke = z.infer<typeof invoke>;
export type Ok = z.infer<typeof ok>;
export type Fail = z.infer<typeof fail>;
export type Info = z.infer<typeof info>;
export type Final = z.infer<typeof final>;
export type Replica = z.infer<typeof replica>;
export type HistoryLine = z.infer<typeof line>;
export type Transaction = z.infer<typeof transaction>;

const FLUSH_CHARACTERS = 64 * 1024;
const FLUSH_MS = 200;

/** Writes lines in the order they are given; what was given a moment ago is in the file. */
export class HistoryWriter {
  readonly path: string;
  readonly #file: Deno.FsFile;
  readonly #encoder = new TextEncoder();
  readonly #timer: ReturnType<typeof setInterval>;
  #buffered = "";

  constructor(path: string) {
    this.path = path;
    this.#file = Deno.openSync(path, { create: true, truncate: true, write: true });
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
  }

  write(entry: HistoryLine): void {
    this.#buffered += JSON.stringify(entry) + "\n";
    if (this.#buffered.length >= FLUSH_CHARACTERS) this.#flush();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#flush();
    this.#file.close();
  }

  #flush(): void {
    const bytes = this.#encoder.encode(this.#buffered);
    this.#buffered = "";
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }
}

/** A line that is not of the format. */
export class HistoryError extends Error {
  override readonly name = "HistoryError";
}

/**
 * The lines of a history. A last line that is cut off is left out: the run was ended while it wrote.
 * @throws {HistoryError} with the number of the line that is wrong
 */
export async function* readHistory(path: string): AsyncGenerator<HistoryLine> {
  using file = await Deno.open(path);
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(1 << 20);
  let rest = "", number = 0;
  for (let read = await file.read(chunk); read !== null; read = await file.read(chunk)) {
    const lines = (rest + decoder.decode(chunk.subarray(0, read), { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const text of lines) yield parseLine(text, ++number, path);
  }
}

function parseLine(text: string, number: number, path: string): HistoryLine {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new HistoryError(`Line ${number} of "${path}" is no JSON: ${text.slice(0, 80)}`);
  }
  const result = line.safeParse(parsed);
  if (result.success) return result.data;
  throw new HistoryError(
    `Line ${number} of "${path}" is no line of ${HISTORY_FORMAT} version ${HISTORY_VERSION}: ${
      text.slice(0, 120)
    }. See docs/history_format.md`,
  );
}
