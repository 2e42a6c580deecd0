import type { RefusalReason, Refused } from "../../core/wire/requests.ts";

/**
 * What the network refused. `reason` is for programs: "timeout", "no-leader" and "busy" may be tried again, "unsure"
 * is a write that may or may not have happened, the others stay as they are however often they are asked.
 */
export class RequestError extends Error {
  override readonly name = "RequestError";
  constructor(readonly reason: RefusalReason, message: string) {
    super(message);
  }

  /** The refusal of a response as an error. */
  static from(refused: Refused): RequestError {
    return new RequestError(refused.reason, refused.message);
  }
}

/** No node at any of the addresses given answered, or none would have this client. */
export class ConnectError extends Error {
  override readonly name = "ConnectError";
}
