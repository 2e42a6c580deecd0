/** A private network of any number of real node processes on this machine, the first with the S3 face. */
import { join } from "node:path";
import { type Client, connect } from "../cli/client/client.ts";
import { readProfile } from "../cli/client/profile.ts";
import { makeInvite } from "../cli/invites.ts";
import { NodeProcess } from "../cli/processes.ts";
import { untilSettled } from "../cli/settled.ts";
import { freePorts } from "./external.ts";
import type { S3Target } from "./presigned.ts";

export interface S3Network {
  readonly directory: string;
  readonly nodes: readonly NodeProcess[];
  readonly client: Client;
  readonly s3: S3Target;
  start(id: string): Promise<NodeProcess>;
}

const SETTLED_MS_MAX = 120_000;

/** Ended and removed afterwards. */
export async function withS3Network<T>(members: number, use: (network: S3Network) => Promise<T>): Promise<T> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-bench-" });
  const nodes: NodeProcess[] = [];
  const start = async (id: string, flags: string[] = [], token?: string) => {
    const node = await NodeProcess.start({
      id,
      data: join(directory, id),
      flags: ["--log-level", "warning", ...flags],
      ...(token === undefined ? {} : { token }),
    });
    nodes.push(node);
    return node;
  };
  try {
    const port = freePorts(1)[0]!;
    await start("a", ["--s3", `127.0.0.1:${port}`]);
    const profile = readProfile(join(directory, "a", "profile.json"));
    using client = await connect({ profile });
    const invite = async () => (await makeInvite(client, { ttlMs: 600_000, uses: 1, zone: null })).token;
    for (const id of "bcdefghi".slice(0, members - 1)) await start(id, [], await invite());
    await untilSettled(client, { members, msMax: SETTLED_MS_MAX });
    const { accessKey, secretKey } = await s3Key(join(directory, "a", "profile.json"));
    const s3 = { endpoint: `http://127.0.0.1:${port}`, accessKey, secretKey };
    return await use({
      directory,
      nodes,
      client,
      s3,
      start: async (id) => await start(id, [], await invite()),
    });
  } finally {
    await Promise.all(nodes.map((node) => node.kill()));
    await Deno.remove(directory, { recursive: true });
  }
}

async function s3Key(profile: string): Promise<{ accessKey: string; secretKey: string }> {
  const main = new URL("../cli/main.ts", import.meta.url).href;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "-A", main, "access", "create", "bench", "--allow", "so://:rwa", "--s3"],
      ...["--json", "--profile", profile],
    ],
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  const { id, s3Secret } = JSON.parse(new TextDecoder().decode(stdout)) as { id: string; s3Secret: string };
  return { accessKey: id, secretKey: s3Secret };
}
