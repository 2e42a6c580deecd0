/**
 * One life of a node: from its files to a running core, and back to closed files. The same code at the start of the
 * process and after trouble, so that whatever ended a life, the next one begins with full recovery.
 */
import type { NodeId } from "../../../core/base/ids.ts";
import { OPEN_VAULT, type Vault } from "../../../core/base/vault.ts";
import { Random } from "../../../core/base/random.ts";
import { Node } from "../../../core/node/node.ts";
import type { Origin } from "../../../core/node/options.ts";
import type { Recovered } from "../../../core/wire/kernel.ts";
import { isFormer } from "../../../core/wire/members.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { GenerationSecret } from "../../../core/wire/session.ts";
import { TablesCorruptError } from "../../../core/tables/errors.ts";
import type { NodeStatus, Trouble } from "../../../core/wire/requests.ts";
import { AuditLog } from "../audit.ts";
import { ChunkFiles } from "../chunks/chunks.ts";
import { NO_CREDENTIALS } from "../credentials.ts";
import type { DataDirectory, NodeIdentity } from "../directory.ts";
import type { Keyring } from "../identity/keyring.ts";
import type { Incident } from "../doorkeeper.ts";
import { JournalFiles } from "../journal.ts";
import { Runner } from "../runner.ts";
import { DiskTables } from "../tables/tables.ts";
import type { Self, Transport } from "../transport.ts";
import { DiskError, EvictedError, JournalLostError, TablesLostError } from "./ending.ts";
import { CatchingUp } from "./catching_up.ts";
import { NetworkKeys } from "./network_keys.ts";
import { logNote } from "./notes.ts";
import type { AuthorityAnswer } from "../identity/authority_answer.ts";
import { openKeyring } from "./opening.ts";
import type { StartOptions } from "./options.ts";
import { type FirstOrigin, firstOrigin } from "./origin.ts";
import { onlyHere } from "./rebuild.ts";
import { FileRenewal } from "./renewal.ts";
import type { SpaceWatch } from "./space.ts";

export interface LifeOptions {
  readonly start: StartOptions;
  readonly directory: DataDirectory;
  readonly transport: Transport;
  readonly space: SpaceWatch;
  /** What others are told. */
  readonly address: string;
  /** Of a node without a node.json: the same in each life of this process. */
  readonly newcomer: { readonly node: NodeId; readonly disk: string };
  /** The tables were found damaged in the life before. */
  readonly tablesDamage: Error | null;
  readonly trouble: () => Trouble | null;
  readonly signal: AbortSignal;
  /** The newest view of the life before; null: there was none. */
  readonly lastView: SystemView | null;
  /** Who the node is: told as soon as it is known, and by what it is known. */
  readonly introduced: (who: Omit<Self, "address">) => void;
  /** It cannot go on. May be called more than once. */
  readonly failed: (error: Error) => void;
  /** It did all that "stop" asks. */
  readonly stopped: () => void;
}

const PEERS_WRITTEN_MS = 1000;

