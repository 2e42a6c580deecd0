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
Deno.bench(`ten virtual seconds of ${MEMBERS} calm members, about 40,000 messages`, () => {
  calm ??= new Network();
  calm.run(10_000_000);
});

/** All machines in lockstep of a millisecond: every message takes one, so that nothing but the machines costs. */
class Network {
  readonly #machines = names.map((_, i) => machine(i));
  readonly #byName = new Map(this.#machines.map((m) => [m.self, m]));
  #now = 0;
  #inFlight: { from: NodeId; to: NodeId; message: MembershipMessage }[] = [];

  run(us: number): void {
    const end = this.#now + us;
    for (; this.#now < end; this.#now += 1000) {
      const arriving = this.#inFlight;
      this.#inFlight = [];
      for (const { from, to, message } of arriving) {
        this.#step(this.#byName.get(to)!, (m) => m.handle(from, message, this.#now as Instant, effects));
      }
      for (const m of this.#machines) {
        if (m.nextWake() <= this.#now) this.#step(m, () => m.wake(this.#now as Instant, effects));
      }
    }
  }

  #step(m: Membership, act: (m: Membership) => void): void {
    effects.clear();
    act(m);
    for (const { to, message } of effects.sendNow) {
      this.#inFlight.push({ from: m.self, to, message: message as MembershipMessage });
    }
  }
}
