/**
 * What a running node of a private network has of its keys: the keyring, its certificates, and the secrets that it makes,
 * gives and takes. The core says who may have which secret (core/node/keys.ts); the secrets themselves come no further
 * than here and the connections of hosts.
 *
 * Z1. A secret is in the keyring before anyone is told that this node has it.
 * Z2. A secret is taken, kept and told of only where the authority that the view lists comes from it. One that this node
 *     made and that lost to another's is dropped as soon as the view says so.
 * Z3. A secret is given only to a generation's rightful holders: on the core's word, over a connection whose other end
 *     has the key of that member in the view of this moment (see PeerLink).
 * Z4. A generation leaves the keyring only when the view has forgotten it and no file of this node needs it.
 * Z5. There is always a current generation, so nothing is ever written in the clear.
 * Z6. After close() nothing is written: the keyring's file is the next life's then.
 * Z7. Who was away while keys rotated believes one authority more than its view lists: a newer one for which more than
 *     half of the other members that it knows have signed, until its view has caught up. That lets in nobody: a peer's
 *     key still has to be that of a member in good standing.
 */
import type { NodeId } from "../../../core/base/ids.ts";
import type { Vault } from "../../../core/base/vault.ts";
import { equalBytes } from "../../../core/base/bytes.ts";
import { invariant } from "../../../core/base/invariant.ts";
import { isEvictedKey } from "../../../core/system/security.ts";
import type { KeyOffer } from "../../../core/wire/kernel.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import { isFormer } from "../../../core/wire/members.ts";
import type { NetworkKey } from "../../../core/wire/security.ts";
import type { Admission, GenerationSecret } from "../../../core/wire/session.ts";
import { authoritiesOf, type NodeCredentials } from "../credentials.ts";
import {
  authorityMatches,
  CertificateError,
  certificatePem,
  readAuthority,
  readMember,
  renewalDue,
} from "../identity/certificates.ts";
import { issueAuthority, issueMember, MEMBER_LIFE_MS } from "../identity/issuing.ts";
import type { Keyring } from "../identity/keyring.ts";
import type { AuthorityAnswer } from "../identity/authority_answer.ts";
import { mayFollow } from "../identity/handover.ts";
import { statementBytes } from "../identity/statements.ts";
import type { TablesKeys } from "../tables/keys.ts";
import { ownCertificate, type TlsMaterial } from "../tls.ts";

/** What the core is told (see Input). */
export interface KeysStatus {
  readonly holds: number;
  readonly uses: number;
  readonly statement: Uint8Array;
}

export interface NetworkKeysOptions {
  readonly keyring: Keyring;
  readonly node: NodeId;
  /** The newest view of the node's last life, until begin(); null: none. */
  readonly lastView: SystemView | null;
  /** How long a certificate of this node is valid from when it is issued. */
  readonly certificateMs?: number | undefined;
  /** The generations that this node's files need; 0 counts for nothing. */
  readonly filesNeed: () => readonly number[];
  /** What the core is told has changed. */
  readonly changed: () => void;
  /** The current generation is another: what is written from now on is encrypted with it. */
  readonly currentChanged: () => void;
  /** These generations have left the keyring: what they encrypted elsewhere can be read no more. */
  readonly forgot: (generations: readonly number[]) => void;
  readonly warn: (what: string, error: Error) => void;
}

export class NetworkKeys implements NodeCredentials {
  readonly #options: NetworkKeysOptions;
  readonly #keyring: Keyring;
  #view: SystemView | null = null;
  #vault: Vault;
  /** What tls() said last; null: to be found out. */
  #material: TlsMaterial | null = null;
  #renewing: Promise<void> | null = null;
  #renewAgain = false;
  #told: KeysStatus | null = null;
  /** Z7, in DER; null: the view lists all that are believed. */
  #ahead: { readonly generation: number; readonly der: Uint8Array } | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** The core runs, and hears what changes. */
  #running = false;
  #closed = false;

