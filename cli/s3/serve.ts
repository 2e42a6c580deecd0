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

/** @throws what Deno.serve does where the address cannot be had or the certificate is none */
export function serveS3(
  { listen, app, tls, requestsMax = LIMITS.s3RequestsMax, onError }: ServeS3Options,
): S3Server {
  let underWay = 0;
  const cut = new AbortController();
  const handler = async (request: Request, info: Deno.ServeHandlerInfo): Promise<Response> => {
    if (underWay >= requestsMax) return app.slowDown();
    underWay++;
    const gone = new AbortController();
    info.completed.catch(() => gone.abort());
    try {
      return whenDone(await app.fetch(request, gone.signal), () => underWay--);
    } catch (error) {
      underWay--;
      throw error;
    }
  };
  const server = Deno.serve({
    ...listen,
    ...(tls === null || tls === undefined ? {} : tls),
    signal: cut.signal,
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
    requestsUnderWay: () => underWay,
    async stop(graceMs = GRACE_MS) {
      const timer = setTimeout(() => cut.abort(), graceMs);
      await server.shutdown();
      await server.finished;
      clearTimeout(timer);
    },
  };
}

/** A request is under way until its answer was sent, or nobody takes it any more. */
function whenDone(response: Response, done: () => void): Response {
  if (!isStream(response) || response.body === null) {
    done();
    return response;
  }
  const reader = response.body.getReader();
  let idle: ReturnType<typeof setTimeout> | undefined, ended = false;
  const end = () => {
    clearTimeout(idle);
    if (!ended) done();
    ended = true;
  };
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      clearTimeout(idle);
      try {
        const piece = await reader.read();
        if (piece.done) {
          end();
          controller.close();
          return;
        }
        controller.enqueue(piece.value);
      } catch (error) {
        end();
        controller.error(error);
        return;
      }
      // Nobody asks for more: the client takes nothing, though its connection stands.
      idle = setTimeout(() => {
        end();
        controller.error(new Error("The client takes nothing of the answer"));
        reader.cancel().catch(() => {});
      }, LIMITS.s3IdleMs);
    },
    async cancel(reason) {
      end();
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
  return new Response(stream, { status: response.status, headers: response.headers });
}
