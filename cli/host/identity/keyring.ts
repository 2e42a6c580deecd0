/**
 * DIR/keyring.json: the private things of a node. Its own key, its certificates, and the secrets of the network's key
 * generations, from which come what encrypts its files and what signs certificates.
 *
 *  Y1  The file is readable by its owner only, and written whole or not at all; memory follows the file, so an error
 *      in writing leaves both as they were.
 *  Y2  A secret is there only together with the authority that comes from it.
 *  Y3  A generation has one secret for ever. At most one generation is current.
 *  Y4  Nothing that prints a keyring prints a secret.
 *
 * Sealing writes a new file over the old one's name. What the disk keeps of the old one is beyond a program's reach:
 * seal at the beginning, or rotate the keys after sealing.
 */
import { join } from "node:path";
import { equalBytes } from "../../../core/base/bytes.ts";
import { SECRET_BYTES, Vault } from "../../../core/base/vault.ts";
import { authorityMatches, CertificateError, readAuthority, readMember } from "./certificates.ts";
import { newSeed, privateKeyPem, publicKeyOfSeed, signWithSeed } from "./ed25519.ts";
import {
  additionalOf,
  decodeContent,
  encodeContent,
  formatKeyring,
  type Founding,
  type GenerationState,
  KEYRING_BYTES_MAX,
  KEYRING_GENERATIONS_MAX,
  type KeyringContent,
  KeyringError,
  type KeyringFile,
  parseKeyring,
  type StoredGeneration,
} from "./keyring_file.ts";
import { readPrivateFile, removePrivateDraft, writePrivateFile } from "./private_file.ts";
import { BoxKey, type Sealing, type SealKind } from "./sealing.ts";

export {
  type Founding,
  type GenerationState,
  KeyringError,
  type KeyringErrorReason,
} from "./keyring_file.ts";

const FILE = "keyring.json";

/** Whose keyring it is. */
export interface KeyringOwner {
  /** 32 hexadecimal digits. */
  readonly network: string;
  /** Of the data directory, see Member.disk. */
  readonly disk: string;
}

/** A generation as anyone may know it. */
export interface HeldGeneration {
  readonly id: number;
  readonly state: GenerationState;
  /** The certificate of its authority, in DER. */
  readonly authority: Uint8Array;
}

export interface NewGeneration extends HeldGeneration {
  /** 32 bytes. */
  readonly secret: Uint8Array;
}

export interface CreateOptions extends KeyringOwner {
  readonly directory: string;
  /** Absent: the file is open. */
  readonly sealing?: Sealing;
  /** Of the node's own key, where it was needed before; else one is drawn. */
  readonly seed?: Uint8Array;
}

export interface OpenOptions {
  readonly directory: string;
  /** null: there is nothing to open a sealed keyring with. */
  readonly sealing?: Sealing | null;
  /** As node.json has it; a keyring of another network or directory is refused. */
  readonly owner?: KeyringOwner;
  /** True: it is only looked into, and its node may be running. */
  readonly readOnly?: boolean;
}

export class Keyring {
  readonly disk: string;
  #network: string;
  readonly #path: string;
  #content: KeyringContent;
  /** null: the file is open. */
  #box: BoxKey | null;

  private constructor(path: string, owner: KeyringOwner, content: KeyringContent, box: BoxKey | null) {
    this.#path = path;
    this.#network = owner.network;
    this.disk = owner.disk;
    this.#content = content;
    this.#box = box;
  }

  /** What a node needs to open its keyring: "none" where it has no keyring, "open" where nothing. @throws {KeyringError} */
  static look(directory: string): "none" | "open" | SealKind {
    const path = join(directory, FILE);
    const bytes = readPrivateFile(path, KEYRING_BYTES_MAX);
    if (bytes === null) return "none";
    return parseKeyring(path, bytes).head.seal?.kind ?? "open";
  }

