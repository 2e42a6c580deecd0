import type { NodeId, PartitionId } from "../core/base/ids.ts";
import type { Effects, Input, Note } from "../core/wire/kernel.ts";
import type { Machine } from "./machine.ts";
import type { Observer } from "./observer.ts";

export interface Spread {
  readonly count: number;
  readonly p50Us: number;
  readonly maxUs: number;
}

export interface TimingsReport {
  /** From a node's crash to the first suspicion, and to the first verdict that it is dead. */
  readonly suspected: Spread | null;
  readonly declaredDead: Spread | null;
  /** From the crash of a partition's leader to its next leader. */
  readonly newLeader: Spread | null;
  /** From a node's crash until no partition's configuration names it any more, where it was replaced. */
  readonly replicated: Spread | null;
}

/** How soon the network notices and repairs what was broken, measured from outside. */
export class Timings implements Observer {
  readonly #crashedAt = new Map<NodeId, { readonly time: number; suspected: boolean; dead: boolean }>();
  readonly #leads = new Map<PartitionId, NodeId>();
  readonly #leaderless = new Map<PartitionId, number>();
  readonly #suspected: number[] = [];
  readonly #dead: number[] = [];
  readonly #led: number[] = [];
  readonly #replicated: number[] = [];
  /** By partition: who is in the newest configuration heard of, and since which log index. */
  readonly #configured = new Map<
    PartitionId,
    { readonly index: number; readonly nodes: readonly NodeId[] }
  >();

  started(machine: Machine): void {
    this.#crashedAt.delete(machine.id);
  }

  halted(machine: Machine, now: number): void {
    if (machine.power === "left") return;
    this.#crashedAt.set(machine.id, { time: now, suspected: false, dead: false });
    for (const [partition, leader] of this.#leads) {
      if (leader === machine.id) this.#leaderless.set(partition, now);
    }
  }

  stepped(machine: Machine, _input: Input, effects: Effects, now: number): void {
    const notes = effects.notes;
    for (let i = 0; i < notes.length; i++) {
      const note = notes[i]!;
      if (note.kind === "leader") this.#elected(machine, note.partition, now);
      else if (note.kind === "configuration") this.#configuration(note, now);
      else if (note.kind === "member" && (note.status === "suspect" || note.status === "dead")) {
        const crash = this.#crashedAt.get(note.node);
        if (crash === undefined) continue;
        if (!crash.suspected) this.#suspected.push(now - crash.time);
        crash.suspected = true;
        if (note.status === "dead" && !crash.dead) {
          this.#dead.push(now - crash.time);
          crash.dead = true;
        }
      }
    }
  }

  report(): TimingsReport {
    return {
      suspected: spread(this.#suspected),
      declaredDead: spread(this.#dead),
      newLeader: spread(this.#led),
      replicated: spread(this.#replicated),
    };
  }

  #configuration(note: Extract<Note, { kind: "configuration" }>, now: number): void {
    const { partition, index, configuration } = note, before = this.#configured.get(partition);
    if (before !== undefined && before.index >= index) return;
    const nodes = [...configuration.voters, ...configuration.outgoing];
    this.#configured.set(partition, { index, nodes });
    for (const node of before?.nodes ?? []) {
      const crash = nodes.includes(node) ? undefined : this.#crashedAt.get(node);
      if (crash !== undefined && !this.#holds(node)) this.#replicated.push(now - crash.time);
    }
  }

  #holds(node: NodeId): boolean {
    for (const { nodes } of this.#configured.values()) if (nodes.includes(node)) return true;
    return false;
  }

  #elected(machine: Machine, partition: PartitionId, now: number): void {
    const since = this.#leaderless.get(partition);
    if (since !== undefined) this.#led.push(now - since);
    this.#leaderless.delete(partition);
    this.#leads.set(partition, machine.id);
  }
}

function spread(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  return { count: sorted.length, p50Us: sorted[sorted.length >> 1]!, maxUs: sorted[sorted.length - 1]! };
}
