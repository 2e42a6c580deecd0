import { Vault } from "../../../core/base/vault.ts";

/** The key generations of a vault, in a form that can be handed to another thread. A vault gives its secrets to nobody. */
export interface TablesKeys {
  readonly secrets: ReadonlyMap<number, Uint8Array>;
  /** 0: nothing is encrypted. */
  readonly current: number;
}

/** Of an open network. */
export const NO_KEYS: TablesKeys = { secrets: new Map(), current: 0 };

export function vaultOf({ secrets, current }: TablesKeys): Vault {
  return new Vault(secrets, current);
}
