/** The content of a request's body, with everything held against it that the client says of it. */
import { Buffer } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { releaseWhole } from "../../core/base/bytes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import type { Pair } from "../../core/objects/types.ts";
import type { ChunkSigner } from "./authenticate.ts";
import { AwsChunkedDecoder } from "./aws_chunked.ts";
import {
  type Algorithm,
  ALGORITHMS,
  CHECKSUM_PREFIX,
  CHECKSUM_TYPE,
  checksummer,
  parseAlgorithm,
  parseBase64,
  parseChecksum,
  toBase64,
} from "./checksums.ts";
import { parseWhole } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import { Incoming } from "./incoming.ts";
import { UNSIGNED_PAYLOAD } from "./signature.ts";

const SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER = `${SIGNED}-TRAILER`;
const UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

export interface BodySource {
  readonly headers: Headers;
  readonly incoming: Incoming;
  /** What x-amz-content-sha256 says, or UNSIGNED-PAYLOAD. */
  readonly payload: string;
  /** null: nobody checks signatures. */
  readonly signer: ChunkSigner | null;
}

/**
 * Reading it to the end without an error means that every byte is as the client meant it. The last piece is handed out
 * when that is known: whoever reads no further than the bytes announced has not got them all before.
 */
export class CheckedBody implements AsyncIterable<Uint8Array> {
  /** null: the client does not say how long it is. */
  readonly bytes: number | null;
  /** Hexadecimal: for whoever makes an MD5 anyway. */
  readonly md5: string | undefined;
  /** Why it could not be read to its end: more than what came of that elsewhere. */
  failure: S3Error | null = null;
  readonly #source: BodySource;
  readonly #sha256: string | null;
  readonly #decoder: AwsChunkedDecoder | null;
  readonly #checksums = new Map<
    Algorithm,
    { hash: ReturnType<typeof checksummer>; expected: string | null }
  >();
  #verified: Pair[] = [];
  #ended = false;

