/**
 * What `recover` does with the keys of a private network. The network to be has another name, and the certificates of its
 * authorities bear it: each survivor makes them anew from the secrets that it has. The same secret, name and time give the
 * same certificate, so all come to the same view, and no secret leaves its machine.
 */
import type { RecoveryPlan, Survivor } from "../../core/node/salvage.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { NetworkKey } from "../../core/wire/security.ts";
import { type Profile, readProfile, writeProfile } from "../client/profile.ts";
import { fingerprint, readAuthority } from "../host/identity/certificates.ts";
import { issueAuthority } from "../host/identity/issuing.ts";
import { Keyring } from "../host/identity/keyring.ts";
import { NO_KEYS, type TablesKeys } from "../host/tables/keys.ts";
import { presentMembers } from "./private.ts";
import { openingFor, type SealFlags } from "./sealing.ts";

/** Generations whose secrets a survivor has; null: its network is open. */
export type Held = readonly number[] | null;

export interface KeyedSurvivor extends Survivor {
  readonly held: Held;
}

export interface KeyedPlan extends RecoveryPlan {
  /** From when the authorities are valid, in milliseconds since 1970; null: the network is open. */
  readonly issuedMs: number | null;
}

/** null where the network is open. @throws {KeyringError} */
export async function openKeyringOf(path: string, flags: SealFlags): Promise<Keyring | null> {
  const kind = Keyring.look(path);
  if (kind === "none") return null;
  const sealing = kind === "open" ? null : await openingFor(flags, path);
  return Keyring.open({ directory: path, sealing });
}

/** What opens the files of the directory. */
export function tablesKeysOf(keyring: Keyring | null): TablesKeys {
  if (keyring === null) return NO_KEYS;
  const { generations } = keyring;
  return {
    secrets: new Map(generations.map(({ id }) => [id, keyring.secretOf(id)])),
    current: generations.find(({ state }) => state === "current")?.id ?? 0,
  };
}

export function heldBy(keyring: Keyring | null): Held {
  return keyring === null ? null : keyring.generations.map(({ id }) => id);
}

/**
 * The plan with the generations that every survivor has, whose authorities renamed() makes anew, and one more that the
 * lost never knew.
 * @throws {Error} where a survivor lacks the keys that the data is encrypted with
 */
export function withKeys(plan: RecoveryPlan, helds: readonly Held[], nowMs: number): KeyedPlan {
  const { security } = plan.view;
  if (security === null) return { ...plan, issuedMs: null };
  const hasAll = (id: number) => helds.every((held) => held?.includes(id) === true);
  const current = security.keys.find(({ state }) => state === "current");
  const lacks = plan.survivors.filter((_, i) => current !== undefined && !helds[i]?.includes(current.id));
  if (current === undefined || lacks.length > 0) {
    throw new Error(
      `Node ${
        lacks.join(", ")
      } does not have generation ${current?.id} of the keys, which the others go by: it was away when ` +
        `they were made. Leave it out`,
    );
  }
  // One that is made is known to the lost, too.
  const kept = security.keys.filter(({ id, state }) =>
    (state === "current" || state === "former") && hasAll(id)
  );
  const newest = security.keys.at(-1)!.id;
  const keys: NetworkKey[] = [...kept, { id: newest + 1, state: "wanted", authority: new Uint8Array(0) }];
  return { ...plan, issuedMs: nowMs, view: { ...plan.view, security: { ...security, keys } } };
}

/**
 * The plan with the authorities that a survivor makes from its secrets, and all of its own by generation: those that the
 * network lists no more, too.
 */
export async function renamed(
  plan: KeyedPlan,
  keyring: Keyring,
): Promise<{ readonly plan: KeyedPlan; readonly authorities: ReadonlyMap<number, Uint8Array> }> {
  const authorities = new Map<number, Uint8Array>();
  for (const { id } of keyring.generations) {
    const secret = keyring.secretOf(id);
    authorities.set(
      id,
      await issueAuthority({ network: plan.network, generation: id, secret, now: plan.issuedMs! }),
    );
  }
  const { security } = plan.view;
  const keys = security!.keys.map((key) =>
    key.state === "wanted" ? key : { ...key, authority: authorities.get(key.id)! }
  );
  return { plan: { ...plan, view: { ...plan.view, security: { ...security!, keys } } }, authorities };
}

/** Lets the access key of an old profile into the recovered network. False: it does already. @throws {ProfileError} */
export function renewProfile(path: string, from: string, view: SystemView): boolean {
  const profile = readProfile(path);
  if (profile.network === view.network) return false;
  if (profile.network !== from) {
    throw new Error(
      `The profile "${path}" is for network ${profile.network}, not for ${from}. Nothing in it was changed`,
    );
  }
  writeProfile(path, renewed(profile, view));
  return true;
}

function renewed(profile: Profile, view: SystemView): Profile {
  const authorities = view.security!.keys
    .filter(({ state }) => state === "current")
    .map(({ authority }) => readAuthority(authority));
  const members = presentMembers(view);
  return {
    ...profile,
    network: view.network,
    authorities,
    fingerprint: fingerprint(authorities[0]!.der),
    addresses: members.map(({ address }) => address),
    members: members.flatMap(({ id, identity }) =>
      identity === undefined ? [] : [{ node: id, key: identity.key }]
    ),
  };
}
