import { type Instant, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { Membership, type MembershipMessage } from "../../../core/membership/membership.ts";
import { Effects, type JournalRecord, type Note } from "../../../core/wire/kernel.ts";
import type { Liveness, Update } from "../../../core/wire/messages.ts";

export const { probeIntervalUs, probeTimeoutUs } = DEFAULT_SETTINGS;
export const a = nodeId("a"), b = nodeId("b"), c = nodeId("c"), d = nodeId("d"), e = nodeId("e");

export function says(
  name: string,
  status: Liveness,
  incarnation: number,
  by = name,
  address = `${name}:1`,
): Update {
  return { node: nodeId(name), address, incarnation, status, by: nodeId(by) };
}

export type Sent = { readonly to: string } & MembershipMessage;

/** Node `a` alone on the table, with all that it sends, notes and records in hand. */
export class Bench {
  now = 0;
  readonly machine: Membership;
  readonly effects = new Effects();

  constructor(peers: string[], options: { seed?: number; incarnation?: number } = {}) {
    this.machine = new Membership({
      self: a,
      address: "a:1",
      incarnation: options.incarnation ?? 0,
      random: Random.fromSeed(options.seed ?? 1),
      settings: DEFAULT_SETTINGS,
      peers: peers.map((name) => ({ node: nodeId(name), address: `${name}:1` })),
    });
  }

  /** A bench on which the start is over. */
  static started(peers: string[], options: { seed?: number; incarnation?: number } = {}): Bench {
    const bench = new Bench(peers, options);
    bench.act((m, now, effects) => m.wake(now, effects));
    return bench;
  }

  act(run: (machine: Membership, now: Instant, effects: Effects) => void): Sent[] {
    this.effects.clear();
    run(this.machine, this.now as Instant, this.effects);
    return this.effects.sendNow.map(({ to, message }) => ({ to, ...(message as MembershipMessage) }));
  }

  hear(from: string, message: MembershipMessage): Sent[] {
    return this.act((m, now, effects) => m.handle(nodeId(from), message, now, effects));
  }

  gossip(from: string, ...updates: Update[]): Sent[] {
    return this.hear(from, { kind: "ack", sequence: 0, view: 0, updates });
  }

  ping(from: string, ...updates: Update[]): Update[] {
    const sent = this.hear(from, { kind: "ping", sequence: 7, target: a, view: 0, updates });
    const ack = sent.find((m) => m.kind === "ack" && m.to === from && m.sequence === 7);
    return ack?.kind === "ack" ? [...ack.updates] : [];
  }

  /** Steps all wakes up to `us` from now. */
  pass(us: number): Sent[] {
    const end = this.now + us;
    const sent: Sent[] = [];
    while (this.machine.nextWake() <= end) {
      this.now = Math.max(this.now, this.machine.nextWake());
      sent.push(...this.act((m, now, effects) => m.wake(now, effects)));
    }
    this.now = end;
    return sent;
  }

  /** Wakes until a ping of the given member leaves, answering every other ping; gives that ping's sequence. */
  untilProbed(target: string): number {
    for (;;) {
      this.now = Math.max(this.now, this.machine.nextWake());
      for (const m of this.act((m, now, effects) => m.wake(now, effects))) {
        if (m.kind !== "ping") continue;
        if (m.to === target) return m.sequence;
        this.answer(m.to, m.sequence);
      }
    }
  }

  answer(from: string, sequence: number, ...updates: Update[]): Sent[] {
    return this.hear(from, { kind: "ack", sequence, view: 0, updates });
  }

  notes<K extends Note["kind"]>(kind: K): Extract<Note, { kind: K }>[] {
    return this.effects.notes.filter((note): note is Extract<Note, { kind: K }> => note.kind === kind);
  }

  peersRecords(): Extract<JournalRecord, { kind: "peers" }>[] {
    return this.effects.persist.filter((r) => r.kind === "peers");
  }
}

export function only<K extends MembershipMessage["kind"]>(
  sent: Sent[],
  kind: K,
): Extract<Sent, { kind: K }>[] {
  return sent.filter((m): m is Extract<Sent, { kind: K }> => m.kind === kind);
}
