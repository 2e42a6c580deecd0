/** Answers, before app.ts adds what all of them have. */
import type { ObjectStore } from "../objects/store.ts";
import type { Call } from "./call.ts";
import { asS3Error, type S3Error } from "./errors.ts";
import { type Xml, xml, XML_DECLARATION, xmlDocument, xmlElement } from "./xml.ts";

const streams = new WeakSet<Response>();

/**
 * An answer that is made while it is sent, and not before it is asked for: whoever counts requests waits for its end.
 * It is known by itself and not by its body, for to look at the body of any answer would make a stream of that.
 */
export function streamResponse(source: UnderlyingDefaultSource<Uint8Array>, init: ResponseInit): Response {
  const response = new Response(new ReadableStream<Uint8Array>(source, { highWaterMark: 0 }), init);
  streams.add(response);
  return response;
}

export function isStream(response: Response): boolean {
  return streams.has(response);
}

export function xmlResponse(root: Xml, headers: Headers = new Headers()): Response {
  headers.set("content-type", "application/xml");
  return new Response(xmlDocument(root), { headers });
}

export function empty(status = 204, headers: Headers = new Headers()): Response {
  // An empty text and not null: a put that is answered has a Content-Length.
  return new Response(status === 204 || status === 304 ? null : "", { status, headers });
}

/** Where the answer was begun before the error came, the error comes in it; a client of S3 looks for that. */
export function errorElement(error: S3Error, requestId: string, resource: string): Xml {
  return xml("Error", [
    xml("Code", error.code),
    xml("Message", error.message),
    ...error.details.map(([name, value]) => xml(name, value)),
    xml("Resource", resource),
    xml("RequestId", requestId),
    xml("HostId", hostId(requestId)),
  ]);
}

export function hostId(requestId: string): string {
  return btoa(`space-opera:${requestId}`);
}

/** How long something may take before its answer is begun, and how often something is sent then. */
const PATIENCE_MS = 10_000;

/**
 * The answer to what may take long (copies, completing an upload): after a while it is begun, and blanks go on telling
 * the client and whatever is between that it is being worked on.
 */
export async function patiently(
  work: Promise<{ readonly root: Xml; readonly headers: Headers }>,
  tell: { readonly requestId: string; readonly resource: string; readonly patienceMs?: number },
): Promise<Response> {
  const patienceMs = tell.patienceMs ?? PATIENCE_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const first = await Promise.race([
    work,
    new Promise<null>((resolve) => timer = setTimeout(() => resolve(null), patienceMs)),
  ]).finally(() => clearTimeout(timer));
  if (first !== null) return xmlResponse(first.root, first.headers);
  const encoder = new TextEncoder();
  let blanks: ReturnType<typeof setInterval> | undefined;
  return streamResponse({
    async start(controller) {
      const send = (text: string) => {
        try {
          controller.enqueue(encoder.encode(text));
        } catch {
          clearInterval(blanks); // The client is gone.
        }
      };
      send(XML_DECLARATION);
      blanks = setInterval(() => send(" "), patienceMs);
      try {
        send(xmlElement((await work).root));
      } catch (error) {
        send(xmlElement(errorElement(asS3Error(error), tell.requestId, tell.resource)));
      }
      clearInterval(blanks);
      try {
        controller.close();
      } catch { /* The client is gone. */ }
    },
    cancel: () => clearInterval(blanks),
  }, { headers: { "content-type": "application/xml" } });
}

export interface Context {
  readonly call: Call;
  readonly store: ObjectStore;
  readonly region: string;
  readonly requestId: string;
}
export type Handler = (context: Context) => Promise<Response>;
