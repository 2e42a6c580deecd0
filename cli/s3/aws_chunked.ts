/**
 * The body format "aws-chunked": chunks with their length, and a signature or not, in front; trailers after them or not.
 * Read as it comes, in constant memory, however it is cut.
 *
 * A chunk's bytes are handed on before its signature is seen to be right: whoever takes them commits nothing before
 * end() has returned.
 */
import { createHash, type Hash } from "node:crypto";
import { LIMITS } from "../../core/base/limits.ts";
import type { ChunkSigner } from "./authenticate.ts";
import { S3Error } from "./errors.ts";
import { EMPTY_SHA256, sameSignature, sign } from "./signature.ts";

export interface AwsChunkedOptions {
  /** Chunks carry signatures. */
  readonly signed: boolean;
  /** What they are held against; null: nobody checks them (open network). */
  readonly signer: ChunkSigner | null;
  /** Names of the trailers that come; null: none may. */
  readonly trailers: readonly string[] | null;
  /** Of all chunks together. */
  readonly bytes: number;
}

type State = "head" | "data" | "data-end" | "trailer" | "done";

export class AwsChunkedDecoder {
  readonly #options: AwsChunkedOptions;
  #state: State = "head";
  /** Of the line that is being read; a line never goes on past its bound. */
  #line: number[] = [];
  /** What the chunk and all of them lack. */
  #chunkLeft = 0;
  #left: number;
  #chunkSignature = "";
  #last = false;
  #previous: string;
  #hash: Hash;
  #trailerBytes = 0;
  readonly #trailers = new Map<string, string>();
  #trailerSignature: string | null = null;

  constructor(options: AwsChunkedOptions) {
    this.#options = options;
    this.#left = options.bytes;
    this.#previous = options.signer?.seed ?? "";
    this.#hash = createHash("sha256");
  }

  /** The content in what came, as views of it. @throws {S3Error} */
  push(input: Uint8Array): Uint8Array[] {
    const content: Uint8Array[] = [];
    let at = 0;
    while (at < input.length) {
      if (this.#state === "data") {
        const piece = input.subarray(at, at + this.#chunkLeft);
        at += piece.length;
        this.#chunkLeft -= piece.length;
        if (this.#options.signer !== null && this.#options.signed) this.#hash.update(piece);
        content.push(piece);
        if (this.#chunkLeft === 0) this.#state = "data-end";
      } else if (this.#state === "done") {
        throw new S3Error("InvalidRequest", "The body goes on after its last chunk");
      } else {
        const line = this.#readLine(input[at++] ?? 0);
        if (line !== null) this.#takeLine(line);
      }
    }
    return content;
  }

  /** The trailers. @throws {S3Error} where the body is not complete */
  end(): ReadonlyMap<string, string> {
    if (this.#state !== "done" || this.#left !== 0) throw new S3Error("IncompleteBody");
    return this.#trailers;
  }

  #readLine(byte: number): string | null {
    const line = this.#line;
    line.push(byte);
    if (this.#state === "data-end" && line.length <= 2 && byte !== (line.length === 1 ? 13 : 10)) {
      throw new S3Error("InvalidRequest", "A chunk of the body is longer than it says");
    }
    if (this.#state === "trailer") this.#trailerBytes++;
    if (line.length > (this.#state === "head" ? LIMITS.s3ChunkHeadBytesMax : LIMITS.s3TrailerBytesMax)) {
      throw new S3Error("InvalidRequest", "A chunk of the body has no head that could be one");
    }
    if (this.#trailerBytes > LIMITS.s3TrailerBytesMax) throw new S3Error("MalformedTrailerError");
    if (byte !== 10 || line[line.length - 2] !== 13) return null;
    const text = String.fromCharCode(...line.slice(0, -2));
    this.#line = [];
    return text;
  }

  #takeLine(line: string): void {
    switch (this.#state) {
      case "head":
        return this.#takeHead(line);
      case "data-end":
        this.#endChunk();
        this.#state = this.#last ? "done" : "head";
        return;
      case "trailer":
        return this.#takeTrailer(line.trim());
      case "data":
      case "done":
        return;
    }
  }

  #takeHead(line: string): void {
    const match =
      (this.#options.signed
        ? /^([0-9a-fA-F]{1,12});chunk-signature=([0-9a-f]{64})$/
        : /^([0-9a-fA-F]{1,12})()(?:;.*)?$/).exec(line);
    if (match === null) {
      throw new S3Error("InvalidRequest", "A chunk of the body has no head that could be one");
    }
    this.#chunkLeft = parseInt(match[1] ?? "", 16);
    this.#chunkSignature = match[2] ?? "";
    if (this.#chunkLeft > this.#left) {
      throw new S3Error("IncompleteBody", "The body has more bytes than x-amz-decoded-content-length says");
    }
    this.#left -= this.#chunkLeft;
    if (this.#chunkLeft > 0) {
      this.#state = "data";
      return;
    }
    this.#last = true;
    if (this.#options.trailers === null) this.#state = "data-end";
    else {
      this.#endChunk();
      this.#state = "trailer";
    }
  }

  #endChunk(): void {
    const { signed, signer } = this.#options;
    if (!signed || signer === null) return;
    const hash = this.#hash.digest("hex");
    this.#hash = createHash("sha256");
    this.#hold(
      `AWS4-HMAC-SHA256-PAYLOAD\n${signer.amzDate}\n${signer.scope}\n${this.#previous}\n${EMPTY_SHA256}\n${hash}`,
      this.#chunkSignature,
    );
  }

  #takeTrailer(line: string): void {
    if (line === "") return this.#endTrailers();
    const at = line.indexOf(":"), name = line.slice(0, at).toLowerCase(), value = line.slice(at + 1).trim();
    if (at < 1) throw new S3Error("MalformedTrailerError");
    if (name === "x-amz-trailer-signature") {
      if (this.#trailerSignature !== null) throw new S3Error("MalformedTrailerError");
      this.#trailerSignature = value;
    } else if (this.#options.trailers?.includes(name) && !this.#trailers.has(name)) {
      this.#trailers.set(name, value);
    } else {
      throw new S3Error("MalformedTrailerError", "The trailers are not those that x-amz-trailer names");
    }
  }

  #endTrailers(): void {
    const { signed, signer, trailers } = this.#options;
    if (trailers?.some((name) => !this.#trailers.has(name))) {
      throw new S3Error("MalformedTrailerError", "The trailers are not those that x-amz-trailer names");
    }
    if (signed && signer !== null) {
      const lines = [...this.#trailers].map(([name, value]) => `${name}:${value}\n`).join("");
      const hash = createHash("sha256").update(lines, "latin1").digest("hex");
      this.#hold(
        `AWS4-HMAC-SHA256-TRAILER\n${signer.amzDate}\n${signer.scope}\n${this.#previous}\n${hash}`,
        this.#trailerSignature ?? "",
      );
    }
    this.#state = "done";
  }

  #hold(text: string, given: string): void {
    const { signer } = this.#options;
    if (signer === null) return;
    const expected = sign(signer.key, text);
    if (!sameSignature(expected, given)) {
      throw new S3Error("SignatureDoesNotMatch", "The signature of a chunk of the body is not right");
    }
    this.#previous = expected;
  }
}
