/**
 * Whole requests to the S3 face, over objects in memory: right ones that were changed and then signed, so that they come in, and
 * right ones that were changed after they had been signed. Whatever comes is answered in bounded time, and never with an error
 * that nobody foresaw.
 */
import { utf8Encode } from "../../core/base/bytes.ts";
import { Random } from "../../core/base/random.ts";
import { type S3App, s3App, type S3LogEntry } from "../../cli/s3/app.ts";
import { memoryStore } from "../cli/s3/memory_store.ts";
import { ID, SECRET, signed } from "../cli/s3/support.ts";
import { INPUT_MS_MAX } from "./decoder.ts";
import { mutant, type Pool } from "./mutate.ts";
import { describe, FuzzFailure } from "./run.ts";
import { REQUESTS } from "./s3_samples.ts";

const HOST = "127.0.0.1:9000";
/** Then the objects are others. */
const REQUESTS_PER_STORE = 1000;
const POOL: Pool = REQUESTS.map(utf8Encode);
const BODILESS = new Set(["GET", "HEAD"]);

export interface S3Totals {
  inputs: number;
  /** Could be no request of HTTP. */
  impossible: number;
  readonly statuses: Map<number, number>;
  ms: number;
  slowestMs: number;
}

/** @throws {FuzzFailure} */
export async function fuzzS3(
  { seed, ms, inputs }: { seed: number; ms: number; inputs: number },
): Promise<S3Totals> {
  const totals: S3Totals = { inputs: 0, impossible: 0, statuses: new Map(), ms: 0, slowestMs: 0 };
  const random = Random.fromSeed(seed).fork("s3"), began = performance.now();
  let app = newApp();
  for (; totals.inputs < inputs && performance.now() - began < ms; totals.inputs++) {
    if (totals.inputs % REQUESTS_PER_STORE === 0) app = newApp();
    const bytes = mutant(POOL, random), isSigned = random.chance(3, 4);
    const make = () => request(bytes, isSigned, random);
    let given = make();
    if (given === null) {
      totals.impossible++;
      continue;
    }
    let took = 0;
    // What is slow once may have met a busy machine.
    for (
      let attempt = 0;
      given !== null && (attempt === 0 || took > INPUT_MS_MAX) && attempt < 4;
      attempt++
    ) {
      took = await answerTo(app, given, { seed, bytes, totals });
      given = make();
    }
    totals.slowestMs = Math.max(totals.slowestMs, took);
    if (took > INPUT_MS_MAX) throw new FuzzFailure("s3", seed, bytes, `took ${took.toFixed(0)} ms`);
  }
  totals.ms = performance.now() - began;
  return totals;
}

interface App {
  readonly face: S3App;
  readonly log: S3LogEntry[];
}

function newApp(): App {
  const store = memoryStore(), log: S3LogEntry[] = [];
  const face = s3App({
    storeFor: () => store,
    credentials: { secretOf: (id) => Promise.resolve(id === ID ? SECRET : null) },
    region: "us-east-1",
    now: Date.now,
    corsOf: async (bucket) => (await store.bucket(bucket).catch(() => null))?.cors ?? [],
    log: (entry) => log.push(entry),
  });
  return { face, log };
}

async function answerTo(
  { face, log }: App,
  given: Request,
  { seed, bytes, totals }: { seed: number; bytes: Uint8Array; totals: S3Totals },
): Promise<number> {
  const began = performance.now();
  try {
    const response = await face.fetch(given);
    await response.arrayBuffer();
    totals.statuses.set(response.status, (totals.statuses.get(response.status) ?? 0) + 1);
  } catch (error) {
    throw new FuzzFailure("s3", seed, bytes, `threw ${describe(error)}`, { cause: error });
  }
  const took = performance.now() - began;
  for (const { error, route } of log.splice(0)) {
    if (error === null) continue;
    throw new FuzzFailure("s3", seed, bytes, `${route} broke: ${describe(error)}`, { cause: error });
  }
  return took;
}

/** null: that is no request. */
function request(bytes: Uint8Array, isSigned: boolean, random: Random): Request | null {
  const end = headEnd(bytes), body = bytes.slice(end);
  const [first = "", ...lines] = String.fromCharCode(...bytes.subarray(0, Math.min(end, 30_000))).split("\n");
  const [method = "", path = ""] = first.split(" ", 2);
  try {
    let headers = new Headers();
    for (const line of lines) {
      const at = line.indexOf(":");
      if (at > 0) headers.append(line.slice(0, at), line.slice(at + 1).trim());
    }
    const payload = headers.get("x-amz-content-sha256");
    if (isSigned && !headers.has("authorization")) {
      headers = signed(method, path, HOST, {
        headers: Object.fromEntries(headers),
        body,
        ...(payload === null ? {} : { payload }),
      });
    }
    headers.set("host", HOST);
    if (random.chance(1, 4)) headers.set("origin", "https://a.example.com");
    if (!path.startsWith("/")) return null;
    const hasBody = !BODILESS.has(method) && body.length > 0;
    return new Request(`http://${HOST}${path}`, {
      ...{ method, headers },
      ...(hasBody ? { body: inPieces(body, random) } : {}),
    });
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError || error instanceof URIError) return null;
    throw error;
  }
}

function headEnd(bytes: Uint8Array): number {
  for (let at = 0; at + 1 < bytes.length; at++) if (bytes[at] === 10 && bytes[at + 1] === 10) return at + 2;
  return bytes.length;
}

function inPieces(bytes: Uint8Array<ArrayBuffer>, random: Random): ReadableStream<Uint8Array<ArrayBuffer>> {
  const pieceMax = random.chance(1, 2) ? 7 + (bytes.length >> 6) : bytes.length;
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      const end = Math.min(bytes.length, at + 1 + random.below(pieceMax));
      controller.enqueue(bytes.slice(at, end));
      at = end;
      if (at >= bytes.length) controller.close();
    },
  });
}
