/**
 * Payloads of the frames that flow once both ends have said hello (session.ts): [tag, item, …], the items being peer
 * messages, requests or responses. Encoders leave `headroom` bytes in front for the header (see framing.ts); what
 * decoders return holds views of the payload, which must therefore never be written again.
 *
 * A receiver gets either all items of a frame or WireError.
 */
import { LIMITS } from "../base/limits.ts";
import { encode, Reader, type Wire, WireError } from "./cbor.ts";
import type { Message } from "./messages.ts";
import { messageWire, readMessage } from "./message_codec.ts";
import { readRequest, requestWire } from "./request_codec.ts";
import type { Request, Response } from "./requests.ts";
import { readResponse, responseWire } from "./response_codec.ts";
import { decodeWith } from "./shared_codec.ts";
import { FRAME } from "./tags.ts";

export { encode, Reader, type Wire, WireError, type WireErrorReason } from "./cbor.ts";
export { decodeWith } from "./shared_codec.ts";
export { WIRE_VERSION } from "./tags.ts";

/** One of several under way on a connection; `id` is the client's choice and comes back with the response. */
export interface ClientRequestFrame {
  readonly id: number;
  readonly request: Request;
}
export interface ClientResponseFrame {
  readonly id: number;
  readonly response: Response;
}

/** The payload that carries `messages`, all for one peer and in order. */
export function encodeMessages(messages: readonly Message[], headroom = 0): Uint8Array {
  const items: Wire[] = [FRAME.messages];
  for (let i = 0; i < messages.length; i++) items.push(messageWire(messages[i]!));
  return encode(items, headroom);
}

/** @throws {WireError} when `payload` is not one frame of well-formed messages */
export function decodeMessages(payload: Uint8Array): Message[] {
  const reader = new Reader(payload, TOLD);
  const count = openItems(reader, FRAME.messages);
  const messages: Message[] = [];
  for (let i = 0; i < count; i++) messages.push(readMessage(reader));
  reader.end();
  return messages;
}

/** @throws {TypeError} when a key or name has a lone surrogate */
export function encodeRequests(requests: readonly ClientRequestFrame[], headroom = 0): Uint8Array {
  const items: Wire[] = [FRAME.requests];
  for (let i = 0; i < requests.length; i++) items.push([requests[i]!.id, requestWire(requests[i]!.request)]);
  return encode(items, headroom);
}

/**
 * A frame holds no more requests than a client may have under way: so much work at once is bounded.
 * @throws {WireError} when `payload` is not one frame of well-formed requests
 */
export function decodeRequests(payload: Uint8Array): ClientRequestFrame[] {
  const reader = new Reader(payload, TOLD);
  const count = openItems(reader, FRAME.requests, LIMITS.requestsPerClientMax);
  const requests: ClientRequestFrame[] = [];
  for (let i = 0; i < count; i++) {
    reader.tuple(2);
    requests.push({ id: reader.integer(), request: readRequest(reader) });
  }
  reader.end();
  return requests;
}

/**
 * The ids of the requests in a frame that decodeRequests() refused, as far as they can be told: up to and with the
 * malformed one. So a host can answer them "invalid" and keep the connection.
 */
export function requestIds(payload: Uint8Array): number[] {
  const ids: number[] = [];
  const reader = new Reader(payload, TOLD);
  try {
    const count = openItems(reader, FRAME.requests, LIMITS.requestsPerClientMax);
    for (let i = 0; i < count; i++) {
      reader.tuple(2);
      ids.push(reader.integer());
      readRequest(reader);
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
  return ids;
}

export function encodeResponses(responses: readonly ClientResponseFrame[], headroom = 0): Uint8Array {
  const items: Wire[] = [FRAME.responses];
  for (let i = 0; i < responses.length; i++) {
    items.push([responses[i]!.id, responseWire(responses[i]!.response)]);
  }
  return encode(items, headroom);
}

/** @throws {WireError} when `payload` is not one frame of well-formed responses */
export function decodeResponses(payload: Uint8Array): ClientResponseFrame[] {
  const reader = new Reader(payload, TOLD);
  const count = openItems(reader, FRAME.responses);
  const responses: ClientResponseFrame[] = [];
  for (let i = 0; i < count; i++) {
    reader.tuple(2);
    responses.push({ id: reader.integer(), response: readResponse(reader) });
  }
  reader.end();
  return responses;
}

/** One message alone, for what keeps or compares messages outside of frames. */
export function encodeMessage(message: Message): Uint8Array {
  return encode(messageWire(message));
}
/** @throws {WireError} */
export function decodeMessage(bytes: Uint8Array): Message {
  return decodeWith(bytes, readMessage);
}
export function encodeRequest(request: Request): Uint8Array {
  return encode(requestWire(request));
}
/** @throws {WireError} */
export function decodeRequest(bytes: Uint8Array): Request {
  return decodeWith(bytes, readRequest);
}
export function encodeResponse(response: Response): Uint8Array {
  return encode(responseWire(response));
}
/** @throws {WireError} */
export function decodeResponse(bytes: Uint8Array): Response {
  return decodeWith(bytes, readResponse);
}

const TOLD = { told: true };

/** The number of items that follow the frame's tag, at most `max`. */
function openItems(reader: Reader, tag: number, max: number = LIMITS.arrayItemsMax - 1): number {
  const count = reader.array(max + 1);
  if (count === 0) reader.fail("arity", "A frame without a tag");
  const found = reader.integer();
  if (found !== tag) reader.fail("kind", `A frame has the tag ${found} instead of ${tag}`);
  return count - 1;
}
