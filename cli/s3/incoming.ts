/** The body of a request: read once, with a watch on how long nothing comes; what is left of it is drained. */
import { LIMITS } from "../../core/base/limits.ts";
import { S3Error } from "./errors.ts";

export class Incoming {
  readonly #stream: ReadableStream<Uint8Array> | null;
  #ended: boolean;

  constructor(request: Request) {
    this.#stream = request.body;
    this.#ended = request.body === null;
  }

  /** @throws {S3Error} RequestTimeout; IncompleteBody where the connection ends first */
  async *read(idleMs: number = LIMITS.s3IdleMs): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#stream === null || this.#ended) return;
    const reader = this.#stream.getReader();
    // One timer for the whole body, looked at now and then: one for each read would cost more than the read.
    let readAt = performance.now();
    const lateness = Promise.withResolvers<never>();
    lateness.promise.catch(() => {});
    const watch = setInterval(() => {
      if (performance.now() - readAt > idleMs) lateness.reject(new S3Error("RequestTimeout"));
    }, Math.min(1000, idleMs));
    try {
      while (true) {
        readAt = performance.now();
        const { done, value } = await Promise.race([reader.read(), lateness.promise]);
        readAt = Infinity;
        if (done) break;
        if (value.length > 0) yield value;
      }
      this.#ended = true;
    } catch (error) {
      if (error instanceof S3Error) throw error;
      this.#ended = true;
      throw new S3Error("IncompleteBody", "The connection ended before the body did");
    } finally {
      clearInterval(watch);
      reader.releaseLock();
    }
  }

  /** Of a small document. @throws {S3Error} MaxMessageLengthExceeded */
  static async whole(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of body) {
      length += piece.length;
      if (length > bytesMax) throw new S3Error("MaxMessageLengthExceeded");
      pieces.push(piece);
    }
    const whole = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  /**
   * Reads what little is left, so that a client that is still sending sees the answer and may use the connection again.
   * Where there is more than that, the server closes the connection. (A client that asks before it sends is told to send
   * by Deno, whatever comes then.)
   */
  async drain(): Promise<void> {
    if (this.#ended) return;
    const until = performance.now() + LIMITS.s3DrainMs;
    let bytes = 0;
    try {
      for await (const piece of this.read(LIMITS.s3DrainMs)) {
        bytes += piece.length;
        if (bytes > LIMITS.s3DrainBytesMax || performance.now() > until) return;
      }
    } catch { /* It is the refusal that is answered. */ }
  }
}