  /** @throws {KeyringError} "exists" */
  static create({ directory, network, disk, sealing, seed = newSeed() }: CreateOptions): Keyring {
    const path = join(directory, FILE);
    if (readPrivateFile(path, KEYRING_BYTES_MAX) !== null) {
      throw new KeyringError(
        "exists",
        `There is a keyring "${path}" already. Use it, or start on an empty directory`,
      );
    }
    publicKeyOfSeed(seed); // throws unless it is one
    const content = { seed: seed.slice(), certificates: new Map(), generations: new Map(), founding: null };
    const keyring = new Keyring(path, { network, disk }, content, sealing?.unlock(BoxKey.newSalt()) ?? null);
    keyring.#write(content, keyring.#box);
    return keyring;
  }

  /**
   * @throws {KeyringError}
   * @throws {PrivateFileError} where others may read the file
   */
  static open({ directory, sealing = null, owner, readOnly = false }: OpenOptions): Keyring {
    const path = join(directory, FILE);
    const bytes = readPrivateFile(path, KEYRING_BYTES_MAX);
    if (bytes === null) {
      throw new KeyringError(
        "missing",
        `There is no keyring "${path}". Restore it from a backup: without it nothing ` +
          `in "${directory}" can be read. Where it is lost, evict the node, and let this machine join as a new one: on ` +
          `an empty directory, under a new --id, with an invite`,
      );
    }
    const file = parseKeyring(path, bytes);
    checkOwner(path, file.head, owner);
    const { content, box } = openFile(path, file, sealing);
    checkContent(path, file.head.network, content);
    // A draft of it may have been open where this one is sealed.
    if (!readOnly) removePrivateDraft(path);
    return new Keyring(path, file.head, content, box);
  }

  get network(): string {
    return this.#network;
  }

  /** What opens the file; "open": nothing has to. */
  get seal(): "open" | SealKind {
    return this.#box?.kind ?? "open";
  }

