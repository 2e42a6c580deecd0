import { after, type Instant, type NodeId, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { Membership, type MembershipMessage, type Peer } from "../../../core/membership/membership.ts";
import { Effects } from "../../../core/wire/kernel.ts";
import type { Liveness } from "../../../core/wire/messages.ts";

export interface NetworkOptions {
  readonly nodes: number;
  readonly seed: number;
  /** One-way, both ends included. */
  readonly latencyUs?: readonly [number, number];
  readonly lossPercent?: number;
  readonly duplicatePercent?: number;
  readonly settings?: Partial<Settings>;
}

interface Host {
  readonly name: NodeId;
  readonly random: Random;
  machine: Membership;
  up: boolean;
  /** Everything this process does happens this much later. */
  slowUs: number;
  /** Its inputs wait until then (a stopped process). */
  pausedUntil: number;
  lives: number;
  wakeAt: number;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** A status that `who` came to believe of `node`. */
export interface Observation {
  readonly at: number;
  readonly who: NodeId;
  readonly node: NodeId;
  readonly status: Liveness;
  readonly incarnation: number;
}

export const SECOND = 1_000_000;

/** Membership machines on a virtual clock and network. Everything follows from the seed. */
export class Network {
  now = 0;
  messages = 0;
  readonly hosts = new Map<NodeId, Host>();
  readonly seen: Observation[] = [];
  readonly trace: string[] = [];
  readonly settings: Settings;
  /** True where a message from the first to the second arrives. */
  connected: (from: NodeId, to: NodeId) => boolean = () => true;

  readonly #options: NetworkOptions;
  readonly #random: Random;
  readonly #effects = new Effects();
  #queue: Event[] = [];
  #order = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#random = Random.fromSeed(options.seed);
    this.settings = { ...DEFAULT_SETTINGS, ...options.settings };
    const names = Array.from({ length: options.nodes }, (_, i) => nodeId(`n${String(i).padStart(2, "0")}`));
    const peers = names.map((node) => ({ node, address: `${node}:1` }));
    for (const name of names) {
      const random = this.#random.fork(name);
      const machine = this.#machine(name, { address: `${name}:1`, incarnation: 0, random, peers });
      this.hosts.set(name, {
        name,
        random,
        machine,
        up: true,
        slowUs: 0,
        pausedUntil: 0,
        lives: 1,
        wakeAt: -1,
      });
    }
    for (const name of names) this.#step(this.#host(name), (m, now, effects) => m.wake(now, effects));
  }

  get names(): NodeId[] {
    return [...this.hosts.keys()];
  }

  machine(name: NodeId): Membership {
    return this.#host(name).machine;
  }

  run(us: number): void {
    const end = this.now + us;
    while (this.#queue.length > 0 && this.#queue[0]!.at <= end) {
      const event = this.#pop();
      this.now = event.at;
      event.run();
    }
    this.now = end;
  }

  /** Runs until `done` holds, looked at every 10 ms; returns how long that took. Fails after `limitUs`. */
  runUntil(done: () => boolean, limitUs: number): number {
    const start = this.now;
    while (!done()) {
      if (this.now - start > limitUs) {
        throw new Error(`Not so after ${limitUs} us, seed ${this.#options.seed}`);
      }
      this.run(10_000);
    }
    return this.now - start;
  }

  /** Ends a process. With `reset`, its peers see their connections break. */
  crash(name: NodeId, options: { readonly reset: boolean } = { reset: false }): void {
    const host = this.#host(name);
    host.up = false;
    host.lives++;
    if (!options.reset) return;
    for (const peer of this.hosts.values()) {
      if (!peer.up || !this.connected(name, peer.name)) continue;
      this.#later(
        this.#latency(),
        () => this.#step(peer, (m, now, effects) => m.peerLost(name, now, effects)),
      );
    }
  }

  /** Starts a process again with what its journal holds, at another address where given. */
  restart(name: NodeId, address = `${name}:1`): void {
    const host = this.#host(name);
    const record = host.machine.record();
    if (record.kind !== "peers") throw new Error(`Not a record of peers: ${record.kind}`);
    host.up = true;
    host.lives++;
    host.wakeAt = -1;
    const { incarnation, peers } = record;
    const random = host.random.fork(`life ${host.lives}`);
    host.machine = this.#machine(name, { address, incarnation: incarnation + 1, random, peers });
    this.#step(host, (m, now, effects) => m.wake(now, effects));
  }

  leave(name: NodeId): void {
    const host = this.#host(name);
    this.#step(host, (m, now, effects) => m.leave(now, effects));
  }

  slow(name: NodeId, us: number): void {
    this.#host(name).slowUs = us;
  }

  pause(name: NodeId, us: number): void {
    this.#host(name).pausedUntil = this.now + us;
  }

  /** Only members of one group hear each other. No groups: all do. */
  partition(...groups: readonly NodeId[][]): void {
    this.connected = groups.length === 0
      ? () => true
      : (from, to) => groups.some((group) => group.includes(from) && group.includes(to));
  }

  heal(): void {
    this.partition();
  }

  /** True where every running node believes exactly this of every other. */
  agree(status: (node: NodeId) => Liveness): boolean {
    for (const host of this.hosts.values()) {
      if (!host.up) continue;
      for (const node of this.hosts.keys()) {
        if (node !== host.name && host.machine.liveness(node) !== status(node)) return false;
      }
    }
    return true;
  }

  /** True where every running node takes the running ones for alive and the others for dead. */
  converged(): boolean {
    return this.agree((node) => (this.#host(node).up ? "alive" : "dead"));
  }

  observed(status: Liveness, since = 0): Observation[] {
    return this.seen.filter((o) => o.status === status && o.at >= since);
  }

  #machine(
    self: NodeId,
    options: { address: string; incarnation: number; random: Random; peers: readonly Peer[] },
  ): Membership {
    return new Membership({ self, settings: this.settings, ...options });
  }

  #host(name: NodeId): Host {
    const host = this.hosts.get(name);
    if (host === undefined) throw new Error(`No node ${name} in this network`);
    return host;
  }

  #step(host: Host, act: (machine: Membership, now: Instant, effects: Effects) => void): void {
    if (!host.up) return;
    const life = host.lives;
    if (host.pausedUntil > this.now) {
      this.#at(host.pausedUntil, () => host.lives === life && this.#step(host, act));
      return;
    }
    const effects = this.#effects;
    effects.clear();
    act(host.machine, this.now as Instant, effects);
    for (const { to, message } of effects.sendNow) this.#send(host, to, message as MembershipMessage);
    for (const { node, status, incarnation } of host.machine.takeChanges()) {
      this.seen.push({ at: this.now, who: host.name, node, status, incarnation });
      this.trace.push(`${this.now} ${host.name} ${node} ${status} ${incarnation}`);
    }
    this.#schedule(host);
  }

  #schedule(host: Host): void {
    const wakeAt = Math.max(host.machine.nextWake(), this.now);
    if (wakeAt === host.wakeAt) return;
    host.wakeAt = wakeAt;
    const life = host.lives;
    this.#at(wakeAt, () => {
      if (host.lives !== life || host.wakeAt !== wakeAt) return;
      host.wakeAt = -1;
      this.#step(host, (m, now, effects) => m.wake(now, effects));
    });
  }

  #send(from: Host, to: NodeId, message: MembershipMessage): void {
    const target = this.hosts.get(to);
    this.messages++;
    if (target === undefined || !this.connected(from.name, to)) return;
    if (this.#random.chance(this.#options.lossPercent ?? 0, 100)) return;
    const copies = this.#random.chance(this.#options.duplicatePercent ?? 0, 100) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      this.#later(this.#latency() + from.slowUs + target.slowUs, () => {
        if (!this.connected(from.name, to)) return;
        this.#step(target, (m, now, effects) => m.handle(from.name, message, now, effects));
      });
    }
  }

  #latency(): number {
    const [low, high] = this.#options.latencyUs ?? [200, 2000];
    return this.#random.between(low, high);
  }

  #later(us: number, run: () => void): void {
    this.#at(after(this.now as Instant, us), run);
  }

  /** A binary heap by (time, order of scheduling). */
  #at(at: number, run: () => void): void {
    const queue = this.#queue;
    const event = { at, order: this.#order++, run };
    let i = queue.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(event, queue[parent]!)) break;
      queue[i] = queue[parent]!;
      i = parent;
    }
    queue[i] = event;
  }

  #pop(): Event {
    const queue = this.#queue;
    const top = queue[0]!;
    const last = queue.pop()!;
    if (queue.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= queue.length) break;
      if (child + 1 < queue.length && before(queue[child + 1]!, queue[child]!)) child++;
      if (!before(queue[child]!, last)) break;
      queue[i] = queue[child]!;
      i = child;
    }
    queue[i] = last;
    return top;
  }
}

function before(a: Event, b: Event): boolean {
  return a.at !== b.at ? a.at < b.at : a.order < b.order;
}
