import { type NodeId, type PartitionId, SYSTEM_PARTITION } from "../core/base/ids.ts";
import type { Origin } from "../core/node/options.ts";
import { decodeConfiguration, isJoint, isVoter } from "../core/wire/configuration.ts";
import type { Effects, Input, JournalRecord, Note } from "../core/wire/kernel.ts";
import type { Configuration, MemberState } from "../core/wire/messages.ts";
import type { DiskState } from "./disk.ts";
import { inspect } from "./inspect.ts";
import type { CrashDamage } from "./journal_disk.ts";
import type { Machine } from "./machine.ts";
import type { Observer } from "./observer.ts";
import type { Sometimes } from "./sometimes.ts";

/** A crash so soon after a start finds a node that has hardly begun. */
const YOUNG_US = 500_000;
const MANY_CHECKPOINTS = 3;

/** What is known of one node's replica of one partition, from its records and notes. */
interface Held {
  /** Configurations in its log, by index, oldest first. */
  configurations: { readonly index: number; readonly configuration: Configuration }[];
  leads: boolean;
  quiet: boolean;
  dropped: boolean;
  hollow: boolean;
  /** Installed a snapshot that no checkpoint has made durable yet. */
  settling: boolean;
}

/** Sees from outside in which situations of the registry (sometimes.ts) the nodes of a run are. Changes nothing. */
export class Sightings implements Observer {
  readonly #sometimes: Sometimes;
  /** By machine. */
  readonly #held: Map<PartitionId, Held>[] = [];
  readonly #startedAt: number[] = [];
  readonly #checkpoints: { underWay: boolean; done: number }[] = [];
  readonly #down = new Set<NodeId>();
  readonly #running = new Set<NodeId>();
  /** The newest committed configuration of each partition. */
  readonly #committed = new Map<
    PartitionId,
    { readonly index: number; readonly configuration: Configuration }
  >();
  /** To whom leadership was handed last. */
  readonly #heirs = new Map<PartitionId, NodeId>();
  /** Snapshots that were begun and not reported as installed, by partition and follower. */
  readonly #snapshots = new Set<string>();
  readonly #states = new Map<NodeId, MemberState>();
  #viewVersion = 0;

  constructor(sometimes: Sometimes) {
    this.#sometimes = sometimes;
  }

  // ---- Observer

  started(machine: Machine, origin: Origin, now: number): void {
    while (this.#held.length <= machine.index) {
      this.#held.push(new Map());
      this.#checkpoints.push({ underWay: false, done: 0 });
    }
    this.#startedAt[machine.index] = now;
    this.#down.delete(machine.id);
    this.#running.add(machine.id);
    this.#checkpoints[machine.index] = { underWay: false, done: 0 };
    const before = this.#held[machine.index]!, held = new Map<PartitionId, Held>();
    this.#held[machine.index] = held;
    for (const [partition, { dropped }] of before) if (dropped) held.set(partition, newlyHeld(true));
    if (origin.kind !== "recovered") return;
    for (const [partition, replica] of origin.recovered.replicas) {
      if (!replica.exists) continue;
      const found = this.#of(machine, partition);
      found.configurations = [{ index: replica.configurationIndex, configuration: replica.configuration }];
      this.#appended(found, replica.entries);
    }
  }

