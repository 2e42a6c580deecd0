/** The body of a request: read once, with a watch on how long nothing comes; what is left of it is drained. */
import { LIMITS } from "../../core/base/limits.ts";
import { S3Error } from "./errors.ts";

/** Of a long body pieces of this size are put together, each in memory of its own. */
const PIECE_BYTES = 1024 * 1024;
const LONG_BYTES_MIN = 256 * 1024;
const TAIL_BYTES = 4 * 1024;

export class Incoming {
  readonly #stream: ReadableStream<Uint8Array> | null;
  /** Announced; 0: nothing is, or it is not said how much. */
  readonly #bytes: number;
  #ended: boolean;

  constructor(request: Request) {
    this.#stream = request.body;
    this.#bytes = Number(request.headers.get("content-length") ?? 0);
    this.#ended = request.body === null;
  }

  /** @throws {S3Error} RequestTimeout; IncompleteBody where the connection ends first */
  async *read(idleMs: number = LIMITS.s3IdleMs): AsyncGenerator<Uint8Array, void, undefined> {
    yield* this.#pieces(idleMs, this.#bytes >= LONG_BYTES_MIN);
  }

  async *#pieces(idleMs: number, isLong: boolean): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#stream === null || this.#ended) return;
    const watched = new Watched(idleMs);
    const pieces = (isLong ? filledPieces(this.#stream, watched, this.#bytes) : null) ??
      piecesAsTheyCome(this.#stream, watched);
    try {
      for (let piece = await pieces.next(); piece !== null; piece = await pieces.next()) {
        if (piece.length > 0) yield piece;
      }
      this.#ended = true;
    } catch (error) {
      if (error instanceof S3Error) throw error;
      this.#ended = true;
      throw new S3Error("IncompleteBody", "The connection ended before the body did");
    } finally {
      watched.end();
      pieces.end();
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
      for await (const piece of this.#pieces(LIMITS.s3DrainMs, false)) {
        bytes += piece.length;
        if (bytes > LIMITS.s3DrainBytesMax || performance.now() > until) return;
      }
    } catch { /* It is the refusal that is answered. */ }
  }
}

interface Pieces {
  /** null: at the end. */
  next(): Promise<Uint8Array | null>;
  /** Somebody else may read on. */
  end(): void;
}

function piecesAsTheyCome(stream: ReadableStream<Uint8Array>, watched: Watched): Pieces {
  const reader = stream.getReader();
  return {
    async next() {
      const { done, value } = await watched.wait(reader.read());
      return done ? null : value;
    },
    end: () => reader.releaseLock(),
  };
}

/** null: the stream does not read into memory that it is given, as streams of connections do. */
function filledPieces(
  stream: ReadableStream<Uint8Array>,
  watched: Watched,
  announced: number,
): Pieces | null {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: "byob" });
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
  let left = announced;
  return {
    async next() {
      // Where all that was announced has come, the end is still to be seen.
      const bytes = left > 0 ? Math.min(PIECE_BYTES, left) : TAIL_BYTES;
      let buffer = new ArrayBuffer(bytes), filled = 0, ended = false;
      while (filled < bytes && !ended) {
        // The memory is handed over and comes back as another buffer.
        const { done, value } = await watched.wait(reader.read(new Uint8Array(buffer, filled)));
        if (value !== undefined) {
          buffer = value.buffer;
          filled += value.length;
        }
        ended = done;
      }
      left -= filled;
      return filled === 0 ? null : new Uint8Array(buffer, 0, filled);
    },
    end: () => reader.releaseLock(),
  };
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
  /** Ends the wait. */
  #late: ((error: S3Error) => void) | null = null;
  /** Since when something is waited for; Infinity: nothing is. */
  #since = Infinity;

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
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

  /**
   * Rejects with RequestTimeout where it takes too long. Without Promise.race(): of a promise that does not settle it would keep
   * all that was ever raced against it, the whole body that is.
   */
  async wait<T>(read: Promise<T>): Promise<T> {
    this.#since = performance.now();
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#late = reject;
        read.then(resolve, reject);
      });
    } finally {
      this.#since = Infinity;
      this.#late = null;
    }
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
    if (performance.now() - this.#since > this.#idleMs) this.#late?.(new S3Error("RequestTimeout"));
  }
}
