/** How the clients of a run find its network and get into it. */
import { type Client, connect } from "../../cli/client/client.ts";
import { ClientDriver } from "../../cli/client/driver.ts";
import { type Profile, readProfile } from "../../cli/client/profile.ts";
import { Trust } from "../../cli/client/trust.ts";
import { makeInvite } from "../../cli/invites.ts";

const INVITE_TTL_MS = 600_000;

export interface ReachOptions {
  /** Of all nodes of the run. */
  readonly addresses: readonly string[];
  /** Where the first node writes the profile; null: the network is open. */
  readonly profile: string | null;
}

/** Where somebody asks, and for how long. `addresses`: others than those of all nodes. */
export interface Asking {
  readonly timeoutMs?: number;
  readonly addresses?: readonly string[];
}

export class Reach {
  readonly addresses: readonly string[];
  readonly #path: string | null;
  #profile: Profile | null = null;

  constructor({ addresses, profile }: ReachOptions) {
    this.addresses = addresses;
    this.#path = profile;
  }

  get open(): boolean {
    return this.#path === null;
  }

  async connect({ addresses = this.addresses, timeoutMs }: Asking = {}): Promise<Client> {
    const profile = this.#read();
    return await connect({
      addresses,
      ...(profile === null ? {} : { profile }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  }

  driver({ addresses = this.addresses, timeoutMs }: Asking & { readonly timeoutMs: number }): ClientDriver {
    const profile = this.#read();
    const trust = profile === null ? null : new Trust(profile, () => {});
    return new ClientDriver({ addresses, network: profile?.network ?? null, trust, timeoutMs });
  }

  /** Lets `uses` nodes in. */
  async invite(uses: number): Promise<string> {
    using client = await this.connect();
    return (await makeInvite(client, { ttlMs: INVITE_TTL_MS, uses, zone: null })).token;
  }

  /** It is there once the first node is up. */
  #read(): Profile | null {
    if (this.#path === null) return null;
    return this.#profile ??= readProfile(this.#path);
  }
}
