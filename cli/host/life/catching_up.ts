import { askAuthorities } from "../ask_authorities.ts";
import type { AuthorityAnswer } from "../identity/authority_answer.ts";

export interface CatchingUpOptions {
  /** Where members may be. Asked before each try. */
  readonly addresses: () => readonly string[];
  /** What somebody says of the network's authorities. True: that was news, and believed. */
  readonly heard: (answer: AuthorityAnswer) => boolean;
}

/**
 * Who was away while keys rotated meets members whose certificates are by an authority that it does not know. It asks
 * them, one after the other, whom to believe now, until it is told enough (Z7 of network_keys.ts) or its view
 * lists newer ones.
 */
export class CatchingUp {
  readonly #options: CatchingUpOptions;
  readonly #stop = new AbortController();
  #asking = false;
  #pauseMs = PAUSE_MS_MIN;
  #next = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: CatchingUpOptions) {
    this.#options = options;
  }

  /** A member showed a certificate by another authority. */
  begin(): void {
    if (this.#asking || this.#timer !== null || this.#stop.signal.aborted) return;
    this.#pauseMs = PAUSE_MS_MIN;
    void this.#ask();
  }

  /** The view lists newer ones. */
  done(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  close(): void {
    this.#stop.abort();
    this.done();
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    const learned = await this.#learnsFromOne();
    this.#asking = false;
    if (learned || this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#ask();
    }, this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MS_MAX);
  }

  async #learnsFromOne(): Promise<boolean> {
    const addresses = this.#options.addresses();
    if (addresses.length === 0) return false;
    let answer;
    try {
      answer = await askAuthorities(addresses[this.#next++ % addresses.length]!, this.#stop.signal);
    } catch {
      return false; // nobody there, or no node: the next one may be
    }
    return !this.#stop.signal.aborted && this.#options.heard(answer);
  }
}

const PAUSE_MS_MIN = 500;
/** An evicted node may ask for as long as it runs. */
const PAUSE_MS_MAX = 30_000;