  /** The node's own public key, 64 hexadecimal digits. */
  get publicKey(): string {
    return publicKeyOfSeed(this.#content.seed);
  }

  /** The node's own private key, for node:tls and nothing else. */
  privateKeyPem(): string {
    return privateKeyPem(this.#content.seed);
  }

  /** 64 bytes, by the node's own key. */
  sign(bytes: Uint8Array): Uint8Array {
    return signWithSeed(this.#content.seed, bytes);
  }

  /** The newest first. */
  get generations(): readonly HeldGeneration[] {
    return newestFirst(this.#content.generations).map(([id, { state, authority }]) => ({
      id,
      state,
      authority,
    }));
  }

  /** The node's certificates, those of the newest generation first. */
  get certificates(): readonly { readonly generation: number; readonly der: Uint8Array }[] {
    return newestFirst(this.#content.certificates).map(([generation, der]) => ({ generation, der }));
  }

  get founding(): Founding | null {
    return this.#content.founding;
  }

  has(generation: number): boolean {
    return this.#content.generations.has(generation);
  }

  /** A copy of a generation's secret, to issue a certificate with or to hand to a member. @throws {KeyringError} */
  secretOf(generation: number): Uint8Array {
    return this.#generation(generation).secret.slice();
  }

  /** Seals with the current generation; where none is, with generation 0 (nothing may be written then). */
  toVault(): Vault {
    const { generations } = this.#content;
    const current = [...generations].find(([, { state }]) => state === "current")?.[0] ?? 0;
    return new Vault(new Map([...generations].map(([id, { secret }]) => [id, secret])), current);
  }

  /**
   * Adds a generation. One that is there stays as it is, with the state given.
   * @throws {KeyringError} "mismatch" where the secret is not the authority's, or not the one that is there; "full"
   */
  addGeneration({ id, state, secret, authority }: NewGeneration): void {
    const generations = new Map(this.#content.generations);
    const known = generations.get(id);
    if (known !== undefined && !equalBytes(known.secret, secret)) {
      throw new KeyringError("mismatch", `Generation ${id} has another secret in the keyring. It is kept`);
    }
    const stored = { state, secret: secret.slice(), authority: authority.slice() };
    const why = whyMismatch(this.network, id, stored);
    if (why !== null) {
      throw new KeyringError("mismatch", `Generation ${id} is not taken into the keyring: ${why}`);
    }
    if (known === undefined && generations.size >= KEYRING_GENERATIONS_MAX) {
      throw new KeyringError(
        "full",
        `The keyring has ${generations.size} generations. Drop former ones first`,
      );
    }
    this.#setGenerations(withState(generations.set(id, stored), id, state));
  }

  /** A generation that becomes current makes the one before a former one. @throws {KeyringError} */
  setState(id: number, state: GenerationState): void {
    if (this.#generation(id).state === state) return;
    this.#setGenerations(withState(new Map(this.#content.generations), id, state));
  }

  /** Forgets a generation and the certificates by it; nothing where it is not there. @throws {RangeError} of the current one */
  dropGeneration(id: number): void {
    const known = this.#content.generations.get(id);
    if (known === undefined) return;
    if (known.state === "current") {
      throw new RangeError(`Generation ${id} is the current one and cannot be dropped`);
    }
    const without = <T>(map: ReadonlyMap<number, T>) => new Map([...map].filter(([key]) => key !== id));
    const { generations, certificates } = this.#content;
    this.#change({ generations: without(generations), certificates: without(certificates) });
  }

  /**
   * Keeps a certificate of the node, in place of the one by the same generation.
   * @throws {CertificateError} where it is none
   * @throws {KeyringError} "mismatch" where it is for another key or by another network
   */
  setCertificate(der: Uint8Array): void {
    const { key, network, generation } = readMember(der);
    if (key !== this.publicKey || network !== this.network) {
      throw new KeyringError("mismatch", "The certificate is for another key, or by another network");
    }
    this.#change({ certificates: new Map(this.#content.certificates).set(generation, der.slice()) });
  }

  setFounding(founding: Founding | null): void {
    this.#change({ founding });
  }

  /**
   * Belongs to the network of another name from now on, as after a recovery. The secrets stay, each under an authority that
   * bears the new name; certificates by the old ones go.
   * @throws {KeyringError} "mismatch" where an authority is missing, of another name, or does not come from its secret
   */
  rename(network: string, authorities: ReadonlyMap<number, Uint8Array>): void {
    const generations = new Map(this.#content.generations);
    for (const [id, known] of generations) {
      const stored = { ...known, authority: (authorities.get(id) ?? known.authority).slice() };
      const why = whyMismatch(network, id, stored);
      if (why !== null) throw new KeyringError("mismatch", `Generation ${id} cannot be renamed: ${why}`);
      generations.set(id, stored);
    }
    const content = { ...this.#content, generations, certificates: new Map(), founding: null };
    this.#write(content, this.#box, network);
    this.#content = content;
    this.#network = network;
  }

  /** Seals the file, or seals it anew. Takes half a second for a passphrase. */
  reseal(sealing: Sealing): void {
    const box = sealing.unlock(BoxKey.newSalt());
    this.#write(this.#content, box);
    this.#box = box;
  }

  /** @throws {KeyringError} "sealed" where it is already: use reseal() */
  sealWith(sealing: Sealing): void {
    if (this.#box !== null) throw new KeyringError("sealed", `The keyring "${this.#path}" is sealed already`);
    this.reseal(sealing);
  }

  /** Writes the file open. @throws {KeyringError} "not-sealed" */
  unseal(): void {
    if (this.#box === null) throw new KeyringError("not-sealed", `The keyring "${this.#path}" is not sealed`);
    this.#write(this.#content, null);
    this.#box = null;
  }

  /** Y4: what consoles, loggers and JSON show. */
  toJSON(): Record<string, unknown> {
    const generations = this.generations.map(({ id, state }) => ({ id, state }));
    return {
      network: this.network,
      disk: this.disk,
      seal: this.seal,
      publicKey: this.publicKey,
      generations,
    };
  }

  #generation(id: number): StoredGeneration {
    const found = this.#content.generations.get(id);
    if (found === undefined) {
      throw new KeyringError("unknown-generation", `The keyring has no secret of generation ${id}`);
    }
    return found;
  }

  #setGenerations(generations: ReadonlyMap<number, StoredGeneration>): void {
    this.#change({ generations });
  }

  #change(change: Partial<KeyringContent>): void {
    const content = { ...this.#content, ...change };
    this.#write(content, this.#box);
    this.#content = content;
  }

  #write(content: KeyringContent, box: BoxKey | null, network = this.network): void {
    const head = { network, disk: this.disk, seal: box };
    const file: KeyringFile = box === null
      ? { kind: "open", head, content }
      : { kind: "sealed", head, box: box.seal(encodeContent(content), additionalOf(head)) };
    try {
      writePrivateFile(this.#path, formatKeyring(file));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot write the keyring "${this.#path}": ${why}`, { cause: error });
    }
  }
}

function openFile(
  path: string,
  file: KeyringFile,
  sealing: Sealing | null,
): { content: KeyringContent; box: BoxKey | null } {
  if (file.kind === "open") return { content: file.content, box: null };
  const { kind, salt } = file.head.seal!;
  const way = kind === "passphrase"
    ? "its passphrase with --passphrase-file, SPACE_OPERA_PASSPHRASE or at the prompt"
    : "its key file with --key-file";
  if (sealing?.kind !== kind) {
    throw new KeyringError(
      "sealed",
      `The keyring "${path}" is sealed with a ${kind.replace("-", " ")}. Give ${way}`,
    );
  }
  const box = sealing.unlock(salt);
  const bytes = box.open(file.box, additionalOf(file.head));
  if (bytes !== null) return { content: decodeContent(path, bytes), box };
  throw kind === "passphrase"
    ? new KeyringError("wrong-passphrase", `The passphrase does not open the keyring "${path}". Try again`)
    : new KeyringError(
      "wrong-key-file",
      `The key file does not open the keyring "${path}". Name the one it was sealed with`,
    );
}

function checkOwner(path: string, head: KeyringOwner, owner: KeyringOwner | undefined): void {
  if (owner === undefined || (head.network === owner.network && head.disk === owner.disk)) return;
  const whose = head.network === owner.network ? "another node" : `network ${head.network}`;
  throw new KeyringError(
    "foreign",
    `The keyring "${path}" belongs to ${whose}. Put back the one that was made with this data directory`,
  );
}

/** Y2, Y3 of a file that was read: an open one can be written by anyone who has the disk. */
function checkContent(
  path: string,
  network: string,
  { generations, certificates, seed }: KeyringContent,
): void {
  const damaged = (why: string) =>
    new KeyringError("damaged", `The keyring "${path}" contradicts itself: ${why}. Restore it from a backup`);
  for (const [id, stored] of generations) {
    const why = whyMismatch(network, id, stored);
    if (why !== null) throw damaged(`generation ${id}: ${why}`);
  }
  if ([...generations.values()].filter(({ state }) => state === "current").length > 1) {
    throw damaged("two generations are current");
  }
  const own = publicKeyOfSeed(seed);
  for (const [generation, der] of certificates) {
    const why = whyNotOwn(own, network, generation, der);
    if (why !== null) throw damaged(why);
  }
}

/** Y2; null: they belong together. */
function whyMismatch(network: string, id: number, { secret, authority }: StoredGeneration): string | null {
  if (secret.length !== SECRET_BYTES) return "its secret has another length";
  try {
    const read = readAuthority(authority);
    if (read.network !== network || read.generation !== id) return "its authority has another name";
    return authorityMatches(authority, secret) ? null : "its authority does not come from its secret";
  } catch (error) {
    return refusalOf(error);
  }
}

function whyNotOwn(own: string, network: string, generation: number, der: Uint8Array): string | null {
  try {
    const read = readMember(der);
    const fits = read.key === own && read.network === network && read.generation === generation;
    return fits ? null : `the certificate by generation ${generation} is another node's`;
  } catch (error) {
    return refusalOf(error);
  }
}

/** Y3. */
function withState(
  generations: ReadonlyMap<number, StoredGeneration>,
  id: number,
  state: GenerationState,
): ReadonlyMap<number, StoredGeneration> {
  return new Map([...generations].map(([key, stored]) => {
    if (key === id) return [key, { ...stored, state }];
    return [
      key,
      state === "current" && stored.state === "current" ? { ...stored, state: "former" as const } : stored,
    ];
  }));
}

function newestFirst<T>(map: ReadonlyMap<number, T>): [number, T][] {
  return [...map].sort(([a], [b]) => b - a);
}

function refusalOf(error: unknown): string {
  if (error instanceof CertificateError) return error.message;
  throw error;
}
