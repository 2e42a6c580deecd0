/** Where a node begins: a network of its own, one that takes it in, or its own journal. */
import type { NodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import type { Origin } from "../../../core/node/options.ts";
import type { Member, SystemView } from "../../../core/wire/messages.ts";
import type { Admission } from "../../../core/wire/session.ts";
import type { NodeIdentity } from "../directory.ts";
import { certificatePem, checkMember, readMember } from "../identity/certificates.ts";
import { Keyring } from "../identity/keyring.ts";
import { askToJoin, type Entry, type Joined, JoinError } from "../join.ts";
import { ownCertificate } from "../tls.ts";
import { RejoinError } from "./ending.ts";
import { foundingIdentity, foundingKeyring, foundingSecurity } from "./founding.ts";
import { stateOf } from "./network_keys.ts";
import type { StartOptions } from "./options.ts";

const JOIN_MS_MAX = 30_000;
/** Of a node that was rebuilt: it tries for ever, and says so in between. */
const REJOIN_MS_MAX = 3_000;

export type FirstOrigin = Origin & { readonly kind: "genesis" | "joined" };

/** Where a node begins, and the keyring that it has from then on; null: its network is open. */
export interface Beginning {
  readonly origin: FirstOrigin;
  readonly keyring: Keyring | null;
}

/** Who the node is, before its directory says so. `network` is null as long as none is known. */
export interface Newcomer extends Pick<NodeIdentity, "node" | "disk" | "formerly"> {
  readonly directory: string;
  readonly address: string;
  readonly known: NodeIdentity | null;
  /** As it was found; null: there is none. */
  readonly keyring: Keyring | null;
  readonly signal: AbortSignal;
}

/**
 * Of a node that starts for the first time, or again before its first record was durable.
 * @throws {JoinError} when a network was named and did not take it in
 * @throws {RejoinError} when a node that was rebuilt was not taken in yet
 */
export async function firstOrigin(options: StartOptions, newcomer: Newcomer): Promise<Beginning> {
  const { known } = newcomer;
  const founds = known?.founder ?? ((options.join ?? []).length === 0 && options.token === undefined);
  if (founds) return await found(options, newcomer);
  return options.open === true ? await joinOpen(options, newcomer) : await joinPrivate(options, newcomer);
}

async function found(options: StartOptions, newcomer: Newcomer): Promise<Beginning> {
  const { known, node, address, directory } = newcomer;
  const member = memberOf(options, newcomer);
  if (options.open === true) {
    const network = known?.network ?? randomHex(16);
    const settings = { ...DEFAULT_SETTINGS, ...options.settings };
    return {
      origin: { kind: "genesis", view: genesisView({ network, settings, members: [member] }) },
      keyring: null,
    };
  }
  const { sealing = null, profileOut = null } = options;
  const foundingOf = { directory, sealing, profileOut, node, address, settings: options.settings ?? {} };
  const owner = {
    network: known?.network ?? newcomer.keyring?.network ?? randomHex(16),
    disk: newcomer.disk,
  };
  const keyring = await foundingKeyring({ ...foundingOf, owner }, newcomer.keyring);
  const view = genesisView({
    network: keyring.network,
    settings: { ...DEFAULT_SETTINGS, ...keyring.founding!.settings },
    members: [{ ...member, identity: foundingIdentity(keyring) }],
    security: foundingSecurity(keyring),
  });
  return { origin: { kind: "genesis", view }, keyring };
}

async function joinOpen(options: StartOptions, newcomer: Newcomer): Promise<Beginning> {
  const { view } = await ask(options, newcomer, { kind: "open" }, memberOf(options, newcomer));
  return { origin: { kind: "joined", view }, keyring: null };
}

/** With a token; or, of a node that has been a member already, with its own certificate. */
async function joinPrivate(options: StartOptions, newcomer: Newcomer): Promise<Beginning> {
  const { directory, disk } = newcomer;
  const { token, sealing } = options;
  const keyring = newcomer.keyring ?? Keyring.create({
    directory,
    disk,
    network: token!.network,
    ...(sealing === undefined ? {} : { sealing }),
  });
  const identity = { key: keyring.publicKey, holds: 0, uses: 0, statement: new Uint8Array(0) };
  const member = { ...memberOf(options, newcomer), identity };
  const { view, admission } = await ask(options, newcomer, entryOf(options, keyring), member);
  if (admission !== null) keepAdmission(keyring, view, admission, newcomer.node);
  if (!keyring.generations.some(({ state }) => state === "current")) {
    throw new Error(`The network took node "${newcomer.node}" in and gave it no keys. Start it again`);
  }
  return { origin: { kind: "joined", view }, keyring };
}

function entryOf({ token }: StartOptions, keyring: Keyring): Entry {
  if (token !== undefined) {
    return { kind: "invite", token, key: keyring.publicKey, sign: (bytes) => keyring.sign(bytes) };
  }
  const der = keyring.certificates[0]?.der;
  if (der !== undefined && keyring.generations.length > 0) {
    // Not former ones: who was evicted can make certificates by those, and would be told what is to be kept from it.
    const authorities = keyring.generations.filter(({ state }) => state !== "former")
      .map(({ authority }) => certificatePem(authority));
    return { kind: "member", material: { own: ownCertificate(keyring.privateKeyPem(), der), authorities } };
  }
  throw new Error(
    `This node has not finished joining network ${keyring.network}. Give it the token again with --join, or a new one ` +
      `from \`space-opera invite\``,
  );
}

/** Kept before anything says that this node is a member. Only what the network's view agrees with is taken. */
function keepAdmission(keyring: Keyring, view: SystemView, admission: Admission, node: NodeId): void {
  const keys = view.security?.keys ?? [];
  for (const { id, secret } of admission.secrets) {
    const key = keys.find((each) => each.id === id && each.authority.length > 0);
    if (key === undefined) continue;
    keyring.addGeneration({ id, secret, authority: key.authority, state: stateOf(key) });
  }
  const { generation } = readMember(admission.certificate);
  const authority = keys.find(({ id }) => id === generation)?.authority;
  if (authority === undefined) {
    throw new Error("The network gave this node a certificate that it does not list itself");
  }
  checkMember(admission.certificate, { authority, node, publicKey: keyring.publicKey, now: Date.now() });
  keyring.setCertificate(admission.certificate);
}

function memberOf(options: StartOptions, { node, address, disk, known }: Newcomer): Member {
  return {
    id: node,
    address,
    zone: known?.zone ?? options.zone ?? "",
    capacity: known?.capacity ?? options.capacity ?? 100,
    state: "active",
    disk,
  };
}

async function ask(options: StartOptions, newcomer: Newcomer, entry: Entry, member: Member): Promise<Joined> {
  const { known, address, node, signal } = newcomer;
  const named = [...(options.join ?? []), ...(options.token?.addresses ?? []), ...(known?.peers ?? [])];
  const addresses = [...new Set(named)].filter((peer) => peer !== address);
  if (addresses.length === 0) {
    throw new Error(
      `Node "${node}" has not finished joining network ${known?.network}. Name a node of that network with --join`,
    );
  }
  const rebuilt = known !== null && known.formerly !== null;
  try {
    return await askToJoin({
      addresses,
      entry,
      member: { ...member, state: "joining" },
      network: known?.network ?? null,
      fresh: known === null || rebuilt,
      renames: rebuilt,
      msMax: rebuilt ? REJOIN_MS_MAX : JOIN_MS_MAX,
      signal,
    });
  } catch (error) {
    if (!rebuilt || !(error instanceof JoinError)) throw error;
    if (error.reason === "refused") throw error;
    throw new RejoinError(
      error.reason === "no-answer" ? "alone" : error.reason,
      `Node "${node}", which was "${known.formerly}", has to join network ${known.network} anew: ${error.message}`,
    );
  }
}

export function randomHex(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}
