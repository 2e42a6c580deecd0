/** Makes invites and the tokens that carry them, for the commands, the demo and the tests. */
import type { SystemView } from "../core/wire/messages.ts";
import type { Security } from "../core/wire/security.ts";
import type { Client } from "./client/client.ts";
import { securityOf } from "./commands/private.ts";
import { fingerprint } from "./host/identity/certificates.ts";
import {
  drawInvite,
  formatToken,
  TOKEN_ADDRESSES_MAX,
  TOKEN_FINGERPRINTS_MAX,
} from "./host/identity/token.ts";
import { isFormer } from "../core/wire/members.ts";

export interface InviteOptions {
  readonly ttlMs: number;
  readonly uses: number;
  /** null: where the new node says. */
  readonly zone: string | null;
  /** Where the network is found; by default where its members are. */
  readonly addresses?: readonly string[];
}

export interface MadeInvite {
  readonly id: string;
  /** A secret, as long as it is good. */
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
  readonly addresses: readonly string[];
}

/** @throws {Error} where the network is open */
export async function makeInvite(client: Client, options: InviteOptions): Promise<MadeInvite> {
  const { view } = await client.layout();
  const security = securityOf(view);
  const { id, secret, hash } = drawInvite();
  const { ttlMs, uses, zone, addresses = addressesOf(view) } = options;
  const expiresMs = Date.now() + ttlMs;
  const token = formatToken({
    network: view.network,
    addresses,
    fingerprints: fingerprintsOf(security),
    id,
    secret,
  });
  await client.addInvite({ id, hash, zone, expiresMs, uses });
  return { id, token, expiresMs, addresses };
}

/** Of some of the members: one that answers is enough. */
function addressesOf({ members }: SystemView): readonly string[] {
  const present = members.filter(({ state }) => !isFormer(state));
  return [...new Set(present.map(({ address }) => address))].slice(0, TOKEN_ADDRESSES_MAX);
}

/**
 * Of the authorities that a member may have its certificate from now, or soon. Not of former ones, though some members may
 * show a certificate of one yet: so may who was evicted, and who believes it hands it the secret.
 */
function fingerprintsOf({ keys }: Security): readonly string[] {
  return keys.filter(({ authority, state }) => authority.length > 0 && state !== "former")
    .toReversed()
    .slice(0, TOKEN_FINGERPRINTS_MAX)
    .map(({ authority }) => fingerprint(authority));
}