export class Life {
  readonly #options: LifeOptions;
  #identity: NodeIdentity | null = null;
  #journal: JournalFiles | null = null;
  #tables: DiskTables | null = null;
  #chunks: ChunkFiles | null = null;
  #runner: Runner | null = null;
  #node: Node | null = null;
  #keyring: Keyring | null = null;
  /** null: the network is open, or the keyring not there yet. */
  #keys: NetworkKeys | null = null;
  readonly #catchingUp = new CatchingUp({
    addresses: () => this.#peerAddresses(),
    heard: (answer) => this.#heard(answer),
  });
  #viewChanged = false;
  #audit: AuditLog | null = null;
  /** null: the network is open, or the core not there yet. */
  #renewal: FileRenewal | null = null;
  #origin: Origin["kind"] = "recovered";
  #peersTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: LifeOptions) {
    this.#options = options;
  }

  get runner(): Runner | null {
    return this.#runner;
  }
  get origin(): Origin["kind"] {
    return this.#origin;
  }
  /** With what its files can be read; null: the network is open, or there are no keys. */
  get vault(): Vault | null {
    return this.#keys?.vault() ?? null;
  }
  get identity(): NodeIdentity | null {
    return this.#identity;
  }
  /** The newest view that it knows. */
  get view(): SystemView | null {
    return this.#node?.view() ?? null;
  }

  /**
   * Recovers, or joins, or begins a network, and starts the core.
   * @throws whatever endingOf() makes an Ending of
   */
  async open(): Promise<void> {
    const { directory, start } = this.#options;
    let identity = this.#identity = this.#settledIdentity();
    this.#keyring = openKeyring(start, directory, identity);
    this.#introduce();
    this.#checkJournal(identity);
    // A new node knows who it is before it has a journal, which bears its name; one that is rebuilt may change it yet.
    let first: FirstOrigin | null = null;
    if (identity === null) {
      const begun = first = await this.#first();
      identity = this.#newIdentity(begun);
      directory.writeIdentity(identity);
      this.#identity = identity;
      this.#introduce();
    } else if (!directory.hasJournal) first = await this.#first();
    this.#openKeys(identity);
    const recovered = this.#openJournal(identity);
    let origin: Origin;
    if (recovered !== null && recovered.view !== null) {
      origin = { kind: "recovered", recovered };
      this.#checkNetwork(identity, recovered.view.network);
    } else if (identity.started) {
      throw new JournalLostError(
        `The journal in "${directory.path}" begins anew, though node "${identity.node}" has written to it before`,
      );
    } else origin = first ?? await this.#first();
    this.#origin = origin.kind;
    this.#openTables(recovered, identity);
    this.#openAudit();
    await this.#keys?.begin(viewOf(origin));
    this.#begin(origin, identity);
  }

  /** Closes all files. `failed`: as a crash would, since the journal may lack what the tables would be made to hold. */
  async close({ failed }: { failed: boolean }): Promise<void> {
    if (this.#peersTimer !== null) clearTimeout(this.#peersTimer);
    this.#runner?.kill();
    this.#catchingUp.close();
    this.#keys?.close();
    this.#renewal?.close();
    // Nothing of this life is written beside the next one.
    await this.#chunks?.close();
    await this.#audit?.close();
    this.#options.start.recorder?.end(failed ? "failed" : "stopped");
    try {
      await this.#journal?.close();
    } finally {
      if (failed) await this.#tables?.abandon();
      else await this.#tables?.close();
    }
  }

  /** node.json, once what it says is to be set aside has been. */
  #settledIdentity(): NodeIdentity | null {
    const { directory } = this.#options;
    const identity = directory.identity();
    if (identity === null || identity.aside === null) return identity;
    directory.setJournalAside(identity.aside);
    const settled = { ...identity, aside: null };
    directory.writeIdentity(settled);
    return settled;
  }

  #checkJournal(identity: NodeIdentity | null): void {
    const { directory } = this.#options;
    if (identity === null || !identity.started || directory.hasJournal) return;
    throw new JournalLostError(
      `Cannot use the data directory "${directory.path}": its journal is missing`,
    );
  }

  #checkNetwork(identity: NodeIdentity, network: string): void {
    if (identity.network === network) return;
    throw new Error(
      `Cannot use the data directory "${this.#options.directory.path}": node.json is of network ` +
        `${identity.network}, the journal of ${network}. Restore the file that belongs to the other`,
    );
  }

  async #first(): Promise<FirstOrigin> {
    const { start, newcomer, address, signal, directory: { path: directory } } = this.#options;
    const known = this.#identity, keyring = this.#keyring;
    const { node, disk } = known ?? { node: newcomer.node, disk: keyring?.disk ?? newcomer.disk };
    const who = { node, disk, formerly: known?.formerly ?? null };
    const begun = await firstOrigin(start, { ...who, directory, address, known, keyring, signal });
    this.#keyring = begun.keyring;
    return begun.origin;
  }

  /** Who answers hellos. As long as it has no keys, or no view, a private network's node lets nobody in. */
  #introduce(): void {
    const { introduced, newcomer, start } = this.#options;
    const { node, network } = this.#identity ?? { node: newcomer.node, network: null };
    introduced({ node, network, credentials: start.open === true ? null : this.#keys ?? NO_CREDENTIALS });
  }

  #openKeys({ node }: NodeIdentity): void {
    const { lastView, start: { certificateMs, log, recorder } } = this.#options;
    if (this.#keyring === null) return;
    this.#keys = new NetworkKeys({
      keyring: this.#keyring,
      node,
      lastView,
      certificateMs,
      filesNeed: () => this.#generations(),
      changed: () => this.#runner?.input({ kind: "keys", ...this.#keys!.status() }),
      currentChanged: () => this.#renewal?.begin(),
      forgot: (generations) => {
        log.info("Forgot the keys {generations}", { generations: generations.join(", ") });
        void recorder?.drop(generations);
      },
      warn: (what, error) => log.warn("Cannot {what}: {error}", { what, error: error.message }),
    });
    this.#introduce();
  }

  #openAudit(): void {
    const { directory, start: { log } } = this.#options;
    this.#audit = AuditLog.open({
      directory: directory.path,
      vault: () => this.#keys?.vault() ?? OPEN_VAULT,
      failed: (error) => log.warn("{what}", { what: error.message }),
    });
  }

  /** Writes down what an operator may want to know of later. */
  audit(incident: Incident): void {
    this.#audit?.write({ timeMs: Date.now(), node: this.#identity!.node, ...incident });
  }

  /** A member says that this node was shut out. */
  evicted(by: NodeId): void {
    const { node, network } = this.#identity!;
    const error = new EvictedError(
      `Node "${node}" was evicted from network ${network}, says ${
        by === node ? "its own view" : `node "${by}"`
      }. Stop it; this machine can join again as a new node, on an empty --data, with an invite`,
    );
    // Not within the step that tells it: a node that starts is up first.
    setTimeout(() => this.#options.failed(error), 0);
  }

  /** Of the keys that its files need. */
  #generations(): number[] {
    const audit = this.#audit?.generations ?? [];
    return [...(this.#journal?.generations ?? []), ...(this.#tables?.generations() ?? []), ...audit];
  }

  /** A checkpoint ends the journal's segments. */
  #rewriteFiles(keys: NetworkKeys): void {
    this.#tables?.rotate(keys.tablesKeys());
    void this.#audit?.renew();
    this.#runner?.input({ kind: "checkpoint" });
  }

  #newIdentity({ kind, view }: FirstOrigin): NodeIdentity {
    const { start: { zone = "", capacity = 100 }, newcomer: { node, ...drawn }, address } = this.#options;
    const disk = this.#keyring?.disk ?? drawn.disk;
    const peers = view.members.map((member) => member.address).filter((peer) => peer !== address);
    return {
      node,
      network: view.network,
      zone,
      capacity,
      founder: kind === "genesis",
      disk,
      private: this.#keyring !== null,
      started: false,
      peers,
      formerly: null,
      aside: null,
    };
  }

  #openJournal(identity: NodeIdentity): Recovered | null {
    const { directory, failed } = this.#options;
    const { journal, recovered } = JournalFiles.open({
      directory: directory.path,
      node: identity.node,
      ...(this.#keys === null ? {} : { vault: () => this.#keys!.vault() }),
      events: {
        durable: (upTo) => {
          // Nothing that rests on the first record leaves before node.json says that there was one.
          if (!this.#identity!.started) this.#change({ started: true });
          if (this.#keyring !== null && this.#keyring.founding !== null) this.#keyring.setFounding(null);
          this.#runner!.durable(upTo);
        },
        failed,
      },
    });
    this.#journal = journal;
    return recovered;
  }

  #openTables(recovered: Recovered | null, identity: NodeIdentity): void {
    const { directory, failed } = this.#options;
    let damage = this.#options.tablesDamage;
    if (damage === null && !directory.hasTables && this.#reliesOnTables(recovered)) {
      damage = new TablesLostError(`The data directory "${directory.path}" has lost its tables`);
    }
    if (damage !== null) this.#giveUpTables(damage, recovered, identity);
    else if (directory.hasTablesRemains) directory.setTablesAside(directory.nameAside());
    this.#tables = new DiskTables({
      path: directory.tables,
      // Of before there were private networks.
      legacy: this.#keys === null ? directory.legacyTables : null,
      owner: identity,
      ...(this.#keys === null ? {} : { keys: this.#keys.tablesKeys() }),
      failed: (error) =>
        failed(error instanceof TablesCorruptError ? error : new DiskError(error.message, { cause: error })),
    });
  }

  /** A log may begin later than its journal: a mark is durable before the segments that it replaces are removed. */
  #reliesOnTables(recovered: Recovered | null): boolean {
    if (this.#options.directory.journalBeganAnew) return true;
    for (const { exists, base } of recovered?.replicas.values() ?? []) {
      if (exists && base.index > 0) return true;
    }
    return false;
  }

  #giveUpTables(damage: Error, recovered: Recovered | null, { node }: NodeIdentity): void {
    const { directory, start: { rebuild = true, log } } = this.#options;
    const lost = recovered === null ? [] : onlyHere(recovered, node);
    if (lost.length > 0) {
      throw new Error(
        `${damage.message}. No other node has the data of partition ${
          listed(lost)
        }, so nothing was changed. ` +
          `Restore the directory from a copy`,
      );
    }
    if (!rebuild) {
      throw new Error(`${damage.message}. Restore it from a copy, or start without --no-rebuild`);
    }
    const aside = directory.nameAside();
    directory.setTablesAside(aside);
    log.error("{what}. Its files are in {path}; the other nodes send the data anew", {
      what: damage.message,
      path: `${directory.path}/${aside}`,
    });
  }

  #begin(origin: Origin, identity: NodeIdentity): void {
    const { transport, space, address, start: { log, recorder }, failed, stopped } = this.#options;
    const journal = this.#journal!, tables = this.#tables!;
    const view = viewOf(origin), keys = this.#keys;
    const id = identity.node;
    const options = { id, address, origin, random: Random.fromSeed(randomSeed()), tables };
    const node = this.#node =
      recorder?.begin(options, view.network, () => this.#keys?.vault() ?? OPEN_VAULT) ?? new Node(options);
    const chunks = this.#chunks = new ChunkFiles({
      folder: this.#options.directory.chunks,
      answer: (result) => this.#runner?.chunkResult(result),
      wrote: (bytes) => space.wroteBytes(bytes),
      warn: (what) => log.warn("{what}", { what }),
    });
    const runner: Runner = this.#runner = new Runner({
      journal,
      tables,
      chunks,
      transport,
      status: (status) => this.#completed(status),
      committed: () => {
        space.wrote(journal.segmentBytes);
        if (this.#viewChanged) this.#orEnd(() => this.#followView());
      },
      noted: (note) => {
        logNote(log, note);
        if (note.kind === "view") this.#viewChanged = true;
        if (note.kind === "standing" && note.state === "evicted") this.evicted(id);
        if (note.kind === "audit") {
          const { client, who, what, outcome } = note;
          this.audit({ who, what, outcome, from: transport.addressOf(client) });
        }
      },
      keyOffered: (offer) => {
        const secrets = keys?.offered(offer) ?? [];
        if (secrets.length > 0) transport.sendSecrets(offer.to, secrets);
      },
      makeKey: (generation) => this.#makeKey(generation),
      audit: async (limit) => {
        const { events, unread } = await this.#audit!.read({ limit });
        for (const what of unread) log.warn("{what}", { what });
        return events;
      },
      stopped,
      failed,
    });
    if (keys !== null) {
      this.#renewal = new FileRenewal({
        keys,
        generations: () => this.#generations(),
        rewrite: () => this.#rewriteFiles(keys),
        orEnd: (what) => this.#orEnd(what),
      });
    }
    const self = { node: id, network: view.network, address, credentials: keys };
    transport.begin(self, (peer) => node.addressOf(peer));
    runner.start(node);
    keys?.run();
    this.#renewal?.begin();
    if (space.low) runner.input({ kind: "space", low: true });
    this.#peersChanged();
  }

  /** Secrets that a member's host sent. */
  secrets(from: NodeId, secrets: readonly GenerationSecret[]): void {
    const { log } = this.#options.start;
    const ids = secrets.map(({ id }) => id).join(", ");
    this.#orEnd(() => {
      if (this.#keys?.received(secrets) === true) log.info("Has keys {ids} from {from}", { ids, from });
      else log.debug("Needs no keys {ids} from {from}", { ids, from });
    });
  }

  /** A keyring that cannot be written, on a full disk for instance, ends this life, and not the process. */
  #orEnd(what: () => void): void {
    try {
      what();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#options.failed(error);
    }
  }

  /** A peer shows a certificate by an authority that the view does not list: keys were rotated without this node. */
  behind(): void {
    this.#catchingUp.begin();
  }

  #heard(answer: AuthorityAnswer): boolean {
    const generation = this.#keys?.heard(answer) ?? null;
    if (generation === null) return false;
    this.#options.start.log.info(
      "Keys were rotated without this node: believes the authority of generation {generation}, for which most of the " +
        "other members have signed",
      { generation },
    );
    return true;
  }

  /** What the view says of others and of keys holds from now on. */
  #followView(): void {
    this.#viewChanged = false;
    const newest = this.#keys?.newest ?? 0;
    this.#keys?.viewChanged(this.#node!.view());
    if ((this.#keys?.newest ?? 0) > newest) this.#catchingUp.done();
    this.#options.transport.reconsider();
    this.#peersChanged();
  }

  #makeKey(id: number): void {
    const { failed, start: { log } } = this.#options;
    this.#keys?.make(id).then((authority) => {
      log.info("Made generation {id} of the network's keys", { id });
      this.#runner?.input({ kind: "key-made", id, authority });
    }).catch(failed);
  }

  #completed(status: NodeStatus): NodeStatus {
    const { transport, trouble, space, start: { recorder } } = this.#options;
    const counters = [
      ...status.counters,
      ["clients", transport.clients],
      ["free bytes", space.freeBytes],
      ["journal segment bytes", this.#journal!.segmentBytes],
      ["memory bytes", Deno.memoryUsage().rss],
      ...(recorder?.counters() ?? []),
      ...this.#chunks!.counters(),
      ["slowest turn microseconds", Math.round(this.#runner!.takeSlowestTurn() * 1000)],
      ...transport.counters(),
    ] as const;
    return { ...status, counters, trouble: trouble() };
  }

  /** Whom to ask should the journal be lost is kept in node.json, a little later: not every view changes it. */
  #peersChanged(): void {
    if (this.#peersTimer !== null) return;
    this.#peersTimer = setTimeout(() => {
      this.#peersTimer = null;
      const peers = this.#peerAddresses();
      const known = this.#identity!.peers;
      if (peers.length === known.length && peers.every((peer, i) => peer === known[i])) return;
      try {
        this.#change({ peers });
      } catch (error) {
        this.#options.failed(error as Error);
      }
    }, PEERS_WRITTEN_MS);
  }

  #peerAddresses(): string[] {
    const node = this.#node;
    if (node === null) return [];
    return node.view().members.filter(({ id, state }) => id !== node.id && !isFormer(state)).map((
      { address },
    ) => address);
  }

  #change(part: Partial<NodeIdentity>): void {
    const identity = { ...this.#identity!, ...part };
    this.#options.directory.writeIdentity(identity);
    this.#identity = identity;
  }
}

function viewOf(origin: Origin): SystemView {
  return origin.kind === "recovered" ? origin.recovered.view! : origin.view;
}

function listed(partitions: readonly number[]): string {
  const first = partitions.slice(0, 5).join(", ");
  return partitions.length > 5 ? `${first} and ${partitions.length - 5} more` : first;
}

function randomSeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high! & 0x1f_ffff) * 0x1_0000_0000 + low!;
}
