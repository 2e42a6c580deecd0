/** A server for the S3 face, on Deno.serve. */
import { LIMITS } from "../../core/base/limits.ts";
import { isStream } from "./answers.ts";
import type { S3App } from "./app.ts";

export interface ServeS3Options {
  /** Port 0: any that is free. */
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly app: S3App;
  /** PEM. */
  readonly tls?: { readonly cert: string; readonly key: string } | null;
  /** Past it, requests are answered SlowDown. */
  readonly requestsMax?: number;
  /** What of the server itself went wrong. */
  readonly onError?: (error: unknown) => void;
}

export interface S3Server {
  readonly hostname: string;
  readonly port: number;
  readonly scheme: "http" | "https";
  /** Of this moment. */
  requestsUnderWay(): number;
  /** Takes no more connections, lets what is under way end within `graceMs`, and cuts what does not. */
  stop(graceMs?: number): Promise<void>;
}

const GRACE_MS = 10_000;

/** After what is cut, so long is waited for Deno to see that. */
const CUT_MS = 1_000;

/** @throws what Deno.serve does where the address cannot be had or the certificate is none */
export function serveS3(
  { listen, app, tls, requestsMax = LIMITS.s3RequestsMax, onError }: ServeS3Options,
): S3Server {
  /** What is under way, by what gives it up. */
  const underWay = new Set<AbortController>();
  const handler = async (request: Request, info: Deno.ServeHandlerInfo): Promise<Response> => {
    if (underWay.size >= requestsMax) return app.slowDown();
    const gone = new AbortController();
    underWay.add(gone);
    info.completed.catch(() => gone.abort());
    try {
      const answer = app.fetch(request, gone.signal);
      const first = await Promise.race([answer, aborted(gone.signal)]);
      if (first === null) answer.then(({ body }) => body?.cancel()).catch(() => {});
      return whenDone(first ?? app.slowDown(), gone, () => underWay.delete(gone));
    } catch (error) {
      underWay.delete(gone);
      throw error;
    }
  };
  const server = Deno.serve({
    ...listen,
    ...(tls === null || tls === undefined ? {} : tls),
    onListen: () => {},
    onError: (error) => {
      onError?.(error);
      return new Response(null, { status: 500 });
    },
  }, handler);
  return {
    hostname: server.addr.hostname,
    port: server.addr.port,
    scheme: tls === null || tls === undefined ? "http" : "https",
    requestsUnderWay: () => underWay.size,
    async stop(graceMs = GRACE_MS) {
      // Deno's own signal cannot be used: aborted after shutdown() it throws where nobody can catch it.
      const cut = setTimeout(() => underWay.forEach((gone) => gone.abort()), graceMs);
      let late: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([
        server.shutdown(),
        new Promise<void>((resolve) => late = setTimeout(resolve, graceMs + CUT_MS)),
      ]);
      clearTimeout(cut);
      clearTimeout(late);
    },
  };
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    else signal.addEventListener("abort", () => resolve(null), { once: true });
  });
}

/** A request is under way until its answer was sent, or nobody takes it any more. */
function whenDone(response: Response, gone: AbortController, done: () => void): Response {
  if (!isStream(response) || response.body === null) {
    done();
    return response;
  }
  const reader = response.body.getReader();
  let idle: ReturnType<typeof setTimeout> | undefined;
  const end = () => {
    clearTimeout(idle);
    done();
  };
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      gone.signal.addEventListener("abort", () => {
        end();
        try {
          controller.error(new Error("The answer was given up"));
        } catch { /* It was at its end. */ }
        reader.cancel().catch(() => {});
      }, { once: true });
    },
    async pull(controller) {
      clearTimeout(idle);
      try {
        const { done, value } = await reader.read();
        if (gone.signal.aborted) return;
        if (done) {
          end();
          controller.close();
          return;
        }
        controller.enqueue(value);
      } catch (error) {
        end();
        controller.error(error);
        return;
      }
      // Nobody asks for more: the client takes nothing, though its connection stands.
      idle = setTimeout(() => gone.abort(), LIMITS.s3IdleMs);
    },
    async cancel(reason) {
      end();
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
  return new Response(stream, { status: response.status, headers: response.headers });
}
