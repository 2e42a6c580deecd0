/** Real processes of private networks for tests: founded, joined by invites, spoken to with profiles. */
import { join } from "node:path";
import { type Client, connect } from "../../cli/client/client.ts";
import { type Profile, readProfile } from "../../cli/client/profile.ts";
import { type InviteOptions, makeInvite } from "../../cli/invites.ts";
import { NodeProcess, type NodeProcessOptions } from "../../cli/processes.ts";
import { untilSettled } from "../../cli/settled.ts";
import { FLAGS, programWith, type Ran } from "./support.ts";

const SETTLED_MS_MAX = 60_000;

export interface PrivateLab {
  readonly directory: string;
  /** Of the first node's access key, which may do everything. */
  readonly profilePath: string;
  readonly profile: Profile;
  /** The first one makes the network; others need a `token`, or a directory that was a member's. */
  start(options: Omit<NodeProcessOptions, "data"> & { readonly data?: string }): Promise<NodeProcess>;
  /** Closed at the end. `profile`: another than the first. */
  client(options?: { readonly profile?: Profile; readonly addresses?: readonly string[] }): Promise<Client>;
  invite(options?: Partial<InviteOptions>): Promise<string>;
  /** Runs a command with the first profile. */
  run(...args: string[]): Promise<Ran>;
}

export async function withPrivateLab(use: (lab: PrivateLab) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-test-" });
  const nodes: NodeProcess[] = [];
  const clients: Client[] = [];
  let founder: string | null = null;
  const lab: PrivateLab = {
    directory,
    get profilePath() {
      return join(founder!, "profile.json");
    },
    get profile() {
      return readProfile(lab.profilePath);
    },
    async start(options) {
      const data = join(directory, options.id);
      const node = await NodeProcess.start({ flags: FLAGS, data, ...options });
      founder ??= options.data ?? data;
      nodes.push(node);
      return node;
    },
    async client({ profile = lab.profile, addresses } = {}) {
      const client = await connect({ profile, ...(addresses === undefined ? {} : { addresses }) });
      clients.push(client);
      return client;
    },
    async invite(options = {}) {
      using client = await connect({ profile: lab.profile });
      return (await makeInvite(client, { ttlMs: 60_000, uses: 1, zone: null, ...options })).token;
    },
    run(...args) {
      return programWith({ env: { SPACE_OPERA_PROFILE: lab.profilePath } }, ...args);
    },
  };
  try {
    await use(lab);
  } finally {
    for (const client of clients) client.close();
    await Promise.all(nodes.map((node) => node.kill()));
    await Deno.remove(directory, { recursive: true });
  }
}

/** Three nodes of one private network, each holding all partitions. */
export async function privateThree(lab: PrivateLab): Promise<[NodeProcess, NodeProcess, NodeProcess]> {
  const a = await lab.start({ id: "a" });
  const token = await lab.invite({ uses: 2 });
  const [b, c] = await Promise.all([lab.start({ id: "b", token }), lab.start({ id: "c", token })]);
  await untilSettled(await lab.client(), { members: 3, msMax: SETTLED_MS_MAX });
  return [a, b, c];
}
