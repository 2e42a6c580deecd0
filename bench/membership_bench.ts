import type { Instant, NodeId } from "../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../core/base/limits.ts";
import { Random } from "../core/base/random.ts";
import { NO_UPDATES } from "../core/membership/gossip_queue.ts";
import { Membership, type MembershipMessage } from "../core/membership/membership.ts";
import { Effects } from "../core/wire/kernel.ts";
import type { Update } from "../core/wire/messages.ts";

const MEMBERS = 1000;
const names = Array.from({ length: MEMBERS }, (_, i) => `n${i}` as NodeId);
const peers = names.map((node) => ({ node, address: `${node}:1` }));
const random = Random.fromSeed(1);

function machine(i: number): Membership {
  const self = names[i]!;
  const settings = DEFAULT_SETTINGS;
  return new Membership({
    self,
    address: `${self}:1`,
    incarnation: 0,
    random: random.fork(self),
    settings,
    peers,
  });
}

const effects = new Effects();
const one = machine(0);
let now = 0;
function step(message: MembershipMessage, from: NodeId): void {
  effects.clear();
  one.handle(from, message, now as Instant, effects);
}

Deno.bench(`handle() a calm ping, ${MEMBERS} members`, () => {
  step({ kind: "ping", sequence: 1, target: one.self, view: 0, updates: NO_UPDATES }, names[500]!);
});

Deno.bench(`wake(), then handle() its ack, ${MEMBERS} members`, () => {
  effects.clear();
  now = one.nextWake();
  one.wake(now as Instant, effects);
  for (const { to, message } of effects.sendNow.slice()) {
    if (message.kind === "ping") {
      step({ kind: "ack", sequence: message.sequence, view: 0, updates: NO_UPDATES }, to);
    }
  }
});

const stale: Update[] = names.slice(1, 33).map((node) => ({
  node,
  address: `${node}:1`,
  incarnation: 0,
  status: "alive",
  by: node,
}));
Deno.bench(`handle() a ping with 32 old updates, ${MEMBERS} members`, () => {
  step({ kind: "ping", sequence: 1, target: one.self, view: 0, updates: stale }, names[500]!);
});

let incarnation = 0;
Deno.bench(`handle() a ping with 32 new updates, ${MEMBERS} members`, () => {
  incarnation++;
  const fresh = stale.map((update) => ({ ...update, incarnation }));
  step({ kind: "ping", sequence: 1, target: one.self, view: 0, updates: fresh }, names[500]!);
});

let calm: Network | null = null;
Deno.bench(`ten virtual seconds of ${MEMBERS} calm members: 20,000 pings, 20,000 acks`, (b) => {
  calm ??= Network.settled();
  b.start();
  calm.run(10_000);
  b.end();
});

/** All machines in steps of a millisecond: every message takes one, so that hardly anything but the machines costs. */
class Network {
  messages = 0;
  readonly #machines = names.map((_, i) => machine(i));
  readonly #byName = new Map(this.#machines.map((m) => [m.self, m]));
  #nowMs = 0;
  #inFlight: { from: NodeId; to: NodeId; message: MembershipMessage }[] = [];
  readonly #wakes = new Map<number, Membership[]>();

  static settled(): Network {
    const network = new Network();
    for (const m of network.#machines) network.#step(m, () => m.wake(0 as Instant, effects));
    network.run(60_000);
    return network;
  }

  run(ms: number): void {
    const end = this.#nowMs + ms;
    for (; this.#nowMs < end; this.#nowMs++) {
      const now = (this.#nowMs * 1000) as Instant;
      const arriving = this.#inFlight;
      this.#inFlight = [];
      for (const { from, to, message } of arriving) {
        this.#step(this.#byName.get(to)!, (m) => m.handle(from, message, now, effects));
      }
      const wakes = this.#wakes.get(this.#nowMs);
      if (wakes === undefined) continue;
      this.#wakes.delete(this.#nowMs);
      for (const m of wakes) if (m.nextWake() <= now) this.#step(m, () => m.wake(now, effects));
    }
  }

  #step(m: Membership, act: (m: Membership) => void): void {
    effects.clear();
    const before = m.nextWake();
    act(m);
    for (const { to, message } of effects.sendNow) {
      this.#inFlight.push({ from: m.self, to, message: message as MembershipMessage });
    }
    this.messages += effects.sendNow.length;
    if (m.nextWake() === before) return;
    const ms = Math.ceil(m.nextWake() / 1000);
    const wakes = this.#wakes.get(ms);
    if (wakes === undefined) this.#wakes.set(ms, [m]);
    else wakes.push(m);
  }
}