  constructor(options: NetworkKeysOptions) {
    this.#options = options;
    this.#keyring = options.keyring;
    this.#view = options.lastView;
    this.#vault = options.keyring.toVault();
    invariant(this.#vault.current > 0, "Z5: a generation is current");
  }

  get network(): string {
    return this.#keyring.network;
  }

  /** With what files are encrypted. */
  vault(): Vault {
    return this.#vault;
  }

  view(): SystemView | null {
    return this.#view;
  }

  tls(): TlsMaterial | null {
    return this.#material ??= this.#makeMaterial();
  }

  /** All that is written now is encrypted with this generation. */
  get current(): number {
    return this.#vault.current;
  }

  /** The newest generation that the view lists an authority of. */
  get newest(): number {
    return Math.max(0, ...this.#listed().map(({ id }) => id));
  }

  /** Where the node begins: brings keyring and certificate in line with the view. */
  async begin(view: SystemView): Promise<void> {
    this.#follow(view);
    await this.#renew();
  }

  /** The core runs from now on: it is told what this host has, now and after each change. */
  run(): void {
    this.#running = true;
    this.tell();
  }

  /** The view is another now. */
  viewChanged(view: SystemView): void {
    if (view === this.#view) return;
    this.#follow(view);
    void this.#renew();
    this.tell();
  }

  /** For the tables' writer, which is another thread. */
  tablesKeys(): TablesKeys {
    const secrets = new Map(this.#keyring.generations.map(({ id }) => [id, this.#keyring.secretOf(id)]));
    return { secrets, current: this.#vault.current };
  }

  /** What the core has to know. */
  status(): KeysStatus {
    const held = this.#listed().filter(({ id }) => this.#keyring.has(id)).map(({ id }) => id);
    const holds = Math.max(0, ...held);
    const authority = this.#view?.security?.keys.find(({ id }) => id === holds)?.authority;
    const statement = authority === undefined
      ? new Uint8Array(0)
      : this.#keyring.sign(statementBytes({ network: this.network, generation: holds, authority }));
    return { holds, uses: Math.min(holds, this.#uses(holds)), statement };
  }

  /** Tells the core where it does not know. Also after files were written anew. */
  tell(): void {
    const now = this.status(), told = this.#told;
    const known = told !== null && told.holds === now.holds && told.uses === now.uses &&
      equalBytes(told.statement, now.statement);
    if (known || !this.#running) return;
    this.#told = now;
    this.#options.changed();
  }

  /** Generations that are needed no more leave the keyring. After files were written anew. */
  forget(): void {
    const security = this.#view?.security;
    if (security === null || security === undefined) return;
    const newest = security.keys.at(-1)!.id;
    const needed = new Set(this.#options.filesNeed());
    const forgotten = this.#keyring.generations.filter(({ id, state }) =>
      id < newest && state !== "current" && !needed.has(id) && !security.keys.some((key) => key.id === id)
    ).map(({ id }) => id);
    for (const id of forgotten) this.#keyring.dropGeneration(id);
    if (forgotten.length > 0) this.#options.forgot(forgotten);
    this.#keysChanged();
  }

  /** What somebody says, whoever it is, of the network's authorities. The generation that is believed from now on (Z7). */
  heard({ network, authorities, statements }: AuthorityAnswer): number | null {
    const view = this.#view;
    if (view === null || network !== this.network) return null;
    const others = view.members.filter(({ state, identity }) =>
      !isFormer(state) && identity !== undefined && identity.key !== this.#keyring.publicKey
    );
    const known = others.map(({ identity }) => identity!.key);
    const generation = Math.max(this.#ahead?.generation ?? 0, this.newest);
    for (const authority of authorities) {
      const offered = { authority, statements };
      const verdict = mayFollow({ network, generation, known, offered, now: Date.now() });
      if (verdict.kind !== "follow") continue;
      this.#ahead = verdict.authority;
      this.#material = null;
      return verdict.authority.generation;
    }
    return null;
  }

  /** Makes the secret and the authority of a generation, and keeps both (Z1). The authority, in DER. */
  async make(id: number): Promise<Uint8Array> {
    const known = this.#keyring.generations.find((generation) => generation.id === id);
    if (known !== undefined) return known.authority;
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const authority = await issueAuthority({
      network: this.network,
      generation: id,
      secret,
      now: Date.now(),
    });
    if (this.#closed) throw new Error("The node has stopped meanwhile"); // Z6
    const made = this.#keyring.generations.find((generation) => generation.id === id);
    if (made !== undefined) return made.authority;
    this.#keyring.addGeneration({ id, state: "made", secret, authority });
    return authority;
  }

  /** The secrets for a member that the core wants to have them (Z3). */
  offered({ ids }: KeyOffer): GenerationSecret[] {
    const listed = new Set(this.#listed().map(({ id }) => id));
    return ids.filter((id) => listed.has(id) && this.#keyring.has(id))
      .map((id) => ({ id, secret: this.#keyring.secretOf(id) }));
  }

  /** Secrets that a member's host sent. True where one was new and right (Z2). */
  received(secrets: readonly GenerationSecret[]): boolean {
    let taken = false;
    for (const { id, secret } of secrets) {
      const key = this.#listed().find((each) => each.id === id);
      if (key === undefined || this.#keyring.has(id) || !this.#comesFrom(key, secret)) continue;
      this.#keyring.addGeneration({ id, state: stateOf(key), secret, authority: key.authority });
      taken = true;
    }
    if (!taken) return false;
    this.#keysChanged();
    if (this.#view !== null) this.#follow(this.#view);
    void this.#renew();
    this.tell();
    return true;
  }

  /** False also where what the view lists is no authority of this network and generation: a member can have made it up. */
  #comesFrom({ id, authority }: NetworkKey, secret: Uint8Array): boolean {
    try {
      const { network, generation } = readAuthority(authority);
      return network === this.network && generation === id && authorityMatches(authority, secret);
    } catch (error) {
      if (error instanceof CertificateError) return false;
      throw error;
    }
  }

  /** Z1 holds for the one who is let in: its host keeps all this before it says that it is a member. */
  async admit(node: NodeId, publicKey: string): Promise<Admission> {
    // It may have been shut out between its admission and this.
    if (this.#view !== null && isEvictedKey(this.#view, publicKey)) throw new Error(`"${node}" was evicted`);
    const held = this.#listed().filter(({ id }) => this.#keyring.has(id));
    const current = held.findLast(({ state }) => state === "current");
    if (current === undefined) throw new Error("this node does not have the current keys yet");
    const certificate = await issueMember({
      authority: current.authority,
      secret: this.#keyring.secretOf(current.id),
      node,
      publicKey,
      now: Date.now(),
      lifeMs: this.#options.certificateMs ?? MEMBER_LIFE_MS,
    });
    const given = held.filter(({ state }) => state !== "former");
    return { certificate, secrets: given.map(({ id }) => ({ id, secret: this.#keyring.secretOf(id) })) };
  }

  close(): void {
    this.#closed = true;
    this.#running = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** The view's generations that have a secret. */
  #listed(): readonly NetworkKey[] {
    return this.#view?.security?.keys.filter(({ state }) => state !== "wanted") ?? [];
  }

  #uses(holds: number): number {
    const der = this.#certificate();
    const certificate = der === null ? [] : [readMember(der).generation];
    const needed = [...certificate, ...this.#options.filesNeed()].filter((id) => id > 0);
    return needed.length === 0 ? holds : Math.min(...needed);
  }

  /**
   * Z2: the keyring says of each generation what the view says. The current one first, which makes the one before a
   * former one: as long as this node lacks it, it goes on with that (Z5).
   */
  #follow(view: SystemView): void {
    this.#view = view;
    const ahead = this.#ahead?.generation ?? 0;
    if (this.#listed().some(({ id }) => id >= ahead)) this.#ahead = null;
    const currentFirst = [...this.#listed()].sort((a, b) => rank(a) - rank(b));
    for (const key of currentFirst) {
      const own = this.#keyring.generations.find(({ id }) => id === key.id);
      if (own === undefined) continue;
      if (!equalBytes(own.authority, key.authority)) this.#keyring.dropGeneration(key.id);
      else if (own.state !== "current") this.#keyring.setState(key.id, stateOf(key));
    }
    this.forget();
  }

  #keysChanged(): void {
    const before = this.#vault;
    this.#vault = this.#keyring.toVault();
    invariant(this.#vault.current > 0, "Z5: a generation is current");
    this.#material = null;
    if (before.current !== this.#vault.current) this.#options.currentChanged();
  }

  #makeMaterial(): TlsMaterial | null {
    const security = this.#view?.security ?? null;
    const authorities = security === null
      ? this.#keyring.generations.map(({ authority }) => authority)
      : authoritiesOf(security);
    if (this.#ahead !== null) authorities.unshift(this.#ahead.der);
    const der = this.#certificate();
    if (der === null) return null;
    const own = ownCertificate(this.#keyring.privateKeyPem(), der);
    return { own, authorities: authorities.map(certificatePem) };
  }

  /** The one to show: by the current generation, or by the newest other one as long as there is none of that. */
  #certificate(): Uint8Array | null {
    const { certificates } = this.#keyring;
    const current = this.#current()?.id;
    return (certificates.find(({ generation }) => generation === current) ?? certificates[0])?.der ?? null;
  }

  #current(): { readonly id: number; readonly authority: Uint8Array } | undefined {
    return this.#keyring.generations.find(({ state }) => state === "current");
  }

  /**
   * Issues the certificate by the current generation where there is none, or two thirds of its life are over. Asked while
   * it is at that it looks again afterwards: another generation may be current by then, and clients believe that alone.
   */
  #renew(): Promise<void> {
    this.#renewAgain = true;
    return this.#renewing ??= this.#renewWhileAsked();
  }

  async #renewWhileAsked(): Promise<void> {
    while (this.#renewAgain) {
      this.#renewAgain = false;
      try {
        await this.#renewNow();
      } catch (error) {
        this.#options.warn("renew its certificate", error as Error);
      }
    }
    this.#renewing = null;
    this.#setTimer();
  }

  async #renewNow(): Promise<void> {
    const current = this.#current();
    if (current === undefined || this.#closed) return;
    const der = this.#keyring.certificates.find(({ generation }) => generation === current.id)?.der;
    if (der === undefined || renewalDue(der, Date.now()) || readMember(der).node !== this.#options.node) {
      const issued = await this.#issue(current);
      if (this.#closed || !this.#keyring.has(current.id)) return; // Z6, or its generation was forgotten meanwhile
      this.#keyring.setCertificate(issued);
      this.#material = null;
      this.tell();
    }
  }

  #issue({ id, authority }: { readonly id: number; readonly authority: Uint8Array }): Promise<Uint8Array> {
    const { node, certificateMs = MEMBER_LIFE_MS } = this.#options;
    return issueMember({
      authority,
      secret: this.#keyring.secretOf(id),
      node,
      publicKey: this.#keyring.publicKey,
      now: Date.now(),
      lifeMs: certificateMs,
    });
  }

  #setTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const current = this.#current()?.id;
    if (current === undefined || this.#closed) return;
    const der = this.#keyring.certificates.find(({ generation }) => generation === current)?.der;
    // Often enough to be there soon after two thirds of the time; soon where it could not be issued.
    const left = der === undefined ? 0 : readMember(der).notAfter - Date.now();
    const ms = Math.min(Math.max(RENEW_PAUSE_MS, left / 10), RENEW_LOOK_MS_MAX);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#renew();
    }, ms);
  }
}

/** Between two looks at whether a new certificate is due. */
const RENEW_PAUSE_MS = 1000;
/** A machine that slept for weeks wakes up with a certificate that is over: it is renewed soon, and not in an hour. */
const RENEW_LOOK_MS_MAX = 60_000;

function rank({ state }: NetworkKey): number {
  return state === "current" ? 0 : 1;
}

/** As a keyring knows it. */
export function stateOf({ state }: NetworkKey): "made" | "current" | "former" {
  return state === "current" || state === "former" ? state : "made";
}
