/**
 * A private network of three real nodes with the S3 face, and programs of others that use it: the clients that people
 * have. They come from Debian's packages, see CLIENTS; `.ci/run` installs them.
 */
import { join } from "node:path";
import assert from "node:assert/strict";
import { untilSettled } from "../../cli/settled.ts";
import { freePorts } from "../../bench/external.ts";
import { FLAGS } from "../cli/support.ts";
import { type PrivateLab, withPrivateLab } from "../cli/private_support.ts";
import type { NodeProcess } from "../../cli/processes.ts";

/** The programs that these tests run, by the package that has them. */
export const CLIENTS = ["rclone", "s3cmd", "awscli", "python3-boto3", "restic"] as const;

const SETTLED_MS_MAX = 120_000;

export interface S3Network {
  readonly lab: PrivateLab;
  readonly nodes: readonly NodeProcess[];
  /** Of the first node, "http://127.0.0.1:PORT". */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Runs a program with the settings of the S3 clients in its environment; its output must end with code 0. */
  run(program: string, ...args: string[]): Promise<string>;
  /** The same, while a node is killed as soon as `when` holds; it is started again afterwards. */
  runAndKill(when: () => Promise<boolean>, program: string, ...args: string[]): Promise<string>;
  /** An empty folder. */
  folder(name: string): Promise<string>;
}

/** Three nodes; the second is the one that runAndKill() kills. */
export async function withS3Network(use: (network: S3Network) => Promise<void>): Promise<void> {
  await withPrivateLab(async (lab) => {
    const ports = freePorts(3);
    const flags = (i: number) => [...FLAGS, "--s3", `127.0.0.1:${ports[i]}`];
    const a = await lab.start({ id: "a", flags: flags(0) });
    const token = await lab.invite({ uses: 2 });
    const [b, c] = await Promise.all([
      lab.start({ id: "b", token, flags: flags(1) }),
      lab.start({ id: "c", token, flags: flags(2) }),
    ]);
    const client = await lab.client();
    await untilSettled(client, { members: 3, msMax: SETTLED_MS_MAX });
    const made = await lab.run("access", "create", "s3", "--allow", "so://:rwa", "--s3", "--json");
    assert.equal(made.code, 0, made.stderr);
    const { id: accessKey, s3Secret: secretKey } = JSON.parse(made.stdout) as {
      id: string;
      s3Secret: string;
    };
    const endpoint = `http://127.0.0.1:${ports[0]}`;
    const env = await clientEnvironment({ lab, endpoint, accessKey, secretKey });
    const start = (program: string, args: readonly string[]) =>
      new Deno.Command(program, {
        args: [...args],
        env,
        clearEnv: true,
        cwd: lab.directory,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    let victim: NodeProcess = b;
    const network: S3Network = {
      lab,
      nodes: [a, b, c],
      endpoint,
      accessKey,
      secretKey,
      run: async (program, ...args) => said(program, args, await start(program, args).output()),
      runAndKill: async (when, program, ...args) => {
        const child = start(program, args);
        let ended = false;
        const output = child.output().finally(() => ended = true);
        let killed = false;
        try {
          while (!ended && !killed) {
            if (await when()) {
              await victim.kill();
              killed = true;
            } else await new Promise((done) => setTimeout(done, 20));
          }
        } finally {
          // Its output is awaited whatever happened above.
          await output;
        }
        assert(killed, `${program} ended before the node was killed: make it do more`);
        victim = await lab.start({ id: "b", flags: flags(1) });
        return said(program, args, await output);
      },
      folder: async (name) => {
        const path = join(lab.directory, name);
        await Deno.mkdir(path, { recursive: true });
        return path;
      },
    };
    await use(network);
  });
}

function said(
  program: string,
  args: readonly string[],
  { code, stdout, stderr }: Deno.CommandOutput,
): string {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.equal(code, 0, `${program} ${args.join(" ")} ended with ${code}:\n${text(stdout)}\n${text(stderr)}`);
  return text(stdout);
}

/** What each of the clients reads from its environment, or from a file that the environment names. */
async function clientEnvironment(
  { lab, endpoint, accessKey, secretKey }: Pick<
    S3Network,
    "lab" | "endpoint" | "accessKey" | "secretKey"
  >,
): Promise<Record<string, string>> {
  const s3cfg = join(lab.directory, "s3cfg");
  const host = new URL(endpoint).host;
  await Deno.writeTextFile(
    s3cfg,
    `[default]\naccess_key = ${accessKey}\nsecret_key = ${secretKey}\nhost_base = ${host}\n` +
      `host_bucket = ${host}\nuse_https = False\nsignature_v2 = False\n`,
    { mode: 0o600 },
  );
  // What Deno itself needs to find packages where it found those of this test.
  const deno = Object.entries(Deno.env.toObject()).filter(([name]) => /^(DENO|NPM_CONFIG|SSL)_/i.test(name));
  return {
    DENO_DIR: join(Deno.env.get("HOME") ?? "/root", ".cache", "deno"),
    ...Object.fromEntries(deno),
    PATH: "/usr/local/bin:/usr/bin:/bin",
    HOME: lab.directory,
    LC_ALL: "C.UTF-8",
    S3_ENDPOINT: endpoint,
    S3CMD_CONFIG: s3cfg,
    AWS_ACCESS_KEY_ID: accessKey,
    AWS_SECRET_ACCESS_KEY: secretKey,
    AWS_DEFAULT_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
    RCLONE_CONFIG: "/dev/null",
    RCLONE_CONFIG_SO_TYPE: "s3",
    RCLONE_CONFIG_SO_PROVIDER: "Other",
    RCLONE_CONFIG_SO_ENV_AUTH: "true",
    RCLONE_CONFIG_SO_ENDPOINT: endpoint,
    RESTIC_PASSWORD: "not a secret: made for this test",
    RESTIC_CACHE_DIR: join(lab.directory, "restic-cache"),
    RESTIC_PROGRESS_FPS: "0.1",
  };
}

/** Files of random bytes in folders of twenty: names and contents depend on the seed alone. */
export async function writeFiles(
  folder: string,
  { files, bytes, seed }: { files: number; bytes: number; seed: number },
): Promise<void> {
  const buffer = new Uint8Array(bytes);
  const words = new Uint32Array(buffer.buffer, 0, bytes >>> 2);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < files; i++) {
    for (let w = 0; w < words.length; w++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state = (state ^ (state << 5)) >>> 0;
      words[w] = state;
    }
    const inside = join(folder, `folder ${Math.floor(i / 20)}`);
    if (i % 20 === 0) await Deno.mkdir(inside, { recursive: true });
    await Deno.writeFile(join(inside, `file-${seed}-${i}.bin`), buffer);
  }
}
