import type { NodeId } from "../../core/base/ids.ts";
import { NEVER } from "../../core/base/ids.ts";
import { EMPTY_BYTES } from "../../core/base/bytes.ts";
import { Random } from "../../core/base/random.ts";
import { ClientMachine, type Outgoing } from "../../core/client/client.ts";
import { validate } from "../../core/catalog/validate.ts";
import { partitionOf } from "../../core/placement/key.ts";
import { encodeRequests } from "../../core/wire/codec.ts";
import { isFormer } from "../../core/wire/members.ts";
import { isReadOp, isWriteOp } from "../../core/wire/ops.ts";
import type { Op, ReadOp, Refused, Response, WatchOp, WriteOp } from "../../core/wire/requests.ts";
import { now } from "../host/clock.ts";
import { OTHER_AUTHORITY } from "../host/tls.ts";
import { ConnectError } from "./errors.ts";
import { ClientConnection, type Refusal } from "./connection.ts";
import type { Trust } from "./trust.ts";

export interface DriverOptions {
  readonly addresses: readonly string[];
  readonly network: string | null;
  /** null: the network is open. */
  readonly trust: Trust | null;
  /** How long an operation may take. */
  readonly timeoutMs: number;
}

/** Called with each answer to an operation; `final` on the last. */
export type Listener = (response: Response, final: boolean) => void;

const RECONNECT_MS = 100;
/** Whoever has just made an access key may be ahead of the node that it asks: "denied" is believed after this long. */
const DENIED_MS = 1500;
/** Of an operation that never was one. */
const NO_TICKET = 0;
const CLOSED: Refused = { kind: "refused", reason: "closing", message: "The client was closed" };

/** Why no address led to a node: the one of the reasons that tells most, and whether each of them was a refusal. */
interface WhyNot {
  readonly text: string;
  readonly refused: Refusal | null;
  readonly telling: number;
  readonly all: boolean;
}

const NOTHING_HEARD: WhyNot = { text: "no answer", refused: null, telling: -1, all: true };
const TELLING = { nobodyThere: 0, notBelieved: 1, refusedForGood: 2, denied: 3 } as const;

function added(before: WhyNot, text: string, refused: Refusal | null): WhyNot {
  const telling = tellingOf(text, refused), all = before.all && refused !== null;
  return telling >= before.telling ? { text, refused, telling, all } : { ...before, all };
}

function tellingOf(text: string, refused: Refusal | null): number {
  if (refused === "denied") return TELLING.denied;
  if (refused === "for-good") return TELLING.refusedForGood;
  return text === OTHER_AUTHORITY ? TELLING.notBelieved : TELLING.nobodyThere;
}

/**
 * Runs a ClientMachine on TCP: one connection to each node that is asked something, requests of one turn in one frame.
 * The addresses given are only for finding the network; where its nodes are, it tells itself.
 */
