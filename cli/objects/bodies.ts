/** Bodies of objects between those who have or want them and the programs: in the sizes that these ask for, few copies. */
import type { Body } from "./store.ts";

/** What is written: bytes in exact numbers out of pieces of any. */
export class BodySource {
  readonly #pieces: Pieces;
  #piece: Uint8Array = NOTHING;
  /** Of the piece taken last, what nobody has yet. */
  #rest: Uint8Array = NOTHING;
  /** A whole piece that was given out, and is the reader's until it reads again. */
  #given: Uint8Array | null = null;
  #ended = false;

  constructor(body: Body) {
    this.#pieces = body instanceof ReadableStream ? streamPieces(body) : iterablePieces(body);
  }

  /** Exactly `bytes`, fewer only at the end. A view of what came where that is whole in one piece, a copy else. */
  async read(bytes: number): Promise<Uint8Array> {
    if (this.#given !== null) this.#pieces.release(this.#given);
    this.#given = null;
    const taken: Uint8Array[] = [];
    let count = 0;
    while (count < bytes) {
      if (this.#rest.length === 0 && !(await this.#next())) break;
      const part = this.#rest.subarray(0, bytes - count);
      this.#rest = this.#rest.subarray(part.length);
      taken.push(part);
      count += part.length;
    }
    if (taken.length !== 1) return joined(taken, count);
    if (count === this.#piece.length) this.#given = this.#piece;
    return taken[0]!;
  }

  /** Nobody reads on. */
  cancel(): void {
    this.#ended = true;
    this.#rest = NOTHING;
    this.#pieces.cancel();
  }

  /** False: it has ended. */
  async #next(): Promise<boolean> {
    while (!this.#ended) {
      const piece = await this.#pieces.next();
      if (piece === null) this.#ended = true;
      else if (!(piece instanceof Uint8Array)) {
        throw new TypeError(`A body is made of Uint8Arrays, not ${typeof piece}`);
      } else if (piece.length > 0) {
        this.#piece = this.#rest = piece;
        return true;
      }
    }
    return false;
  }
}

const NOTHING = new Uint8Array(0);

interface Pieces {
  next(): Promise<Uint8Array | null>;
  release(piece: Uint8Array): void;
  /** At once, also while a piece is waited for. */
  cancel(): void;
}

function streamPieces(stream: ReadableStream<Uint8Array>): Pieces {
  const reader = stream.getReader();
  return {
    async next() {
      const { value, done } = await reader.read();
      return done ? null : value;
    },
    release: () => {},
    cancel: () => void reader.cancel().catch(() => {}),
  };
}

function iterablePieces(body: Exclude<Body, ReadableStream>): Pieces {
  const iterator = body[Symbol.asyncIterator]();
  return {
    async next() {
      const { value, done } = await iterator.next();
      return done === true ? null : value;
    },
    release: (piece) => body.release?.(piece),
    cancel: () => void iterator.return?.().catch(() => {}),
  };
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * What is read: pieces pass from a program to whoever takes them, one in between. `begin` is called when the first is wanted,
 * `cancelled` when none is any more.
 */
export class BodySink implements AsyncIterableIterator<Uint8Array> {
  readonly #begin: () => void;
  readonly #cancelled: () => void;
  #begun = false;
  #piece: Uint8Array | null = null;
  #end: { readonly error: unknown } | "whole" | null = null;
  #taken: (() => void) | null = null;
  #came: (() => void) | null = null;
  #closed = false;

  constructor({ begin, cancelled }: { readonly begin: () => void; readonly cancelled: () => void }) {
    this.#begin = begin;
    this.#cancelled = cancelled;
  }

  /** Resolves when the one before was taken. */
  async write(bytes: Uint8Array): Promise<void> {
    while (this.#piece !== null && !this.#closed) {
      await new Promise<void>((taken) => this.#taken = taken);
    }
    if (this.#closed || bytes.length === 0) return;
    this.#piece = bytes;
    this.#wakeTaker();
  }

  /** Nothing follows; `error`: because of that. */
  end(failure?: { readonly error: unknown }): void {
    this.#end ??= failure ?? "whole";
    this.#wakeTaker();
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#begun && !this.#closed) {
      this.#begun = true;
      this.#begin();
    }
    for (;;) {
      const piece = this.#piece;
      if (piece !== null && !this.#closed) {
        this.#piece = null;
        this.#wakeWriter();
        return { done: false, value: piece };
      }
      if (this.#closed) return { done: true, value: undefined };
      if (this.#end !== null) {
        this.#closed = true;
        if (this.#end === "whole") return { done: true, value: undefined };
        throw this.#end.error;
      }
      await new Promise<void>((came) => this.#came = came);
    }
  }

  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#closed) {
      this.#closed = true;
      this.#piece = null;
      if (this.#begun && this.#end === null) this.#cancelled();
      this.#wakeWriter();
      this.#wakeTaker();
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #wakeTaker(): void {
    const came = this.#came;
    this.#came = null;
    came?.();
  }
  #wakeWriter(): void {
    const taken = this.#taken;
    this.#taken = null;
    taken?.();
  }
}
