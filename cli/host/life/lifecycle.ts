/**
 * A node's lives, one after the other: open, run, and after trouble down until it may have passed, then open again.
 *
 * L1. One way in: whatever ended a life, the next one recovers from the files as a new process would. Nothing of the
 *     last one's memory is used again, so a write or sync that failed is never taken for done.
 * L2. While it is down the port stays open: peers are turned away, clients are sent to others, and a status request is
 *     told the reason.
 * L3. A node is told to stop at any time and ends then: waiting, joining and opening give up at once.
 */
import type { NodeId } from "../../../core/base/ids.ts";
import { nodeId } from "../../../core/base/ids.ts";
import { unreachable } from "../../../core/base/invariant.ts";
import { OPEN_VAULT, type Vault } from "../../../core/base/vault.ts";
import type { ClientRequestFrame } from "../../../core/wire/codec.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { Trouble } from "../../../core/wire/requests.ts";
import type { Principal } from "../../../core/wire/security.ts";
import { DataDirectory } from "../directory.ts";
import type { Incident } from "../doorkeeper.ts";
import { type Actor, LocalClient } from "../local_client.ts";
import { LogLimit, RepeatLimit } from "../log_limit.ts";
import { REFUSED_EVICTED, REFUSED_FOREIGN } from "../peer_connection.ts";
import { formatAddress, parseAddress } from "../socket.ts";
import { OTHER_AUTHORITY } from "../tls.ts";
import { Transport } from "../transport.ts";
import { answerWhileDown } from "./down.ts";
import { type Ending, endingOf } from "./ending.ts";
import { Life } from "./life.ts";
import type { StartOptions } from "./options.ts";
import { randomHex } from "./origin.ts";
import { Pause } from "./pause.ts";
import { nextName, rebuilt } from "./rebuild.ts";
import { sizeText, SpaceWatch } from "./space.ts";
import { unusedText } from "./unused.ts";

/** A node that is asked to stop ends after this long at the latest. */
const STOP_MS_MAX = 8000;
const CLOSE_MS_MAX = 1000;
const LOOK_FOR_SPACE_MS = 500;
const REJOIN_MS = 1000;
/** For LogLimit's few events: two megabytes a month at the most. */
const INCIDENTS_KEPT_MS = 10 * 60_000;
/** As long as a timer can. */
const FOR_GOOD_MS = 2 ** 31 - 1;

export interface ReadyNode {
  readonly id: NodeId;
  readonly network: string;
  readonly address: string;
  /** How its first life began. */
  readonly origin: "genesis" | "joined" | "recovered";
}

export class Lifecycle {
  readonly #options: StartOptions;
  readonly #directory: DataDirectory;
  readonly #transport: Transport;
  readonly #space: SpaceWatch;
  readonly #newcomer: { readonly node: NodeId; readonly disk: string };
  readonly #ready = Promise.withResolvers<ReadyNode>();
  readonly #stop = new AbortController();
  readonly #pause = new Pause();
  readonly #refusals = new LogLimit();
  readonly #repeated = new RepeatLimit();
  readonly #incidents = new LogLimit();
  /** Fewer: the audit log keeps a few megabytes, and what strangers try is not to push out what operators did. */
  readonly #incidentsKept = new LogLimit({ periodMs: INCIDENTS_KEPT_MS });
  readonly #clients = new Set<LocalClient>();
  #address = "";
  #who: { readonly node: NodeId; readonly network: string | null };
  /** The newest view of the lives so far. */
  #lastView: SystemView | null = null;
  /** With what the files of the last one can be read; null: with nothing, or there was none. */
  #lastVault: Vault | null = null;
  #life: Life | null = null;
  #up = false;
  /** It was up in this process. */
  #lived = false;
  /** Why it is down. null: it is up, or starting. */
  #trouble: Trouble | null = null;
  /** How long it waits at least before its next life, from when the files of the last one are closed. */
  #waitMs = 0;
  #lowSince: number | null = null;
  #warnedOfForeign = false;
  #warnedOfKeys = false;
  #tablesDamage: Error | null = null;

