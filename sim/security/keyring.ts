/**
 * What a simulated host keeps of a private network's secrets, in place of cli/host's keyring. Nothing is encrypted or
 * signed: a secret is a name that nobody else can guess, and the core sees no more of it than of a real one.
 */
import { createHash } from "node:crypto";
import type { Random } from "../../core/base/random.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { MemberIdentity, NetworkKey } from "../../core/wire/security.ts";

/**
 * One machine's keyring: its identity, and the secret of each generation that it has. It is written at once and durably,
 * as the real one is, so it survives every stop that its disk survives.
 *
 * Invariants:
 * 1. What was made here is kept until the network has agreed on another secret for that generation, or on none.
 * 2. `holds` counts what the network agreed on alone: a secret of two makers' race that lost it is worth nothing.
 */
export class Keyring {
  /** Its public key, by which the network knows it. */
  readonly key: string;
  readonly #secrets = new Map<number, string>();
  /** The oldest generation that something on its disk still needs. */
  uses = 0;

  constructor(random: Random) {
    this.key = drawHex(random, 64);
  }

  secret(generation: number): string | undefined {
    return this.#secrets.get(generation);
  }
  get generations(): readonly number[] {
    return [...this.#secrets.keys()].sort((a, b) => a - b);
  }

  put(generation: number, secret: string): void {
    this.#secrets.set(generation, secret);
  }

  /** Whether it has the secret that the network agreed on. */
  has({ id, authority }: NetworkKey): boolean {
    const secret = this.#secrets.get(id);
    return secret !== undefined && authority.length > 0 && isAuthorityOf(secret, authority);
  }

  /**
   * Drops what the view says is void: generations that it has passed by or forgotten, and those of which it knows another
   * authority. What is newer than the view may be agreed on by one that this node has not heard of.
   */
  reconcile({ security }: SystemView): void {
    if (security === null) return;
    const newest = security.keys.at(-1)?.id ?? 0;
    for (const id of this.generations) {
      const known = security.keys.find((key) => key.id === id);
      if (known === undefined ? id < newest : known.authority.length > 0 && !this.has(known)) {
        this.#secrets.delete(id);
      }
    }
  }

  /** What it tells the network of itself, as far as `view` goes. */
  identity({ security }: SystemView): MemberIdentity {
    let holds = 0;
    for (const key of security?.keys ?? []) if (this.has(key)) holds = key.id;
    return this.identityWith(holds);
  }
  identityWith(holds: number): MemberIdentity {
    const uses = Math.min(this.uses, holds);
    return { key: this.key, holds, uses, statement: statementOf(this.key, holds) };
  }
}

/** Digits in lower case. */
export function drawHex(random: Random, digits: number): string {
  let text = "";
  while (text.length < digits) text += random.uint32().toString(16).padStart(8, "0");
  return text.slice(0, digits);
}

/** The public part of a generation's secret: stands for the certificate of its authority. */
export function authorityOf(secret: string): Uint8Array {
  return createHash("sha256").update(`authority ${secret}`).digest();
}

function isAuthorityOf(secret: string, authority: Uint8Array): boolean {
  return createHash("sha256").update(`authority ${secret}`).digest("hex") ===
    Uint8Array.from(authority).toHex();
}

/** Stands for the signature that MemberIdentity.statement is. */
function statementOf(key: string, generation: number): Uint8Array {
  return generation === 0
    ? new Uint8Array(0)
    : createHash("sha512").update(`statement ${key} ${generation}`).digest();
}

/** SHA-256 of bytes given, and told, in hexadecimal digits. */
export function sha256Hex(hex: string): string {
  return createHash("sha256").update(hex, "hex").digest("hex");
}