export class ClientDriver {
  readonly #options: DriverOptions;
  readonly #machine: ClientMachine;
  readonly #listeners = new Map<number, Listener>();
  readonly #connections = new Map<NodeId, ClientConnection>();
  /** The connection to an address whose node is not known yet. */
  #finding: ClientConnection | null = null;
  /** Those whose node is down: it is asked what only it may be asked, and nothing else. */
  readonly #down = new Set<ClientConnection>();
  #nextAddress = 0;
  #home: NodeId | null = null;
  /** Once a node has accepted this client, its network: an address may have come to belong to another since. */
  #network: string | null;
  #waitingForAny: Outgoing[] = [];
  #timer: ReturnType<typeof setTimeout> | null = null;
  #timerAt: number = NEVER;
  #scheduled = false;
  #closed = false;
  /** What came of the addresses since the first of them was tried last. */
  #whyNot = NOTHING_HEARD;
  readonly #turn = () => {
    this.#scheduled = false;
    this.#run();
  };
  readonly #wake = () => {
    this.#timer = null;
    this.#timerAt = NEVER;
    this.#machine.wake(now());
    this.#run();
  };

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#network = options.network;
    const [a, b] = crypto.getRandomValues(new Uint32Array(2));
    this.#machine = new ClientMachine({
      client: crypto.getRandomValues(new Uint8Array(16)).toHex(),
      random: Random.fromSeed((a! & 0x1f_ffff) * 0x1_0000_0000 + b!),
      partitionOf,
      settings: { deadlineUs: options.timeoutMs * 1000 },
    });
  }

  /** The node that accepted this client first. */
  get home(): NodeId | null {
    return this.#home;
  }

  /** Partitions of the network, once a layout is known. */
  get partitions(): number | null {
    return this.#machine.view?.settings.partitions ?? null;
  }

  /** Resolves when a node has accepted this client. */
  async ready(): Promise<void> {
    const { addresses, timeoutMs, trust } = this.#options;
    const began = performance.now(), giveUp = began + timeoutMs;
    await trust?.listenAround(addresses);
    while (this.#connections.size === 0) {
      if (this.#nextAddress % this.#options.addresses.length === 0) this.#whyNot = NOTHING_HEARD;
      if (this.#finding === null) this.#find();
      const found = await this.#finding!.settled;
      if (found || this.#closed) return;
      if (this.#nextAddress % this.#options.addresses.length !== 0) continue;
      const { text, refused, all, telling } = this.#whyNot;
      const at = performance.now(), denied = refused === "denied" && at - began > DENIED_MS;
      // Where one refuses for good, another may still come back.
      if (at >= giveUp || (refused === "for-good" && all) || denied) {
        this.close();
        throw new ConnectError(
          `Cannot reach a node at ${addresses.map((a) => `"${a}"`).join(", ")}: ${text}. ` +
            (telling > TELLING.nobodyThere
              ? "Nothing was done"
              : "Check that one runs there, or name another with --connect"),
        );
      }
      // Wrong log-ins in quick succession would be answered "limited".
      const pause = refused === "denied" ? DENIED_MS / 3 : RECONNECT_MS;
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  /** Since when nobody lets it in any more. */
  #deniedAt: number | null = null;

  /** What is wrong is refused here: it costs no journey, and what no frame can hold never leaves. */
  submit(op: Op, listener: Listener, options: { node?: NodeId } = {}): number {
    const refused = this.#closed ? CLOSED : refusalOf(op, this.partitions ?? 1);
    if (refused !== null) {
      queueMicrotask(() => listener(refused, true));
      return NO_TICKET;
    }
    const ticket = this.#machine.submit(op, now(), options);
    this.#listeners.set(ticket, listener);
    this.#schedule();
    return ticket;
  }

  /** Everything under way is left without an answer. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#finding?.close();
    for (const connection of this.#connections.values()) connection.close();
    for (const listener of [...this.#listeners.values()]) listener(CLOSED, true);
    this.#listeners.clear();
  }

  /** After what the caller does in this turn, so that it leaves together. */
  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    queueMicrotask(this.#turn);
  }

  #run(): void {
    if (this.#closed) return;
    for (let sent = this.#machine.outgoing(); sent.length > 0; sent = this.#machine.outgoing()) {
      for (const outgoing of sent) this.#send(outgoing);
    }
    for (const connection of this.#connections.values()) connection.flush();
    for (const { ticket, response, final } of this.#machine.completions()) {
      const listener = this.#listeners.get(ticket);
      if (final) this.#listeners.delete(ticket);
      listener?.(response, final);
    }
    this.#setTimer();
  }

  #send(outgoing: Outgoing): void {
    const connection = outgoing.node === null ? this.#any() : this.#connectionTo(outgoing.node);
    if (connection !== null) connection.queue({ id: outgoing.id, request: outgoing.request });
    else if (outgoing.node === null) {
      this.#waitingForAny.push(outgoing);
      if (this.#finding === null) this.#find();
    } else {
      this.#machine.connectionLost(outgoing.node, now(), false);
      // Where its node is may only be known to the addresses given.
      if (this.#machine.view === null && this.#finding === null) this.#find();
    }
  }

  #any(): ClientConnection | null {
    for (const connection of this.#connections.values()) {
      if (connection.open && !this.#down.has(connection)) return connection;
    }
    return null;
  }

  #connectionTo(node: NodeId): ClientConnection | null {
    const known = this.#connections.get(node);
    if (known !== undefined) return known;
    const address = this.#machine.view?.members.find((member) => member.id === node)?.address;
    if (address === undefined) return null;
    const connection = this.#connect(address, node);
    this.#connections.set(node, connection);
    return connection;
  }

  #connect(address: string, expected: NodeId | null): ClientConnection {
    const connection = new ClientConnection({
      address,
      network: this.#network,
      trust: this.#options.trust,
      expected,
      opened: (node, network) => this.#opened(connection, node, network),
      answers: (node, responses) => {
        const at = now();
        for (const { id, response } of responses) {
          this.#machine.handle(node, id, response, at);
          if (response.kind === "refused" && response.reason === "down") this.#down.add(connection);
          if (response.kind === "layout") this.#options.trust?.saw(response.view);
        }
        if (this.#down.has(connection) && !this.#machine.awaits(node)) connection.close();
        this.#schedule();
      },
      closed: (node, why, refused) => this.#lost(connection, node, why, refused),
    });
    return connection;
  }

  /** Tries the next address at which a node may be: those given, then those of known members. */
  #find(): void {
    const { addresses } = this.#options;
    const known = this.#machine.view?.members.filter(({ state }) => !isFormer(state)).map((m) => m.address) ??
      [];
    const all = [...addresses, ...known.filter((address) => !addresses.includes(address))];
    this.#finding = this.#connect(all[this.#nextAddress++ % all.length]!, null);
  }

  #opened(connection: ClientConnection, node: NodeId, network: string | null): void {
    this.#home ??= node;
    this.#deniedAt = null;
    this.#network ??= network;
    if (this.#finding === connection) {
      this.#finding = null;
      const known = this.#connections.get(node);
      if (known === undefined) this.#connections.set(node, connection);
      else {
        connection.close();
        // It may be down no more: it is asked again.
        this.#down.delete(known);
      }
    }
    this.#machine.connected(node, now());
    const waiting = this.#waitingForAny;
    this.#waitingForAny = [];
    for (const outgoing of waiting) this.#send(outgoing);
    this.#schedule();
  }

  #lost(connection: ClientConnection, node: NodeId | null, why: string, refused: Refusal | null): void {
    this.#whyNot = added(this.#whyNot, why, refused);
    this.#down.delete(connection);
    if (refused === "denied") this.#denied(why);
    if (this.#finding === connection) {
      this.#finding = null;
      if (this.#waitingForAny.length > 0 && !this.#closed) {
        setTimeout(() => {
          if (this.#finding === null && !this.#closed && this.#waitingForAny.length > 0) this.#find();
        }, RECONNECT_MS);
      }
      return;
    }
    if (node === null || this.#connections.get(node) !== connection) return;
    this.#connections.delete(node);
    if (this.#closed) return;
    this.#machine.connectionLost(node, now(), connection.stood);
    this.#schedule();
  }

  /** Its access key was revoked: what waits for an answer would wait for nothing. */
  #denied(why: string): void {
    this.#deniedAt ??= performance.now();
    if (this.#home === null || this.#closed || performance.now() - this.#deniedAt < DENIED_MS) return;
    this.#waitingForAny = [];
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const listener of listeners) listener({ kind: "refused", reason: "denied", message: why }, true);
  }

  #setTimer(): void {
    const wake = this.#machine.nextWake();
    if (this.#timer !== null) {
      if (this.#timerAt <= wake && wake !== NEVER) return;
      clearTimeout(this.#timer);
      this.#timer = null;
    }
    this.#timerAt = wake;
    if (wake !== NEVER) this.#timer = setTimeout(this.#wake, Math.max(0, Math.ceil((wake - now()) / 1000)));
  }
}

/** What the network would refuse. */
function refusalOf(op: Op, partitions: number): Refused | null {
  if (isDataOp(op)) return validate({ op }, (key) => partitionOf(key, partitions));
  // Long ones are encoded when they leave: whether they can be does not hang on their bytes.
  const short: Op = op.kind === "chunk-put" ? { ...op, bytes: EMPTY_BYTES } : op;
  try {
    encodeRequests([{ id: 1, request: { op: short } }]);
    return null;
  } catch (error) {
    return {
      kind: "refused",
      reason: "invalid",
      message: error instanceof Error ? error.message : String(error),
    };
  }
}

function isDataOp(op: Op): op is WriteOp | ReadOp | WatchOp {
  return isWriteOp(op) || isReadOp(op) || op.kind === "watch";
}