  stepped(machine: Machine, input: Input, effects: Effects, now: number): void {
    const { persist, notes } = effects;
    for (let i = 0; i < persist.length; i++) this.#recorded(machine, persist[i]!);
    for (let i = 0; i < notes.length; i++) this.#noted(machine, notes[i]!);
    if (input.kind === "start" && now === this.#startedAt[machine.index]) this.#lookForHollow(machine);
  }

  crashed(machine: Machine, damage: CrashDamage): void {
    if (damage.torn > 0) this.#sometimes.fire("torn tail cut");
    if (damage.survived > 0) this.#sometimes.fire("unsynced records survived");
    if (damage.interrupted > 0) this.#sometimes.fire("recovery interrupted");
    if (damage.pending > 0 && damage.survived === 0) this.#sometimes.fire("crash lost everything unsynced");
    if (damage.pending > 0 && damage.survived === damage.pending) {
      this.#sometimes.fire("crash kept everything");
    }
    if (this.#checkpoints[machine.index]!.underWay) this.#sometimes.fire("checkpoint interrupted by a crash");
  }

  readBack(_machine: Machine, state: DiskState): void {
    if (state.kind === "lost") this.#sometimes.fire("journal damage detected");
    if (state.kind === "lost" && state.behindSeal) this.#sometimes.fire("damage behind a seal detected");
    if (state.kind === "whole" && state.tablesLost) this.#sometimes.fire("tables found damaged");
  }

  halted(machine: Machine, now: number): void {
    if (machine.power === "down") this.#sometimes.fire("node down with disk trouble");
    this.#down.add(machine.id);
    this.#running.delete(machine.id);
    if (this.#down.size >= 2) this.#sometimes.fire("two nodes dead at once");
    if (this.#running.size === 0) this.#sometimes.fire("all nodes dead at once");
    if (machine.power === "left") return;
    if (now - this.#startedAt[machine.index]! < YOUNG_US) {
      this.#sometimes.fire("crashed again before it caught up");
    }
    for (const [partition, held] of this.#held[machine.index]!) {
      if (held.settling) this.#sometimes.fire("crashed while a snapshot settled");
      if (!held.leads) continue;
      if (partition === SYSTEM_PARTITION) this.#sometimes.fire("system leader crashed");
      if (isReconfiguring(held)) this.#sometimes.fire("leader crashed mid-reconfiguration");
    }
  }

  /** For the world's tracer: what shows in messages and answers alone. */
  traced(input: Input, effects: Effects): void {
    if (input.kind === "space") {
      this.#sometimes.fire(input.low ? "disk nearly full" : "disk nearly full and back");
    }
    if (input.kind !== "messages") return;
    const { messages } = input;
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]!;
      if (message.kind === "snapshot") {
        if (message.sequence > 0) this.#sometimes.fire("snapshot of several chunks");
      } else if (message.kind === "forward" && effects.persist.length > 0) {
        this.#sometimes.fire("proposal forwarded");
      }
    }
  }

  // ---- what nodes write down

  #recorded(machine: Machine, record: JournalRecord): void {
    switch (record.kind) {
      case "entries":
        return this.#appended(this.#of(machine, record.partition), record.entries);
      case "truncate":
        return this.#truncated(this.#of(machine, record.partition), record.from);
      case "base": {
        const held = this.#of(machine, record.partition);
        held.configurations = held.configurations.filter(({ index }) => index > record.configurationIndex);
        held.configurations.unshift({
          index: record.configurationIndex,
          configuration: record.configuration,
        });
        return;
      }
      default:
    }
  }

  #appended(
    held: Held,
    entries: readonly { readonly kind: string; readonly index: number; readonly data: Uint8Array }[],
  ): void {
    for (let i = 0; i < entries.length; i++) {
      const { kind, index, data } = entries[i]!;
      if (kind !== "config") continue;
      const configuration = decodeConfiguration(data);
      if (configuration !== null) held.configurations.push({ index, configuration });
    }
  }

