/** Opens a keyring with whatever it is sealed with, as the options, the environment or a person give it. */
import { Keyring, KeyringError, type KeyringOwner } from "./keyring.ts";
import { PASSPHRASE_VARIABLE, type PassphraseTerminal, readPassphrase, TERMINAL } from "./passphrase.ts";
import { Sealing, type SealKind } from "./sealing.ts";

/** How often a person may mistype. Each try takes half a second, which is no bound for a thief of the file. */
const TRIES_MAX = 3;

export interface SealSources {
  /** The value of --passphrase-file. */
  readonly passphraseFile?: string;
  /** The value of --key-file. */
  readonly keyFile?: string;
  readonly env: (name: string) => string | undefined;
  readonly terminal?: PassphraseTerminal;
}

export interface OpenKeyringOptions extends SealSources {
  readonly directory: string;
  /** As node.json has it; a keyring of another network or directory is refused. */
  readonly owner?: KeyringOwner;
}

/**
 * A keyring to be looked into; nothing is written.
 * @throws {KeyringError}
 * @throws {PrivateFileError} where others may read the keyring or what opens it
 * @throws {SealingError}
 * @throws {PassphraseError}
 */
export async function openKeyring(options: OpenKeyringOptions): Promise<Keyring> {
  const { directory, owner } = options;
  const kind = Keyring.look(directory);
  const whose = owner === undefined ? {} : { owner };
  if (kind === "none" || kind === "open") return Keyring.open({ directory, readOnly: true, ...whose });
  for (let tries = 1;; tries++) {
    try {
      return Keyring.open({ directory, readOnly: true, ...whose, sealing: await sealingFor(kind, options) });
    } catch (error) {
      const wrong = error instanceof KeyringError && error.reason === "wrong-passphrase";
      if (!wrong || !asksPerson(options) || tries === TRIES_MAX) throw error;
      (options.terminal ?? TERMINAL).write("That is not the passphrase. Try again\n");
    }
  }
}

/** null: a key file is needed, and none is named. */
async function sealingFor(kind: SealKind, options: OpenKeyringOptions): Promise<Sealing | null> {
  const { passphraseFile, keyFile, env, terminal, directory } = options;
  if (kind === "key-file") {
    return keyFile === undefined ? null : Sealing.keyFile(keyFile, { outside: directory });
  }
  return await readPassphrase({
    outside: directory,
    env,
    ...(passphraseFile === undefined ? {} : { file: passphraseFile }),
    ...(terminal === undefined ? {} : { terminal }),
    prompt: `Passphrase of the keyring in "${directory}": `,
  });
}

/** A file or a variable would say the same again. */
function asksPerson({ passphraseFile, env }: SealSources): boolean {
  return passphraseFile === undefined && (env(PASSPHRASE_VARIABLE) ?? "") === "";
}
