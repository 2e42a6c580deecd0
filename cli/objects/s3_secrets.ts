/**
 * Secrets with which access keys sign S3 requests. Signatures of S3 are made and checked with the same secret, so the network
 * has to keep it: in a row that members alone read (Z8 of core/node/rights.ts), encrypted wherever it lies.
 */
import { utf8Decode, utf8Encode } from "../../core/base/bytes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { ObjectError } from "../../core/objects/types.ts";
import { secretRow } from "../../core/objects/rows.ts";
import type { Response } from "../../core/wire/requests.ts";
import type { Requests } from "./drive.ts";

const SECRET_BYTES = 32;
/** What was found is believed for so long: whoever revokes a key or its secret waits this long at most. */
const KEPT_MS = 5000;
/** That there is none: whoever has just made one does not wait. */
const ABSENT_KEPT_MS = 1000;

/** 43 characters of base64url. */
export function makeS3Secret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** What the row of a secret holds. */
export function secretValue(secret: string): Uint8Array {
  return utf8Encode(secret);
}

interface Known {
  readonly secret: Promise<string | null>;
  untilMs: number;
}

/** What a node knows of secrets, asked as the member that it is. Remembers a bounded number for a few seconds. */
export class S3Secrets {
  readonly #client: Requests;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();

  constructor(client: Requests, now: () => number = () => performance.now()) {
    this.#client = client;
    this.#now = now;
  }

  /**
   * null: there is no such access key any more, or it has no secret.
   * @throws {ObjectError} where nobody can say now
   */
  secretOf(id: string): Promise<string | null> {
    // Whoever knocks may write anything there.
    if (id.length === 0 || id.length > LIMITS.accessIdBytesMax || !/^[\x21-\x7e]+$/.test(id)) {
      return Promise.resolve(null);
    }
    const now = this.#now(), known = this.#known.get(id);
    if (known !== undefined && known.untilMs > now) return known.secret;
    const asked: Known = { secret: this.#ask(id), untilMs: Infinity };
    this.#remember(id, asked);
    asked.secret.then((secret) => {
      asked.untilMs = this.#now() + (secret === null ? ABSENT_KEPT_MS : KEPT_MS);
    }, () => {
      if (this.#known.get(id) === asked) this.#known.delete(id);
    });
    return asked.secret;
  }

  async #ask(id: string): Promise<string | null> {
    const layout = await this.#client.request({ kind: "layout" });
    if (layout.kind !== "layout") throw unanswered(layout);
    const access = layout.view.security?.access ?? [];
    if (!access.some((key) => key.id === id)) return null;
    const response = await this.#client.request({ kind: "get", key: secretRow(id), read: "linearizable" });
    if (response.kind !== "value") throw unanswered(response);
    return textOf(response.found?.value ?? null);
  }

  /** The ones asked for longest ago go first. */
  #remember(id: string, known: Known): void {
    this.#known.delete(id);
    this.#known.set(id, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= LIMITS.accessKeysMax) break;
      this.#known.delete(oldest);
    }
  }
}

/** Who may administer an access key may write anything there; with what is no text nobody signs. */
function textOf(value: Uint8Array | null): string | null {
  if (value === null || value.length === 0) return null;
  try {
    return utf8Decode(value);
  } catch {
    return null;
  }
}

function unanswered(response: Response): ObjectError {
  const why = response.kind === "refused" ? response.message : `it answered "${response.kind}"`;
  return new ObjectError("unavailable", `The node cannot look up who signed: ${why}`);
}
