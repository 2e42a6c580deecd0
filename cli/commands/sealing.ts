/** The options that say what opens a sealed keyring, and what one is to be sealed with. */
import type { Command } from "commander";
import { Keyring } from "../host/identity/keyring.ts";
import { PASSPHRASE_VARIABLE, readPassphrase } from "../host/identity/passphrase.ts";
import { Sealing } from "../host/identity/sealing.ts";
import { variable } from "./environment.ts";
import { UsageError } from "./errors.ts";

export interface SealFlags {
  readonly passphraseFile?: string;
  readonly keyFile?: string;
  readonly newPassphraseFile?: string;
  readonly newKeyFile?: string;
}

export function withSealing(command: Command, what: string): Command {
  return command
    .option("--passphrase-file <file>", `a file with the passphrase ${what} (or ${PASSPHRASE_VARIABLE})`)
    .option("--key-file <file>", `the key file ${what}, 32 random bytes or more, outside the data directory`);
}

export function withNewSealing(command: Command): Command {
  return command
    .option("--new-passphrase-file <file>", "a file with the new passphrase (default: asked at the terminal)")
    .option("--new-key-file <file>", "the new key file, outside the data directory");
}

/** What opens the keyring of `data`; null where there is none, or it is open. A person is asked where need be. */
export async function openingFor(
  { passphraseFile, keyFile }: SealFlags,
  data: string,
): Promise<Sealing | null> {
  checkOne(passphraseFile, keyFile, "");
  const seal = Keyring.look(data);
  if (seal === "none" || seal === "open") {
    if (seal === "open" && (passphraseFile ?? keyFile) !== undefined) {
      throw new UsageError(
        `The keyring of "${data}" is not sealed, and nothing is needed to open it. To seal it: space-opera keys seal`,
      );
    }
    return null;
  }
  if (seal === "passphrase") {
    if (keyFile !== undefined) {
      throw new UsageError(`The keyring of "${data}" is sealed with a passphrase, not with a key file`);
    }
    return await passphrase({ file: passphraseFile, data, prompt: `Passphrase of "${data}": ` });
  }
  if (keyFile !== undefined) return Sealing.keyFile(keyFile, { outside: data });
  throw new UsageError(`The keyring of "${data}" is sealed with a key file. Name it with --key-file`);
}

/** What a keyring that is made now is to be sealed with; null: it stays open. Nobody is asked. */
export async function sealingFor(
  { passphraseFile, keyFile }: SealFlags,
  data: string,
): Promise<Sealing | null> {
  const given = passphraseFile ?? keyFile ?? variable(PASSPHRASE_VARIABLE);
  return given === undefined ? null : await chosenSealing({ passphraseFile, keyFile }, data);
}

/** What a keyring is to be sealed with from now on; a person is asked where no file is given. */
export async function chosenSealing(
  { passphraseFile, keyFile }: { passphraseFile?: string | undefined; keyFile?: string | undefined },
  data: string,
): Promise<Sealing> {
  checkOne(passphraseFile, keyFile, "");
  if (keyFile !== undefined) return Sealing.keyFile(keyFile, { outside: data });
  return await passphrase({ file: passphraseFile, data, fresh: true });
}

/** The same of --new-passphrase-file and --new-key-file. The variable has the old passphrase. */
export async function nextSealing(
  { newPassphraseFile, newKeyFile }: SealFlags,
  data: string,
): Promise<Sealing> {
  checkOne(newPassphraseFile, newKeyFile, "new-");
  if (newKeyFile !== undefined) return Sealing.keyFile(newKeyFile, { outside: data });
  return await passphrase({ file: newPassphraseFile, data, fresh: true, env: false });
}

async function passphrase(
  { file, data, prompt, fresh = false, env = true }: {
    readonly file: string | undefined;
    readonly data: string;
    readonly prompt?: string;
    readonly fresh?: boolean;
    readonly env?: boolean;
  },
): Promise<Sealing> {
  return await readPassphrase({
    outside: data,
    env: env ? variable : () => undefined,
    prompt: prompt ?? "New passphrase: ",
    fresh,
    ...(file === undefined ? {} : { file }),
  });
}

function checkOne(passphraseFile: string | undefined, keyFile: string | undefined, prefix: string): void {
  if (passphraseFile === undefined || keyFile === undefined) return;
  throw new UsageError(`Give --${prefix}passphrase-file or --${prefix}key-file, not both`);
}
