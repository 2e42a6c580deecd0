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
    const watched = new Watched(idleMs);
    try {
      while (true) {
        watched.readAt = performance.now();
        const { done, value } = await Promise.race([reader.read(), watched.late]);
        watched.readAt = Infinity;
        if (done) break;
        if (value.length > 0) yield value;
      }
      this.#ended = true;
    } catch (error) {
      if (error instanceof S3Error) throw error;
      this.#ended = true;
      throw new S3Error("IncompleteBody", "The connection ended before the body did");
    } finally {
      watched.end();
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

interface Clock {
  readonly timer: ReturnType<typeof setInterval>;
  readonly bodies: Set<Watched>;
}

/**
 * A body that is being read. One timer for all that have the same patience, looked at now and then: one for each would
 * cost more than many a body.
 */
class Watched {
  static readonly #clocks = new Map<number, Clock>();
  readonly #idleMs: number;
  readonly #lateness = Promise.withResolvers<never>();
  /** Since when something is waited for; Infinity: nothing is. */
  readAt = performance.now();

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
    this.#lateness.promise.catch(() => {});
    const clock = Watched.#clocks.get(idleMs) ?? Watched.#start(idleMs);
    clock.bodies.add(this);
  }

  static #start(idleMs: number): Clock {
    const bodies = new Set<Watched>();
    const timer = setInterval(() => bodies.forEach((body) => body.#look()), Math.min(1000, idleMs));
    const clock = { timer, bodies };
    Watched.#clocks.set(idleMs, clock);
    return clock;
  }

  /** Rejects with RequestTimeout. */
  get late(): Promise<never> {
    return this.#lateness.promise;
  }

  end(): void {
    const clock = Watched.#clocks.get(this.#idleMs);
    if (clock === undefined) return;
    clock.bodies.delete(this);
    if (clock.bodies.size > 0) return;
    clearInterval(clock.timer);
    Watched.#clocks.delete(this.#idleMs);
  }

  #look(): void {
    if (performance.now() - this.readAt > this.#idleMs) this.#lateness.reject(new S3Error("RequestTimeout"));
  }
}
