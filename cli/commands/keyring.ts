/** `space-opera keys seal`, `unseal` and `passphrase`: what opens a stopped node's keyring. */
import { Command } from "commander";
import { DataDirectory } from "../host/directory.ts";
import { Keyring } from "../host/identity/keyring.ts";
import type { Sealing } from "../host/identity/sealing.ts";
import { print } from "../terminal.ts";
import {
  chosenSealing,
  nextSealing,
  openingFor,
  type SealFlags,
  withNewSealing,
  withSealing,
} from "./sealing.ts";

interface KeyringFlags extends SealFlags {
  readonly data: string;
  readonly json?: boolean;
}

function onKeyring(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option("--data <dir>", "the data directory of a node that is stopped", "space-opera-data")
    .option("--json", "print JSON");
}

export function sealCommand(): Command {
  return withSealing(
    onKeyring("seal", "seal a node's keyring, so that its disk alone opens nothing"),
    "to seal it with",
  )
    .addHelpText(
      "after",
      `
Examples:
  space-opera keys seal --data ./a
  space-opera keys seal --data ./a --passphrase-file secret.txt
  space-opera keys seal --data ./a --key-file /media/stick/key

From then on the node asks for it at each start: at a terminal, from --passphrase-file, --key-file or
SPACE_OPERA_PASSPHRASE. What the disk keeps of the file as it was is beyond a program's reach: seal at the beginning,
or rotate the keys afterwards.`,
    )
    .action((flags: KeyringFlags) =>
      withKeyring(flags, null, async (keyring) => keyring.sealWith(await chosenSealing(flags, flags.data)))
    );
}

export function unsealCommand(): Command {
  return withSealing(
    onKeyring("unseal", "write a node's keyring open, so that it starts without being asked"),
    "that opens it",
  )
    .addHelpText("after", "\nExample:\n  space-opera keys unseal --data ./a")
    .action(async (flags: KeyringFlags) =>
      withKeyring(flags, await openingFor(flags, flags.data), (keyring) => keyring.unseal())
    );
}

export function passphraseCommand(): Command {
  return withNewSealing(
    withSealing(onKeyring("passphrase", "seal a sealed keyring with something else"), "that opens it"),
  )
    .addHelpText(
      "after",
      `
Examples:
  space-opera keys passphrase --data ./a
  space-opera keys passphrase --data ./a --passphrase-file old.txt --new-key-file /media/stick/key`,
    )
    .action(async (flags: KeyringFlags) =>
      withKeyring(flags, await openingFor(flags, flags.data), async (keyring) => {
        if (keyring.seal === "open") {
          throw new Error(`The keyring of "${flags.data}" is not sealed: seal it with space-opera keys seal`);
        }
        keyring.reseal(await nextSealing(flags, flags.data));
      })
    );
}

/** Opens the keyring of a directory on which no node runs, and says what seals it afterwards. */
async function withKeyring(
  { data, json = false }: KeyringFlags,
  sealing: Sealing | null,
  use: (keyring: Keyring) => void | Promise<void>,
): Promise<void> {
  if (Keyring.look(data) === "none") {
    throw new Error(
      `There is no keyring in "${data}": it is no data directory of a private network. Name one with --data`,
    );
  }
  const directory = DataDirectory.open(data);
  try {
    const keyring = Keyring.open({ directory: data, sealing });
    await use(keyring);
    print(
      json ? JSON.stringify({ data, seal: keyring.seal }) : `The keyring of "${data}" ${SAID[keyring.seal]}`,
    );
  } finally {
    directory.close();
  }
}

const SAID = {
  open: "is open: whoever has the disk can read it",
  passphrase: "is sealed with a passphrase",
  "key-file": "is sealed with a key file",
} as const;
