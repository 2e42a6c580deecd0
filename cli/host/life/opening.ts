/** Whether a data directory is of a private network or an open one, and its keyring. */
import { join } from "node:path";
import type { DataDirectory, NodeIdentity } from "../directory.ts";
import { Keyring, KeyringError } from "../identity/keyring.ts";
import type { StartOptions } from "./options.ts";

type Given = Pick<StartOptions, "open" | "token" | "sealing">;

/**
 * The keyring that lies in the directory; null: the network is open, or there is none yet.
 * @throws {Error} where the directory and the options do not agree
 * @throws {KeyringError}
 */
export function openKeyring(
  { open = false, token, sealing = undefined }: Given,
  directory: DataDirectory,
  identity: NodeIdentity | null,
): Keyring | null {
  const { path } = directory, there = Keyring.look(path) !== "none";
  if (open) {
    if (!there && identity?.private !== true) return null;
    throw new Error(
      `The data directory "${path}" is of a private network. Start without --dev, or choose another with --data`,
    );
  }
  if (identity !== null) {
    if (!identity.private) throw openDirectory(path);
    const keyring = Keyring.open({ directory: path, ...(sealing === undefined ? {} : { sealing }) });
    checkOwner(keyring, path, identity);
    return keyring;
  }
  if (!there) return null;
  const keyring = Keyring.open({ directory: path, ...(sealing === undefined ? {} : { sealing }) });
  if (token !== undefined) return keyring.network === token.network ? keyring : discard(path);
  if (keyring.certificates.length > 0) {
    throw new Error(
      `The node in "${path}" has not finished joining network ${keyring.network}. Give it the token again with --join, ` +
        `or remove "${join(path, "keyring.json")}" to begin a network of its own`,
    );
  }
  return keyring.generations.length > 0 ? keyring : discard(path);
}

/** A node that was rebuilt counts as another disk, and keeps its key. */
function checkOwner(
  { network, disk }: Keyring,
  path: string,
  identity: Pick<NodeIdentity, "network" | "disk" | "formerly">,
): void {
  if (network === identity.network && (disk === identity.disk || identity.formerly !== null)) return;
  throw new KeyringError(
    "foreign",
    `The keyring "${join(path, "keyring.json")}" belongs to ` +
      `${
        network === identity.network ? "another node" : `network ${network}`
      }. Put back the one that was made with ` +
      `this data directory`,
  );
}

/** Of a first start that came to nothing: nobody has been told of the key in it, or nobody counts on it. */
function discard(path: string): null {
  Deno.removeSync(join(path, "keyring.json"));
  return null;
}

function openDirectory(path: string): Error {
  return new Error(
    `The data directory "${path}" is of an open network: nothing in it is encrypted, and nobody is asked who they are. ` +
      `Start it with --dev, on a loopback address; or begin a private network on an empty directory`,
  );
}
