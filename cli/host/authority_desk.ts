/**
 * Tells anyone whom to believe. The answer is the same for all, may have a megabyte, and costs who asks nothing, so it is
 * made once for each view, and no more of it goes out a second than a node can spare, to one address and in all.
 */
import { frame } from "../../core/wire/framing.ts";
import { type AuthorityAnswer, encodeAuthorityAnswer } from "./identity/authority_answer.ts";

const BYTES_PER_SECOND = 8 * 1024 * 1024;
const BYTES_PER_SECOND_OF_ONE = 1024 * 1024;
/** An answer counts as no less: a connection costs more than its bytes. */
const ANSWER_BYTES_LEAST = 4096;
const ADDRESSES_MAX = 4096;

interface Bucket {
  bytes: number;
  at: number;
}

export class AuthorityDesk {
  readonly #clock: () => number;
  readonly #all: Bucket;
  /** The one that asked last is the last one. */
  readonly #each = new Map<string, Bucket>();
  #made: { readonly of: object; readonly bytes: Uint8Array } | null = null;

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
    this.#all = { bytes: BYTES_PER_SECOND, at: clock() };
  }

  /** The frame of `answer()`, which stays as it is for as long as `of` is the same object. null: not now. */
  tell(source: string, of: object, answer: () => AuthorityAnswer): Uint8Array | null {
    if (this.#made?.of !== of) this.#made = { of, bytes: frame(encodeAuthorityAnswer(answer())) };
    const { bytes } = this.#made, cost = Math.max(ANSWER_BYTES_LEAST, bytes.length), now = this.#clock();
    const one = this.#bucketOf(source, now);
    fill(one, BYTES_PER_SECOND_OF_ONE, now);
    fill(this.#all, BYTES_PER_SECOND, now);
    // What is there suffices for one more, however large.
    if (one.bytes <= 0 || this.#all.bytes <= 0) return null;
    one.bytes -= cost;
    this.#all.bytes -= cost;
    return bytes;
  }

  #bucketOf(source: string, now: number): Bucket {
    const bucket = this.#each.get(source) ?? { bytes: BYTES_PER_SECOND_OF_ONE, at: now };
    this.#each.delete(source);
    this.#each.set(source, bucket);
    const [oldest] = this.#each.keys();
    if (this.#each.size > ADDRESSES_MAX) this.#each.delete(oldest!);
    return bucket;
  }
}

function fill(bucket: Bucket, perSecond: number, now: number): void {
  bucket.bytes = Math.min(perSecond, bucket.bytes + (now - bucket.at) * perSecond / 1000);
  bucket.at = now;
}