  /** @throws {S3Error} where what is said of it cannot be */
  constructor(source: BodySource) {
    const { headers, payload, signer } = source;
    this.#source = source;
    this.md5 = readMd5(headers);
    this.#readChecksumHeaders();
    const trailer = payload === SIGNED_TRAILER || payload === UNSIGNED_TRAILER;
    if (trailer || payload === SIGNED) {
      const bytes = readLength(headers, "x-amz-decoded-content-length");
      if (bytes === null) throw new S3Error("MissingContentLength");
      const trailers = trailer ? this.#readTrailerNames() : null;
      this.bytes = bytes;
      this.#sha256 = null;
      this.#decoder = new AwsChunkedDecoder({
        signed: payload !== UNSIGNED_TRAILER,
        signer,
        trailers,
        bytes,
      });
    } else {
      if (payload !== UNSIGNED_PAYLOAD && !/^[0-9a-f]{64}$/.test(payload)) {
        if (payload.startsWith("STREAMING-")) {
          throw new S3Error("NotImplemented", `The payload cannot be "${payload}" here`);
        }
        throw new S3Error(
          "InvalidArgument",
          "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-…, or a valid sha256 value",
        );
      }
      const none = !headers.has("content-length") && !headers.has("transfer-encoding");
      this.bytes = readLength(headers, "content-length") ?? (none ? 0 : null);
      this.#sha256 = payload === UNSIGNED_PAYLOAD ? null : payload;
      this.#decoder = null;
    }
    if (this.bytes !== null && this.bytes > LIMITS.s3BodyBytesMax) throw tooLarge();
  }

  /** Of the client's own checksums, those that the body was seen to have: once it has ended. */
  get verified(): readonly Pair[] {
    return this.#verified;
  }

  /** Of an empty one nobody may want to read anything, so it is held against what is said of it before. */
  async begin(): Promise<this> {
    if (this.bytes === 0) await Incoming.whole(this, 0);
    return this;
  }

  /** Where the body is not taken apart, each piece has memory of its own. */
  release(piece: Uint8Array): void {
    if (this.#decoder === null) releaseWhole(piece);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#ended) return;
    try {
      let held: Uint8Array | null = null;
      for await (const piece of this.#check()) {
        if (held !== null) yield held;
        held = piece;
      }
      this.#ended = true;
      if (held !== null) yield held;
    } catch (error) {
      this.failure = error instanceof S3Error ? error : null;
      throw error;
    }
  }

  async *#check(): AsyncGenerator<Uint8Array, void, undefined> {
    const sha: Hash | null = this.#sha256 === null ? null : createHash("sha256");
    let length = 0;
    for await (const input of this.#source.incoming.read()) {
      for (const piece of this.#decoder === null ? [input] : this.#decoder.push(input)) {
        length += piece.length;
        if (length > LIMITS.s3BodyBytesMax) throw tooLarge();
        sha?.update(piece);
        for (const { hash } of this.#checksums.values()) hash.update(piece);
        yield piece;
      }
    }
    const trailers = this.#decoder?.end();
    if (this.bytes !== null && length !== this.bytes) throw new S3Error("IncompleteBody");
    if (sha !== null && sha.digest("hex") !== this.#sha256) throw new S3Error("XAmzContentSHA256Mismatch");
    const verified: Pair[] = [];
    for (const [algorithm, { hash, expected }] of this.#checksums) {
      const name = `${CHECKSUM_PREFIX}${algorithm}`, made = toBase64(hash.digest());
      const given = expected ?? trailers?.get(name) ?? "";
      parseChecksum(algorithm, given);
      if (given !== made) {
        throw new S3Error("BadDigest", `The ${algorithm.toUpperCase()} given is not that of the body`);
      }
      verified.push([name, made]);
    }
    if (verified.length > 0) verified.push([CHECKSUM_TYPE, "FULL_OBJECT"]);
    this.#verified = verified;
  }

  #readChecksumHeaders(): void {
    const { headers } = this.#source;
    for (const algorithm of ALGORITHMS) {
      const value = headers.get(`${CHECKSUM_PREFIX}${algorithm}`);
      if (value === null) continue;
      parseChecksum(algorithm, value);
      this.#checksums.set(algorithm, { hash: checksummer(algorithm), expected: value });
    }
    if (this.#checksums.size > 1) {
      throw new S3Error("InvalidRequest", "Give one x-amz-checksum- header, not more");
    }
  }

  #readTrailerNames(): string[] {
    const names = (this.#source.headers.get("x-amz-trailer") ?? "").split(",")
      .map((name) => name.trim().toLowerCase()).filter((name) => name !== "");
    for (const name of names) {
      const algorithm = name.startsWith(CHECKSUM_PREFIX)
        ? parseAlgorithm(name.slice(CHECKSUM_PREFIX.length))
        : null;
      if (algorithm === null) {
        throw new S3Error("InvalidRequest", `The x-amz-trailer "${name}" is none that is known`);
      }
      this.#checksums.set(algorithm, { hash: checksummer(algorithm), expected: null });
    }
    if (this.#checksums.size > 1) throw new S3Error("InvalidRequest", "Give one checksum, not more");
    return names;
  }
}

function readLength(headers: Headers, name: string): number | null {
  const text = headers.get(name);
  if (text === null) return null;
  const length = parseWhole(text, 0, Number.MAX_SAFE_INTEGER);
  if (length === null) throw new S3Error("InvalidArgument", `"${text}" is no ${name}`);
  return length;
}

function readMd5(headers: Headers): string | undefined {
  const text = headers.get("content-md5");
  if (text === null) return undefined;
  const bytes = parseBase64(text);
  if (bytes?.length !== 16) throw new S3Error("InvalidDigest");
  return Buffer.from(bytes).toString("hex");
}

function tooLarge(): S3Error {
  return new S3Error("EntityTooLarge", "One put or part holds at most 5 GiB: upload in parts");
}
