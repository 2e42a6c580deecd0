/** Nodes of private networks in this process. */
import { join } from "node:path";
import { type Client, connect } from "../../../../cli/client/client.ts";
import { type Profile, readProfile } from "../../../../cli/client/profile.ts";
import type { StartOptions } from "../../../../cli/host/life/options.ts";
import { type InviteToken, parseToken } from "../../../../cli/host/identity/token.ts";
import type { RunningNode } from "../../../../cli/host/start.ts";
import { type InviteOptions, makeInvite } from "../../../../cli/invites.ts";
import type { SystemView } from "../../../../core/wire/messages.ts";
import { until } from "../../support.ts";
import { type Lives, withLives } from "./lives.ts";

export interface PrivateLives extends Lives {
  /** Of the first access key, as it was written at the beginning. */
  readonly profile: Profile;
  /** The founder's client, with `profile`. */
  readonly operator: Client;
  readonly nodes: Map<string, RunningNode>;
  /** A node of the network: one that joins with a new token, unless the options say how. */
  join(id: string, options?: Partial<StartOptions>): Promise<RunningNode>;
  again(id: string, options?: Partial<StartOptions>): Promise<RunningNode>;
  token(options?: Partial<InviteOptions>): Promise<InviteToken>;
  as(profile: Profile, addresses?: readonly string[]): Promise<Client>;
  view(): Promise<SystemView>;
}

/** The founder, "a", and as many others as `others` names. */
export async function withPrivate(
  others: readonly string[],
  use: (lives: PrivateLives) => Promise<void>,
  options: Partial<StartOptions> = {},
): Promise<void> {
  await withLives(async (lives) => {
    const nodes = new Map<string, RunningNode>();
    const clients: Client[] = [];
    const start = async (id: string, more: Partial<StartOptions>) => {
      const node = await lives.start(id, { open: false, ...options, ...more });
      nodes.set(id, node);
      await node.ready;
      return node;
    };
    await start("a", {});
    const profile = readProfile(join(lives.directory, "a", "profile.json"));
    const as = async (given: Profile, addresses?: readonly string[]) => {
      const client = await connect({
        profile: given,
        timeoutMs: 20_000,
        ...(addresses === undefined ? {} : { addresses }),
      });
      clients.push(client);
      return client;
    };
    try {
      const operator = await as(profile);
      const token = async (given: Partial<InviteOptions> = {}) => {
        const { token } = await makeInvite(operator, { ttlMs: 60_000, uses: 1, zone: null, ...given });
        return parseToken(token);
      };
      const whole: PrivateLives = {
        ...lives,
        profile,
        operator,
        nodes,
        as,
        token,
        join: async (id, more = {}) => start(id, { token: await token(), ...more }),
        again: (id, more = {}) => start(id, more),
        view: async () => (await operator.layout()).view,
      };
      for (const id of others) await whole.join(id);
      if (others.length > 0) {
        await until("all members to be active and to have the keys", async () => {
          const { members } = await whole.view();
          return members.length === others.length + 1 &&
            members.every(({ state, identity }) => state === "active" && identity!.holds === 1);
        });
      }
      await use(whole);
    } finally {
      for (const client of clients) client.close();
    }
  });
}

/** "1:former 2:current" */
export function keysOf({ security }: SystemView): string {
  return security!.keys.map(({ id, state }) => `${id}:${state}`).join(" ");
}
