/**
 * The keys of a private network that begins here: the node's own, generation 1, and the first access key, whose secret is
 * written into a profile and nowhere else.
 *
 * F1. Each step is on the disk before the next is begun, and done again where the process ended in between: keyring,
 *     generation, profile, what the first view says of the access key (founding), certificate. The first view is made
 *     from the keyring alone, so it is the same again as often as the node has to begin anew.
 * F2. A profile that may let somebody in is never replaced: once the keyring knows its key, it is not written again.
 */
import { join } from "node:path";
import type { NodeId } from "../../../core/base/ids.ts";
import type { Settings } from "../../../core/base/limits.ts";
import type { MemberIdentity, Security } from "../../../core/wire/security.ts";
import { type Profile, writeProfile } from "../../client/profile.ts";
import { Credentials, makeAccessKey } from "../identity/access_key.ts";
import { fingerprint, readAuthority } from "../identity/certificates.ts";
import { issueAuthority } from "../identity/issuing.ts";
import { Keyring, type KeyringOwner } from "../identity/keyring.ts";
import type { Sealing } from "../identity/sealing.ts";
import { statementBytes } from "../identity/statements.ts";

const FIRST_GENERATION = 1;
const FIRST_ACCESS_NAME = "founder";
export const PROFILE_FILE = "profile.json";

export interface FoundingOptions {
  readonly directory: string;
  readonly owner: KeyringOwner;
  readonly sealing: Sealing | null;
  /** Where the profile goes; null: into the directory, where the keyring is not sealed. */
  readonly profileOut: string | null;
  readonly node: NodeId;
  readonly address: string;
  /** Of the network, where they are not the usual ones. */
  readonly settings: Partial<Settings>;
}

/**
 * The keyring of a founder, with all that its first view is made from.
 * @throws {Error} where there is no place for the profile, or it cannot be written
 */
export async function foundingKeyring(options: FoundingOptions, found: Keyring | null): Promise<Keyring> {
  const profile = profilePath(options);
  const keyring = found ?? Keyring.create({
    directory: options.directory,
    ...options.owner,
    ...(options.sealing === null ? {} : { sealing: options.sealing }),
  });
  if (!keyring.has(FIRST_GENERATION)) {
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const { network } = keyring;
    const authority = await issueAuthority({
      network,
      generation: FIRST_GENERATION,
      secret,
      now: Date.now(),
    });
    keyring.addGeneration({ id: FIRST_GENERATION, state: "current", secret, authority });
  }
  if (keyring.founding === null) {
    const { id, secret, publicKey } = makeAccessKey();
    writeProfile(profile, profileOf(keyring, new Credentials({ id, secret }), options));
    const { settings } = options;
    keyring.setFounding({ access: { id, publicKey, name: FIRST_ACCESS_NAME }, settings: { ...settings } });
  }
  return keyring;
}

/** What the first view says of who may do what. */
export function foundingSecurity(keyring: Keyring): Security {
  const { id, publicKey, name } = keyring.founding!.access;
  return {
    keys: [{ id: FIRST_GENERATION, state: "current", authority: firstAuthority(keyring) }],
    access: [{ id, publicKey, name, rights: [{ prefix: "", read: true, write: true, admin: true }] }],
    invites: [],
  };
}

/** What the first view says of the founder's key. */
export function foundingIdentity(keyring: Keyring): MemberIdentity {
  const authority = firstAuthority(keyring), { network, publicKey: key } = keyring;
  const statement = keyring.sign(statementBytes({ network, generation: FIRST_GENERATION, authority }));
  return { key, holds: FIRST_GENERATION, uses: FIRST_GENERATION, statement };
}

function firstAuthority(keyring: Keyring): Uint8Array {
  return keyring.generations.find(({ id }) => id === FIRST_GENERATION)!.authority;
}

/** @throws {Error} */
function profilePath({ directory, sealing, profileOut }: FoundingOptions): string {
  if (profileOut !== null) return profileOut;
  if (sealing === null) return join(directory, PROFILE_FILE);
  throw new Error(
    `The keyring in "${directory}" is to be sealed, and a profile beside it would let in whoever takes the directory. ` +
      `Name a place for it elsewhere with --profile-out`,
  );
}

function profileOf(keyring: Keyring, access: Credentials, { node, address }: FoundingOptions): Profile {
  const authority = firstAuthority(keyring);
  return {
    network: keyring.network,
    addresses: [address],
    fingerprint: fingerprint(authority),
    authorities: [readAuthority(authority)],
    members: [{ node, key: keyring.publicKey }],
    access,
  };
}
