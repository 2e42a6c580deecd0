/** What programs ask of their driver, with the types of the answers; and what refusals come to. */
import { invariant, unreachable } from "../../base/invariant.ts";
import type { KeyValue, Op, RefusalReason, Refused, Response } from "../../wire/requests.ts";
import { ObjectError, type ObjectProblem, type Program } from "../types.ts";

/** Begun; to be waited for once, or dropped. */
export function* begin(op: Op): Program<number> {
  const ticket = yield { kind: "begin", op };
  invariant(typeof ticket === "number", "The answer to begin is a ticket");
  return ticket;
}
export function* wait(ticket: number): Program<Response> {
  const response = yield { kind: "wait", ticket };
  invariant(
    typeof response === "object" && !(response instanceof Uint8Array),
    "The answer to wait is a response",
  );
  return response;
}
export function* drop(ticket: number): Program<void> {
  yield { kind: "drop", ticket };
}
export function* ask(op: Op): Program<Response> {
  return yield* wait(yield* begin(op));
}
export function* readBody(bytes: number): Program<Uint8Array> {
  return bytesOf(yield { kind: "read", bytes });
}
export function* writeBody(bytes: Uint8Array): Program<void> {
  yield { kind: "write", bytes };
}
export function* random(bytes: number): Program<Uint8Array> {
  return bytesOf(yield { kind: "random", bytes });
}
export function* now(): Program<number> {
  const ms = yield { kind: "now" };
  invariant(typeof ms === "number", "The answer to now is a number");
  return ms;
}

/** The row of that name as it is now, null where there is none. */
export function* getRow(key: string): Program<KeyValue | null> {
  return foundIn(yield* ask(getOp(key)));
}
/** Several rows at once. */
export function* getRows(keys: readonly string[]): Program<(KeyValue | null)[]> {
  const found: (KeyValue | null)[] = [];
  for (const response of yield* askAll(keys.map(getOp))) found.push(foundIn(response));
  return found;
}

/** Operations under way of one program that does many. */
export const OPS_UNDER_WAY = 16;

/** All of them, as many at a time as may be under way. */
export function* askAll(ops: readonly Op[]): Program<Response[]> {
  const responses: Response[] = [], tickets: number[] = [];
  for (const op of ops) {
    if (tickets.length - responses.length === OPS_UNDER_WAY) {
      responses.push(yield* wait(tickets[responses.length]!));
    }
    tickets.push(yield* begin(op));
  }
  while (responses.length < tickets.length) responses.push(yield* wait(tickets[responses.length]!));
  return responses;
}

/**
 * What a write that was asked for came to. unknown: it may have been applied, or may yet be; who needs to know looks at what is
 * there.
 */
export function outcomeOf(response: Response): "known" | "unknown" {
  if (response.kind !== "refused") return "known";
  return response.reason === "unsure" || response.reason === "timeout" ||
      response.reason === "session-expired"
    ? "unknown"
    : "known";
}

/** The error that a refusal comes to; `conflict` and `notFound` say what these two mean where it was asked. */
export function errorOf(
  refused: Refused,
  { conflict = "unavailable", notFound = "unavailable" }: {
    readonly conflict?: ObjectProblem;
    readonly notFound?: ObjectProblem;
  } = {},
): ObjectError {
  return new ObjectError(problemOf(refused.reason, conflict, notFound), refused.message);
}

function problemOf(reason: RefusalReason, conflict: ObjectProblem, notFound: ObjectProblem): ObjectProblem {
  switch (reason) {
    case "invalid":
    case "too-large":
    case "no-space":
    case "denied":
      return reason;
    case "conflict":
      return conflict;
    case "not-found":
      return notFound;
    case "no-leader":
    case "moved":
    case "busy":
    case "timeout":
    case "unsure":
    case "session-expired":
    case "foreign":
    case "closing":
    case "down":
      return "unavailable";
    default:
      return unreachable(reason);
  }
}

/** For an answer of a kind that the question cannot have. */
export function strange(response: Response): ObjectError {
  if (response.kind === "refused") return errorOf(response);
  return new ObjectError(
    "unavailable",
    `The node answered with "${response.kind}", which is no answer to what was asked; update it`,
  );
}

function getOp(key: string): Op {
  return { kind: "get", key, read: "linearizable" };
}
function foundIn(response: Response): KeyValue | null {
  if (response.kind !== "value") throw strange(response);
  return response.found;
}
function bytesOf(answer: unknown): Uint8Array {
  invariant(answer instanceof Uint8Array, "The answer to read and random is bytes");
  return answer;
}
