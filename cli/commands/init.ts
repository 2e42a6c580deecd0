/** `space-opera init`: makes a private network without running it. */
import { Command } from "commander";
import { nodeId } from "../../core/base/ids.ts";
import { readProfile } from "../client/profile.ts";
import { DataDirectory } from "../host/directory.ts";
import { Keyring } from "../host/identity/keyring.ts";
import { foundingKeyring, PROFILE_FILE } from "../host/life/founding.ts";
import { randomHex } from "../host/life/origin.ts";
import { print, tell } from "../terminal.ts";
import { join } from "node:path";
import { UsageError } from "./errors.ts";
import { addressOption, capacityOption, nodeIdOption, partitionsOption, replicasOption } from "./options.ts";
import { checkProfileFree } from "./profiles.ts";
import { type SealFlags, sealingFor, withSealing } from "./sealing.ts";

interface InitFlags extends SealFlags {
  readonly data: string;
  readonly listen: string;
  readonly id?: string;
  readonly zone?: string;
  readonly capacity: number;
  readonly partitions?: number;
  readonly replicas?: number;
  readonly profileOut?: string;
  readonly showSecret?: boolean;
  readonly json?: boolean;
}

export function initCommand(): Command {
  return withSealing(new Command("init"), "to seal the keyring with")
    .description("make a private network: its identity, keys and settings, and a profile; node runs it")
    .option("--data <dir>", "the first node's data directory", "space-opera-data")
    .option(
      "--listen <host:port>",
      "where its node will be reached: for the profile",
      addressOption("--listen"),
      "127.0.0.1:7070",
    )
    .option("--id <name>", "the first node's name for life (default: drawn at random)", nodeIdOption("--id"))
    .option("--zone <name>", "what fails together with it: replicas are spread over zones")
    .option(
      "--capacity <n>",
      "its share of the data against others'",
      capacityOption,
      100,
    )
    .option(
      "--partitions <n>",
      "of the network: a power of two",
      partitionsOption,
    )
    .option("--replicas <n>", "of the network: copies of each record", replicasOption)
    .option("--profile-out <file>", "where the profile goes (default: profile.json in the data directory)")
    .option("--show-secret", "print the secret of the first access key, too; it is in the profile anyhow")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  space-opera init
  space-opera init --data ./a --id d1 --partitions 256
  space-opera init --key-file /media/stick/key --profile-out ~/.config/space-opera/profile.json

Afterwards: space-opera node, with the same --data. A node without init does the same on its first start. The profile
lets whoever has it run the network.`,
    )
    .action(init);
}

async function init(flags: InitFlags): Promise<void> {
  const { data, listen: address, zone = "", capacity, partitions, replicas, profileOut } = flags;
  const sealing = await sealingFor(flags, data);
  if (profileOut !== undefined) checkProfileFree(profileOut);
  const directory = DataDirectory.open(data);
  try {
    if (Keyring.look(data) !== "none" || directory.identity() !== null) {
      throw new UsageError(`A node lives in "${data}" already; name an empty directory with --data`);
    }
    const node = nodeId(flags.id ?? `node-${randomHex(4)}`);
    const owner = { network: randomHex(16), disk: randomHex(8) };
    await foundingKeyring({
      directory: data,
      owner,
      sealing,
      profileOut: profileOut ?? null,
      node,
      address,
      settings: {
        ...(partitions === undefined ? {} : { partitions }),
        ...(replicas === undefined ? {} : { replicas }),
      },
    }, null);
    directory.writeIdentity({
      node,
      ...owner,
      zone,
      capacity,
      private: true,
      founder: true,
      started: false,
      peers: [],
      formerly: null,
      aside: null,
    });
    say(flags, node, profileOut ?? join(data, PROFILE_FILE));
  } finally {
    directory.close();
  }
}

function say({ json = false, showSecret = false, data }: InitFlags, node: string, path: string): void {
  const { network, fingerprint, access } = readProfile(path);
  const { id, secret } = access!.reveal();
  const shown = showSecret ? { secret } : {};
  if (json) {
    return print(
      JSON.stringify({ network, authority: fingerprint, node, profile: path, access: id, ...shown }),
    );
  }
  print([
    `network    ${network}`,
    `authority  ${fingerprint}`,
    `node       ${node}`,
    `profile    ${path}`,
    `access     ${id}`,
    ...(showSecret ? [`secret     ${secret}`] : []),
  ].join("\n"));
  tell(`Run it: space-opera node${data === "space-opera-data" ? "" : ` --data ${data}`}`);
}
