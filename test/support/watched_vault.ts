import { type Cipher, NONCE_BYTES, Vault } from "../../core/base/vault.ts";

/** Every use of a nonce, over any number of vaults, files and lives. */
export type NoncesSeen = Set<string>;

/** A vault whose ciphers throw where a nonce is to seal a second time under one key (K2), whatever it seals. */
export class WatchedVault extends Vault {
  readonly #seen: NoncesSeen;

  constructor(secrets: ReadonlyMap<number, Uint8Array>, current: number, seen: NoncesSeen) {
    super(secrets, current);
    this.#seen = seen;
  }

  override cipher(purpose: string, generation: number, salt: Uint8Array): Cipher {
    const cipher = super.cipher(purpose, generation, salt);
    const key = `${purpose} ${generation} ${salt.toHex()}`;
    return {
      ...cipher,
      seal: (nonce, text, additional) => {
        const use = `${key} ${nonce.subarray(0, NONCE_BYTES).toHex()}`;
        if (this.#seen.has(use)) throw new Error(`A nonce is used twice: ${use}`);
        this.#seen.add(use);
        return cipher.seal(nonce, text, additional);
      },
    };
  }
}