  #truncated(held: Held, from: number): void {
    this.#sometimes.fire("uncommitted entries cut off");
    while (held.configurations.length > 0 && held.configurations.at(-1)!.index >= from) {
      const { configuration } = held.configurations.pop()!;
      if (isJoint(configuration)) this.#sometimes.fire("joint configuration rolled back");
    }
  }

  // ---- what nodes note

  #noted(machine: Machine, note: Note): void {
    const sometimes = this.#sometimes;
    switch (note.kind) {
      case "leader":
        return this.#elected(machine, note.partition);
      case "stepped-down":
        return this.#steppedDown(machine, note.partition, note.why);
      case "campaign-lost":
        return sometimes.fire(note.pre ? "pre-vote refused a candidate" : "vote lost");
      case "quiet":
        return this.#quiet(this.#of(machine, note.partition), note.quiet);
      case "configuration":
        return this.#configured(note.partition, note.index, note.configuration);
      case "transfer":
        this.#heirs.set(note.partition, note.to);
        return;
      case "compacted":
        return sometimes.fire("log compacted");
      case "snapshot-begun":
      case "snapshot-sent":
        return this.#snapshot(`${note.partition} ${note.to}`, note.kind === "snapshot-begun");
      case "snapshot-installed":
        return this.#installed(this.#of(machine, note.partition));
      case "dropped":
        this.#held[machine.index]!.set(note.partition, newlyHeld(true));
        return;
      case "duplicate":
        sometimes.fire("exactly-once duplicate dropped");
        if (this.#of(machine, note.partition).leads) sometimes.fire("retry answered from the session table");
        return;
      case "leases-ended":
        return sometimes.fire("lease expired");
      case "checkpoint":
        return this.#checkpoint(machine, note.done);
      case "view":
        return this.#viewed(machine);
      default:
    }
  }

  #elected(machine: Machine, partition: PartitionId): void {
    const held = this.#of(machine, partition);
    held.leads = true;
    if (isReconfiguring(held)) this.#sometimes.fire("leader changed mid-reconfiguration");
    if (held.configurations.at(-1)?.configuration.voters.length === 1) {
      this.#sometimes.fire("sole replica elected");
    }
    if (this.#heirs.get(partition) === machine.id) this.#sometimes.fire("leadership transferred");
    this.#heirs.delete(partition);
  }

  #steppedDown(machine: Machine, partition: PartitionId, why: string): void {
    this.#of(machine, partition).leads = false;
    if (why === "no quorum answers") this.#sometimes.fire("check-quorum made a leader step down");
    else if (why === "left the configuration") this.#sometimes.fire("leader left the configuration");
    else if (why !== "dropped") this.#sometimes.fire("higher term deposed a leader");
  }

  #quiet(held: Held, quiet: boolean): void {
    if (held.quiet && !quiet) this.#sometimes.fire("quiet partition woken");
    held.quiet = quiet;
  }

  #configured(partition: PartitionId, index: number, configuration: Configuration): void {
    const before = this.#committed.get(partition);
    if (before !== undefined && before.index >= index) return;
    this.#committed.set(partition, { index, configuration });
    if (before === undefined) return;
    const { voters, learners } = before.configuration;
    if (learners.some((node) => isVoter(configuration, node))) this.#sometimes.fire("learner promoted");
    const same = voters.length === configuration.voters.length &&
      voters.every((node) => configuration.voters.includes(node));
    if (partition === SYSTEM_PARTITION && !same) this.#sometimes.fire("system voter replaced");
  }

  #snapshot(key: string, begun: boolean): void {
    if (!begun) this.#snapshots.delete(key);
    else if (this.#snapshots.has(key)) this.#sometimes.fire("snapshot begun anew");
    else this.#snapshots.add(key);
  }

  #installed(held: Held): void {
    this.#sometimes.fire("snapshot installed");
    if (held.dropped) this.#sometimes.fire("replica dropped and reopened");
    if (held.hollow) this.#sometimes.fire("hollow replica rebuilt");
    held.dropped = held.hollow = false;
    held.settling = true;
  }

  #checkpoint(machine: Machine, done: boolean): void {
    const checkpoints = this.#checkpoints[machine.index]!;
    checkpoints.underWay = !done;
    if (!done) return;
    for (const held of this.#held[machine.index]!.values()) held.settling = false;
    if (++checkpoints.done >= MANY_CHECKPOINTS) this.#sometimes.fire("several checkpoints in one life");
  }

  #viewed(machine: Machine): void {
    const view = inspect(machine.kernel)?.view();
    if (view === undefined || view.version <= this.#viewVersion) return;
    const isFirst = this.#viewVersion === 0 && this.#states.size === 0;
    this.#viewVersion = view.version;
    for (const { id, state } of view.members) {
      const before = this.#states.get(id);
      if (before === state) continue;
      this.#states.set(id, state);
      if (isFirst) continue;
      if (before === undefined) this.#sometimes.fire("member joined");
      else if (state === "active" || state === "joining") {
        if (before === "gone") this.#sometimes.fire("member declared gone rejoined");
      } else if (state !== "draining") {
        this.#sometimes.fire(before === "draining" ? "member drained" : "member declared gone");
      }
    }
  }

  /** A replica that existed and has no log to go on from. */
  #lookForHollow(machine: Machine): void {
    for (const { partition, replica } of inspect(machine.kernel)?.replicas() ?? []) {
      if (replica.hollow === true) this.#of(machine, partition).hollow = true;
    }
  }

  #of(machine: Machine, partition: PartitionId): Held {
    const held = this.#held[machine.index]!;
    let found = held.get(partition);
    if (found === undefined) held.set(partition, found = newlyHeld(false));
    return found;
  }
}

function newlyHeld(dropped: boolean): Held {
  return { configurations: [], leads: false, quiet: false, dropped, hollow: false, settling: false };
}

function isReconfiguring({ configurations }: Held): boolean {
  const newest = configurations.at(-1);
  return newest !== undefined && isJoint(newest.configuration);
}
