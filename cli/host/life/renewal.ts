/**
 * Has files that need former keys written anew, as long as there are some: only then can the network let go of those
 * keys.
 */
import type { NetworkKeys } from "./network_keys.ts";

/** How often is looked how far it is, and after how many looks it is begun again. */
const LOOK_MS = 500;
const LOOKS = 120;

export interface RenewalOptions {
  readonly keys: NetworkKeys;
  /** Of the keys that the files need. */
  readonly generations: () => readonly number[];
  /** Begins to write them with the current key. */
  readonly rewrite: () => void;
  /** Does it, and ends the life where that throws. */
  readonly orEnd: (what: () => void) => void;
}

export class FileRenewal {
  readonly #options: RenewalOptions;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  begin(): void {
    this.close();
    if (this.#isDone()) return;
    this.#options.rewrite();
    this.#lookLater(LOOKS);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #lookLater(left: number): void {
    this.#timer = setTimeout(() => this.#options.orEnd(() => this.#look(left)), LOOK_MS);
  }

  /** What is no longer needed is told, and forgotten once the network has. After `left` looks it is begun again. */
  #look(left: number): void {
    const { keys } = this.#options;
    keys.tell();
    keys.forget();
    if (this.#isDone()) this.#timer = null;
    else if (left === 0) this.begin();
    else this.#lookLater(left - 1);
  }

  #isDone(): boolean {
    const { keys, generations } = this.#options;
    return generations().every((id) => id === keys.current);
  }
}