  /** @throws {Error} when the directory cannot be used */
  constructor(options: StartOptions) {
    this.#options = options;
    this.#newcomer = { node: nodeId(options.id ?? `node-${randomHex(4)}`), disk: randomHex(8) };
    this.#who = { node: this.#newcomer.node, network: null };
    this.#directory = DataDirectory.open(options.data);
    const { log } = options;
    this.#transport = new Transport({
      messages: (from, messages) => this.#life?.runner?.messages(from, messages),
      requests: (client, requests, who) => this.#requests(client, requests, who),
      secrets: (from, secrets) => {
        if (this.#up) this.#life?.secrets(from, secrets);
      },
      incident: (incident) => this.#incident(incident),
      clientGone: (client) => {
        if (this.#up) this.#life?.runner?.input({ kind: "client-gone", client });
      },
      peerLost: (peer, why) => {
        log.info("Lost peer {peer}: {why}", { peer, why });
        if (why === REFUSED_FOREIGN) this.#warnOfForeign(peer);
        if (why === OTHER_AUTHORITY) {
          this.#warnOfKeys(peer);
          this.#life?.behind();
        }
        if (why === REFUSED_EVICTED) this.#life?.evicted(peer);
        if (this.#up) this.#life?.runner?.input({ kind: "peer-lost", peer });
      },
      refused: (from, why) => {
        // A node that starts, stops or is down turns everyone away, many times: it has said so itself.
        if (why === "closing") return log.debug("Refused a connection from {from}: {why}", { from, why });
        const repeated = this.#repeated.take(`${from.replace(/:\d+$/, "")} ${why}`);
        if (repeated === null) return;
        const unsaid = this.#refusals.take();
        if (unsaid === null) return;
        if (unsaid > 0) log.warn("Refused {unsaid} more connections, without a line for each", { unsaid });
        if (repeated > 0) {
          log.warn("Refused {repeated} like the next before, without a line for each", { repeated });
        }
        log.warn("Refused a connection from {from}: {why}", { from, why });
      },
      deaf: (address) => log.warn("No longer heard connections at {address}: listening anew", { address }),
    });
    this.#space = new SpaceWatch({
      path: options.data,
      reserve: options.reserve,
      changed: (low) => this.#spaceChanged(low),
      blind: (why) =>
        log.warn("Cannot tell how much space is left in {path}: {why}", { path: options.data, why }),
    });
    // Who does not wait for it hears of a failure by run().
    this.#ready.promise.catch(() => {});
  }

  /** Resolves when it is up for the first time; rejects when it cannot be. */
  get ready(): Promise<ReadyNode> {
    return this.#ready.promise;
  }

  /** @throws {Error} when the address cannot be listened on */
  async listen(): Promise<void> {
    this.#space.begin();
    try {
      if (this.#options.open === true) checkLoopback(this.#options);
      const listening = await this.#transport.listen(this.#options.listen);
      this.#address = this.#options.advertise ?? advertised(listening);
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  /** Lives until stop(). @throws {Error} when a person has to do something first */
  async run(): Promise<void> {
    try {
      for (;;) {
        const ending = await this.#live();
        if (ending.kind === "stopped") return;
        if (ending.kind === "refused") throw ending.error;
        await this.#recoverFrom(ending);
        if (this.#stop.signal.aborted) return;
      }
    } catch (error) {
      this.#ready.reject(error);
      throw error;
    } finally {
      await Promise.race([this.#transport.close(), delay(CLOSE_MS_MAX)]);
      this.#close();
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** A client in this process, which lasts over the lives of the node and ends with it. */
  client(as: Actor): LocalClient {
    const client = new LocalClient({
      as,
      open: (as, hearing) => this.#transport.openLocal(as, hearing),
      closed: () => this.#clients.delete(client),
    });
    this.#clients.add(client);
    return client;
  }

  #close(): void {
    for (const client of this.#clients) client.close();
    this.#space.close();
    this.#directory.close();
  }

  /** One life, from open to closed. */
  async #live(): Promise<Ending> {
    const { signal } = this.#stop;
    const ended = Promise.withResolvers<Ending>();
    let over = false;
    const failed = (error: Error) => {
      over = true;
      life.runner?.kill();
      ended.resolve(endingOf(error, { lived: this.#lived }));
    };
    const life = new Life({
      start: this.#options,
      directory: this.#directory,
      transport: this.#transport,
      space: this.#space,
      address: this.#address,
      newcomer: this.#newcomer,
      tablesDamage: this.#tablesDamage,
      trouble: () => this.#lowSpace(),
      signal,
      lastView: this.#lastView,
      introduced: (who) => {
        this.#who = { node: who.node, network: who.network };
        this.#transport.introduce({ ...who, address: this.#address });
      },
      failed,
      stopped: () => ended.resolve({ kind: "stopped" }),
    });
    this.#life = life;
    const began = performance.now();
    try {
      await life.open();
      if (!over) this.#wentUp(life);
    } catch (error) {
      failed(error instanceof Error ? error : new Error(String(error)));
    }
    const stop = () => {
      if (!this.#up) return ended.resolve({ kind: "stopped" });
      life.runner!.input({ kind: "stop" });
      setTimeout(() => ended.resolve({ kind: "stopped" }), STOP_MS_MAX);
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    let ending = await ended.promise;
    signal.removeEventListener("abort", stop);
    if (this.#up) this.#pause.lived(performance.now() - began);
    this.#up = false;
    // Whoever waits for an answer learns at once that none will come.
    if (ending.kind !== "stopped") this.#transport.pause("this node is down");
    if (signal.aborted) ending = { kind: "stopped" };
    // Closing the files takes a while, and it is asked meanwhile.
    this.#wentDown(ending);
    await this.#closeLife(life, ending);
    return ending;
  }

  async #closeLife(life: Life, ending: Ending): Promise<void> {
    this.#life = null;
    this.#lastView = life.view ?? this.#lastView;
    this.#lastVault = life.vault ?? this.#lastVault;
    try {
      await life.close({ failed: ending.kind !== "stopped" });
    } catch (error) {
      // What did not become durable was not acknowledged: the next life finds what is there.
      this.#options.log.warn("Could not close all files: {error}", { error: messageOf(error) });
    }
  }

  #wentUp({ identity, origin, view }: Life): void {
    const { node: id, network } = identity!;
    if (!this.#lived && origin === "recovered") {
      const state = view?.members.find((member) => member.id === id)?.state ?? null;
      const unused = unusedText(this.#options, identity!, state);
      if (unused !== null) this.#options.log.warn("{unused}", { unused });
    }
    if (this.#trouble !== null) {
      this.#options.log.info("Node {id} is up again after {seconds} s", {
        id,
        seconds: Math.round((Date.now() - this.#trouble.sinceMs) / 1000),
      });
    }
    this.#up = true;
    this.#lived = true;
    this.#trouble = null;
    this.#tablesDamage = null;
    this.#ready.resolve({ id, network, address: this.#address, origin });
  }

  /** Does what has to be done before the next life, and waits for what it needs. */
  async #recoverFrom(ending: Exclude<Ending, { kind: "stopped" | "refused" }>): Promise<void> {
    switch (ending.kind) {
      case "no-space":
        await delay(this.#waitMs, this.#stop.signal);
        for (this.#space.look(); !this.#space.roomToRestart; this.#space.look()) {
          await delay(LOOK_FOR_SPACE_MS, this.#stop.signal);
          if (this.#stop.signal.aborted) return;
        }
        return;
      case "tables-damaged":
        this.#tablesDamage = ending.error;
        return await delay(this.#waitMs, this.#stop.signal);
      case "disk":
      case "alone":
      case "evicted":
        return await delay(this.#waitMs, this.#stop.signal);
      case "journal-damaged":
        return this.#becomeNew(ending.error);
      case "name-taken":
        return this.#takeNextName();
      default:
        return unreachable(ending);
    }
  }

  /** L2: the reason is there before anyone can ask. What begins anew at once, or not at all, has none. */
  #wentDown(ending: Ending): void {
    switch (ending.kind) {
      case "no-space":
        this.#waitMs = this.#pause.next();
        return this.#setTrouble(
          "no-space",
          ending.error,
          `${sizeText(this.#space.restartBytes)} of free space`,
        );
      case "disk":
      case "tables-damaged":
        return this.#willRetry("disk", ending.error, this.#pause.next());
      case "alone":
        return this.#willRetry("alone", ending.error, REJOIN_MS);
      case "evicted":
        this.#waitMs = FOR_GOOD_MS;
        return this.#setTrouble("evicted", ending.error, "nothing: it is out for good");
      case "stopped":
      case "refused":
      case "journal-damaged":
      case "name-taken":
        return;
      default:
        return unreachable(ending);
    }
  }

  #willRetry(kind: "disk" | "alone", error: Error, ms: number): void {
    this.#waitMs = ms;
    this.#setTrouble(kind, error, `the next try, ${ms / 1000} s after the last`);
  }

  #setTrouble(kind: Trouble["kind"], error: Error, waitsFor: string): void {
    const what = error.message;
    // One line for one trouble, however often it is tried again.
    if (what !== this.#trouble?.what) {
      this.#options.log.error("Node {id} is down: {what}. It waits for {waitsFor}", {
        id: this.#who.node,
        what,
        waitsFor,
      });
    }
    this.#trouble = { kind, what, waitsFor, sinceMs: this.#trouble?.sinceMs ?? Date.now() };
  }

  /** The journal is damaged: node.json says so before any file moves (D1 of DataDirectory). */
  #becomeNew(damage: Error): void {
    const { rebuild = true, join = [], log } = this.#options;
    const identity = this.#directory.identity();
    if (!rebuild || identity === null) {
      throw new Error(
        `${damage.message}. Restore "${this.#directory.path}" from a copy, or start without --no-rebuild: the node ` +
          `then comes back as a new one and gets its data from the others`,
      );
    }
    const vault = this.#lastVault ?? OPEN_VAULT;
    const next = rebuilt(this.#directory, identity, { damage, join, vault });
    this.#directory.writeIdentity(next);
    log.error(
      "{what}. Node {old} comes back as {node} and gets its data from the others; its files are in {path}",
      {
        what: damage.message,
        old: identity.node,
        node: next.node,
        path: `${this.#directory.path}/${next.aside}`,
      },
    );
  }

  /** Only a node that was rebuilt chooses another name by itself. */
  #takeNextName(): void {
    const identity = this.#directory.identity();
    if (identity === null) return;
    const node = nextName(identity.node);
    // A journal bears the name that was tried. It is empty, or the node would not have to join.
    const aside = this.#directory.hasJournal ? this.#directory.nameAside() : null;
    this.#directory.writeIdentity({ ...identity, node, aside });
    this.#options.log.info("The name {old} is another's: tries {node}", { old: identity.node, node });
  }

  #requests(client: number, requests: readonly ClientRequestFrame[], who: Principal | null): void {
    if (this.#up) return this.#life!.runner!.requests(client, requests, who);
    const counters = [
      ["clients", this.#transport.clients],
      ["free bytes", this.#space.freeBytes],
    ] as const;
    const absent = { ...this.#who, trouble: this.#trouble, counters };
    for (const request of requests) {
      this.#transport.reply(client, request.id, answerWhileDown(absent, request));
    }
    this.#transport.flush();
  }

  /** Strangers can have as many as they like, and neither the log nor the disk is theirs. */
  #incident(incident: Incident): void {
    const { log } = this.#options;
    const unsaid = this.#incidents.take();
    if (unsaid !== null) {
      const more = unsaid === 0 ? "" : `; so were ${unsaid} others since the last such line`;
      log.warn("{who} from {from} may not {what}: {outcome}{more}", { ...incident, more });
    }
    const unkept = this.#incidentsKept.take();
    if (unkept === null) return;
    const outcome = unkept === 0 ? incident.outcome : `${incident.outcome} (after ${unkept} more like it)`;
    this.#life?.audit({ ...incident, outcome });
  }

  /** Once: a node that was given up is turned away by all others, again and again. */
  #warnOfForeign(peer: NodeId): void {
    if (this.#warnedOfForeign) return;
    this.#warnedOfForeign = true;
    this.#options.log.warn(
      "Peer {peer} is of another network than node {id}, which is of {network}: either the network was recovered " +
        "without this node, which must be stopped at once then, or the peer's address is another network's now. See " +
        '"A node that was given up comes back" in docs/troubleshooting.md',
      { peer, id: this.#who.node, network: this.#who.network },
    );
  }

  /** Once in each process: it lasts, or is over in a moment where keys rotate just now. */
  #warnOfKeys(peer: NodeId): void {
    if (this.#warnedOfKeys) return;
    this.#warnedOfKeys = true;
    this.#options.log.warn(
      "Peer {peer} shows a certificate by keys that node {id} does not have: asks the members which to believe now. If no " +
        "line says that it does, it was evicted, or most members are others now. Then stop it, and let this machine " +
        "join as a new node: on an empty --data, with an invite",
      { peer, id: this.#who.node },
    );
  }

  #spaceChanged(low: boolean): void {
    this.#lowSince = low ? Date.now() : null;
    const { log, data } = this.#options;
    const free = sizeText(this.#space.freeBytes);
    if (low) log.warn("Only {free} are free in {data}: takes no more writes but deletes", { free, data });
    else log.info("{free} are free in {data}: takes writes again", { free, data });
    if (this.#up) this.#life?.runner?.input({ kind: "space", low });
  }

  /** Of a node that is up. */
  #lowSpace(): Trouble | null {
    if (this.#lowSince === null) return null;
    const { freeBytes, reserveBytes } = this.#space;
    return {
      kind: "low-space",
      what: `Only ${sizeText(freeBytes)} are free in "${this.#options.data}", and the reserve is ${
        sizeText(reserveBytes)
      }: it takes no writes but deletes, and leads what no other can`,
      waitsFor: `${sizeText(reserveBytes + reserveBytes / 4)} of free space`,
      sinceMs: this.#lowSince,
    };
  }
}

/** @throws {Error} where others could reach a node that asks nobody who they are */
function checkLoopback({ listen, advertise }: StartOptions): void {
  for (const address of [listen, advertise ?? listen]) {
    const { host } = parseAddress(address);
    if (host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host)) continue;
    throw new Error(
      `An open network (--dev) is for this machine alone, and cannot be reached at "${address}". Choose an address of ` +
        `127.0.0.0/8 or [::1], or start without --dev`,
    );
  }
}

/** Listening on all interfaces is no address to be reached at. */
function advertised(listening: string): string {
  const { host, port } = parseAddress(listening);
  if (host !== "0.0.0.0" && host !== "::") return listening;
  const found = Deno.networkInterfaces().find((i) => i.family === "IPv4" && !i.address.startsWith("127."));
  return formatAddress(found?.address ?? "127.0.0.1", port);
}

/** Ends early when `signal` is aborted. */
function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, ms);
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end);
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
