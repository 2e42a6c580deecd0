/** The S3 face on a port of its own, over objects in memory, and requests to it that are signed. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { s3App, type S3LogEntry, type S3Options } from "../../../cli/s3/app.ts";
import { type S3Server, serveS3 } from "../../../cli/s3/serve.ts";
import { amzDate } from "../../../cli/s3/encoding.ts";
import {
  canonicalPaths,
  canonicalRequest,
  sign,
  signingKey,
  stringToSign,
} from "../../../cli/s3/signature.ts";
import { type MemoryStore, memoryStore } from "./memory_store.ts";

export const ID = "AKIDSTAR", SECRET = "a secret of stars";

export interface Face {
  readonly store: MemoryStore;
  readonly server: S3Server;
  readonly log: S3LogEntry[];
  readonly url: string;
  /** Signed. `path` is percent-encoded, with its query. */
  send(method: string, path: string, init?: Sent): Promise<Answer>;
}
export interface Sent {
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly id?: string;
  readonly secret?: string;
  /** Another than the body's. */
  readonly payload?: string;
}
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The <Code> of an error. */
  readonly code: string | null;
}

export async function withFace(
  options: Partial<S3Options> & { readonly requestsMax?: number },
  work: (face: Face) => Promise<void>,
): Promise<void> {
  const store = memoryStore(), log: S3LogEntry[] = [];
  const app = s3App({
    storeFor: () => store,
    credentials: { secretOf: (id) => Promise.resolve(id === ID ? SECRET : null) },
    region: "us-east-1",
    now: Date.now,
    log: (entry) => log.push(entry),
    ...options,
  });
  const { requestsMax } = options;
  const server = serveS3({
    listen: { hostname: "127.0.0.1", port: 0 },
    app,
    ...(requestsMax === undefined ? {} : { requestsMax }),
  });
  const url = `http://127.0.0.1:${server.port}`;
  try {
    await work({
      ...{ store, server, log, url },
      async send(method, path, init = {}) {
        const headers = signed(method, path, `127.0.0.1:${server.port}`, init);
        return await answered(await fetch(`${url}${path}`, { method, headers, body: init.body ?? null }));
      },
    });
  } finally {
    await server.stop(2000);
  }
}

export async function answered(response: Response): Promise<Answer> {
  const text = await response.text();
  return {
    ...{ status: response.status, headers: response.headers, text },
    code: /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? null,
  };
}

/** The headers of a request that is signed now. */
export function signed(
  method: string,
  path: string,
  host: string,
  { headers, body, id, secret, payload }: Sent,
): Headers {
  const all = new Headers(headers), url = new URL(path, "http://x"), date = amzDate(Date.now());
  const hash = payload ?? createHash("sha256").update(body ?? "").digest("hex");
  all.set("x-amz-date", date);
  all.set("x-amz-content-sha256", hash);
  const names = ["host", ...[...all.keys()].filter((name) => name.startsWith("x-amz-"))].sort();
  const scope = { date: date.slice(0, 8), region: "us-east-1", service: "s3" };
  const canonical = canonicalRequest({
    method,
    path: canonicalPaths(path.split("?")[0] ?? "")?.[0] ?? "",
    query: [...url.searchParams],
    headers: names.map((name) => [name, name === "host" ? host : all.get(name) ?? ""]),
    payloadHash: hash,
  });
  const signature = sign(signingKey(secret ?? SECRET, scope), stringToSign(date, scope, canonical));
  const credential = `${id ?? ID}/${scope.date}/us-east-1/s3/aws4_request`;
  all.set(
    "authorization",
    `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`,
  );
  return all;
}

export function expectStatus(answer: Answer, status: number, code: string | null = null): Answer {
  assert.deepEqual([answer.status, answer.code], [status, code], answer.text);
  return answer;
}

/** The texts of all elements of that name. */
export function texts(answer: Answer, name: string): string[] {
  return [...answer.text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, "g"))].map((match) =>
    match[1] ?? ""
  );
}
