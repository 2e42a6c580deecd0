import type { NodeId } from "../core/base/ids.ts";
import { invariant, InvariantError } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import type { NodeOptions, Origin } from "../core/node/options.ts";
import type { Effects, Input, Kernel } from "../core/wire/kernel.ts";
import type { ChunkOp } from "../core/wire/objects.ts";
import { ClientLines } from "./client_lines.ts";
import type { Client, ClientReply, IdentifiedRequest, Login } from "./clients.ts";
import { Clock } from "./clock.ts";
import { Digest } from "./digest.ts";
import { Disk, type DiskOptions, type DiskState } from "./disk.ts";
import { EVENT, INPUT_CODE } from "./events.ts";
import type { FrameFormat } from "./frames.ts";
import type { Recover } from "./journal_disk.ts";
import { type EventHandler, Loop } from "./loop.ts";
import { Machine, type Power } from "./machine.ts";
import { type Distance, Network, type NetworkOptions } from "./network.ts";
import {
  ChunkDisk,
  type ChunkDiskOptions,
  type ChunkSource,
  type ChunkWork,
  DEFAULT_CHUNK_DISK,
} from "./objects/chunk_disk.ts";
import type { Observer, Tracer, Violation } from "./observer.ts";
import { PeerLines } from "./peer_lines.ts";
import { HostPort } from "./security/host_port.ts";
import { type Given, Hosts } from "./security/hosts.ts";

/** Makes the code under test. Every machine of a world runs the same. */
export type KernelFactory = (options: NodeOptions) => Kernel;

export interface WorldOptions {
  readonly random: Random;
  readonly network: NetworkOptions;
  readonly disk: DiskOptions;
  /** Of the fragments of objects. */
  readonly chunkDisk?: ChunkDiskOptions | undefined;
  readonly distance: Distance;
  readonly kernel: KernelFactory;
  readonly frames: FrameFormat | null;
  /** Every frame goes through the real codec, instead of the share the network options name. */
  readonly fullCodec: boolean;
  /** The network is private: hosts look at who may be connected, and keep the network's secrets. */
  readonly isPrivate?: boolean;
  /** In place of the journal's real recovery: broken ones, in tests. */
  readonly recover?: Recover | undefined;
}

export interface MachineSpec {
  readonly id: NodeId;
  readonly zone: string;
  readonly capacity: number;
  readonly clockOffsetUs: number;
  readonly clockDriftPpm: number;
  /** Takes the place of this machine: its address, and as far from all others. */
  readonly replaces?: Machine;
  /** Finds these fragments on its disk. */
  readonly chunks?: ChunkDisk;
}

const WAKE: Input = { kind: "wake" };

/**
 * The virtual world: machines on one virtual clock, joined by a network, with clients beside them.
 *
 * Invariants:
 * 1. Messages that a step wants sent after persisting leave only when the disk says their records are durable.
 * 2. An event of an earlier life of a machine never reaches a later one, except frames that were on their way.
 * 3. Whatever is random comes from a stream of its own, so that the same seed gives the same run in every process.
 */
export class World implements EventHandler {
  readonly loop = new Loop();
  readonly network: Network;
  readonly machines: Machine[] = [];
  readonly digest = new Digest();
  readonly chunkSource: ChunkSource = { derive: null };
  readonly violations: Violation[] = [];
  /** What hosts do in a private network; null in an open one. */
  readonly hosts: Hosts | null;
  tracer: Tracer | null = null;
  /** Told of a machine that found its disk lost: it never starts again. */
  onLost: ((machine: Machine) => void) | null = null;
  /** Steps of all kernels. */
  steps = 0;
  /** Messages handed to kernels, each counted; the network counts frames. */
  delivered = 0;

  readonly #options: WorldOptions;
  readonly #indexes = new Map<NodeId, number>();
  readonly #observers: Observer[] = [];
  readonly #clients: ClientLines;
  readonly #peers: PeerLines;

  constructor(options: WorldOptions) {
    this.#options = options;
    const distance: Distance = (from, to) => options.distance(this.#placeOf(from), this.#placeOf(to));
    this.network = new Network(options.network, distance, options.random.fork("network"));
    this.#peers = new PeerLines(this, this.#indexes, options);
    this.#clients = new ClientLines({
      loop: this.loop,
      latencyUs: options.network.clientLatencyUs,
      jitterUs: options.network.jitterUs,
      random: options.random.fork("clients"),
    });
    const isPrivate = options.isPrivate === true;
    this.hosts = isPrivate ? new Hosts(new HostPort(this), options.random.fork("hosts")) : null;
  }

  // ---- what runs and who watches

  observe(observer: Observer): void {
    this.#observers.push(observer);
  }

  run(until: number): void {
    this.loop.run(this, until);
  }

  /** Calls `action` at virtual time `time`. */
  schedule(time: number, action: () => void): void {
    this.loop.at(Math.max(time, this.loop.now), EVENT.action, 0, 0, action);
  }

  violate(check: string, detail: string): void {
    this.violations.push({ check, detail, time: this.loop.now });
  }

  // ---- machines

  addMachine(spec: MachineSpec): Machine {
    invariant(!this.#indexes.has(spec.id), () => `Node ids are unique: ${spec.id}`);
    const index = this.machines.length, random = this.#options.random.fork(`node ${spec.id}`);
    const machine = new Machine({
      index,
      id: spec.id,
      place: spec.replaces?.place ?? index,
      address: spec.replaces?.address ?? `${spec.id}:7400`,
      zone: spec.zone,
      capacity: spec.capacity,
      clock: new Clock({ offsetUs: spec.clockOffsetUs, driftPpm: spec.clockDriftPpm }),
      disk: new Disk(spec.id, this.#options.disk, random.fork("disk"), this.#options.recover),
      chunks: spec.chunks ?? new ChunkDisk(
        this.#options.chunkDisk ?? DEFAULT_CHUNK_DISK,
        random.fork("chunks"),
        this.chunkSource,
      ),
      random,
    });
    this.machines.push(machine);
    this.#indexes.set(spec.id, index);
    if (spec.replaces !== undefined) this.network.placed(index);
    return machine;
  }

  /** Where a machine stands, for distances. Links are laid out for more machines than there are. */
  #placeOf(index: number): number {
    return this.machines[index]?.place ?? index;
  }

  /** The machine of a node, if it has one. */
  machine(id: NodeId): Machine | undefined {
    const index = this.#indexes.get(id);
    return index === undefined ? undefined : this.machines[index];
  }

  /** Switches a machine on with a fresh kernel. */
  start(machine: Machine, origin: Origin): void {
    invariant(!machine.running, () => `${machine.id} starts only while it is off`);
    machine.life++;
    machine.power = "running";
    machine.silent = false;
    machine.busyUntil = 0;
    if (origin.kind !== "recovered") machine.origin = origin;
    machine.disk.open(this.loop.now);
    try {
      machine.kernel = this.#options.kernel({
        id: machine.id,
        address: machine.address,
        origin,
        random: machine.random.fork(`life ${machine.life}`),
        tables: machine.disk.tables,
      });
    } catch (error) {
      return this.#broke(machine, error);
    }
    for (const observer of this.#observers) observer.started?.(machine, origin, this.loop.now);
    this.#step(machine, { kind: "start" });
    const keys = this.hosts !== null && machine.running ? this.hosts.started(machine) : null;
    if (keys !== null) this.#step(machine, keys);
  }

  /** Starts a machine again on what its disk kept. One that finds its disk lost has forgotten what it promised. */
  restart(machine: Machine): void {
    const { disk, power } = machine;
    if (machine.life === 0 || machine.running || machine.retired || power === "broken") return;
    if (disk.state?.kind === "lost") return this.#lost(machine);
    const recovered = disk.recovered();
    // Nothing at all was durable yet, so nothing was promised either.
    const isEmpty = recovered.view === null && recovered.replicas.size === 0;
    this.start(machine, isEmpty ? machine.origin! : { kind: "recovered", recovered });
  }

  /**
   * The process dies. `silent`: its machine lost power, and peers notice only that it no longer answers. Else the machine
   * runs on, or is up again at once, and refuses connections.
   */
  crash(machine: Machine, silent: boolean): void {
    if (!machine.running) return;
    const kind = silent || machine.random.chance(1, 2) ? "power" : "process";
    machine.silent = silent;
    this.#halt(machine, "crashed");
    this.#stopChunks(machine, kind);
    this.#readBack(machine, machine.disk.crash(kind, this.loop.now));
  }

  /** The disk fails the process: nothing that is pending is acknowledged, until it starts again. */
  down(machine: Machine): void {
    if (!machine.running) return;
    machine.silent = false;
    this.#halt(machine, "down");
    this.#stopChunks(machine, "process");
    // After a write or sync that failed nobody knows which sectors got through, and the page cache forgets them.
    this.#readBack(machine, machine.disk.crash("power", this.loop.now));
  }

  /** A disk is gone with all that it held. */
  lose(machine: Machine): void {
    if (machine.running) this.#halt(machine, "lost");
    machine.disk.lose();
    machine.chunks.lose();
    this.#lost(machine);
  }

  /** The next sync that ends has failed; `then` is called when the machine is down for it. */
  failSync(machine: Machine, then: () => void): void {
    if (machine.running) machine.syncFailure = then;
  }

  /** Leaves so many bytes of room for the journal; below `reserve` the node is told. Infinity ends it. */
  setRoom(machine: Machine, room: number, reserve: number): void {
    machine.disk.room = room;
    machine.reserve = reserve;
    if (machine.running) this.#watchRoom(machine);
  }

  /** Asks a node to stop in good order. */
  stop(machine: Machine): void {
    if (!machine.running || machine.stopping) return;
    machine.stopping = true;
    this.#step(machine, { kind: "stop" });
  }

  /** Has the machine take this long for each input; 0 ends it. */
  slow(machine: Machine, us: number): void {
    machine.slowUs = us;
  }

  jumpClock(machine: Machine, us: number): void {
    machine.clock.jump(us, this.loop.now);
    this.#clockChanged(machine);
  }

  setDrift(machine: Machine, ppm: number): void {
    machine.clock.setDrift(ppm, this.loop.now);
    this.#clockChanged(machine);
  }

  /** Cuts one direction. `noticed`: both ends see their connection break. */
  cut(from: Machine, to: Machine, noticed: boolean): void {
    this.network.cut(from.index, to.index);
    if (noticed) this.#peers.breakLink(from, to);
  }

  heal(from: Machine, to: Machine): void {
    this.network.heal(from.index, to.index);
  }

  /** A connection between two peers breaks, and both notice. */
  breakLink(from: Machine, to: Machine): void {
    this.#peers.breakLink(from, to);
  }

  // ---- clients

  addClient(client: Client): number {
    return this.#clients.add(client);
  }

  wakeClient(client: number, at: number): void {
    this.#clients.wakeAt(client, at);
  }

  /** Connects a client with a node. The connection may be lost at once. */
  connect(client: number, machine: Machine, login?: Login): number {
    return this.#clients.connect(client, machine, login);
  }

  loginOf(connection: number): Login | undefined {
    return this.#clients.loginOf(connection);
  }

  request(connection: number, requests: readonly IdentifiedRequest[]): void {
    this.#clients.request(connection, requests);
  }

  disconnect(connection: number): void {
    this.#clients.disconnect(connection);
  }
  resetClients(machine: Machine): void {
    this.#clients.resetAll(machine);
  }

  // ---- events

  handle(kind: number, a: number, b: number, payload: unknown): void {
    switch (kind) {
      case EVENT.deliver:
        return this.#deliver(a, b, payload as Input & { kind: "messages" });
      case EVENT.resume: {
        const machine = this.machines[a]!;
        if (!machine.running || machine.life !== b) return;
        if (payload === WAKE) machine.wakeWaits = false;
        this.#step(machine, payload as Input);
        return;
      }
      case EVENT.synced:
        return this.#synced(a, b);
      case EVENT.tablesDurable:
        return this.#tablesDurable(a, b);
      case EVENT.peerLost: {
        const machine = this.machines[a]!;
        if (machine.running) this.#step(machine, { kind: "peer-lost", peer: this.machines[b]!.id });
        return;
      }
      case EVENT.request:
        return this.#requested(a, b, payload as Input);
      case EVENT.reply:
        return this.#clients.replied(a, b, payload as ClientReply[]);
      case EVENT.clientGone: {
        const machine = this.machines[a]!;
        if (machine.running && this.#clients.reaches(b, machine)) {
          this.#input(machine, { kind: "client-gone", client: b });
        }
        return;
      }
      case EVENT.clientWake:
        return this.#clients.wake(a);
      case EVENT.clientLost:
        return this.#clients.lost(a, b);
      case EVENT.secrets:
        if (!this.machines[a]!.running) return;
        return this.hosts!.received(this.machines[a]!, this.machines[b]!, payload as readonly Given[]);
      case EVENT.chunks:
        return this.#chunksDone(a, b, payload as ChunkWork);
      case EVENT.action:
        return (payload as () => void)();
    }
    invariant(false, () => `Event kind ${kind} is known`);
  }

  #deliver(to: number, from: number, input: Input & { kind: "messages" }): void {
    const machine = this.machines[to]!;
    if (machine.running && this.hosts !== null && !this.hosts.trusts(to, from)) {
      return this.#peers.refuse(from, to);
    }
    if (machine.running) {
      this.delivered += input.messages.length;
      this.#input(machine, input);
    } else if (!machine.silent) this.#peers.refuse(from, to);
  }

  #requested(node: number, connection: number, input: Input): void {
    const machine = this.machines[node]!;
    if (!machine.running) return;
    if (!this.#clients.reaches(connection, machine)) this.#clients.reset(connection);
    else if (this.hosts === null || input.kind !== "requests") this.#input(machine, input);
    else {
      const { requests, refused } = this.hosts.screened(machine, connection, input.requests);
      if (refused.length > 0) this.#clients.reply(refused);
      if (requests.length > 0) this.#input(machine, { ...input, requests });
    } // A process that does not know the connection resets it.
  }

  /** A machine's alarm is its kernel's next wake. */
  alarm(index: number): void {
    const machine = this.machines[index]!, now = this.loop.now;
    machine.wakeDue = -1;
    machine.countWake(now);
    machine.wakeWaits = machine.slow(now);
    this.#input(machine, WAKE);
  }

  #synced(index: number, life: number): void {
    const machine = this.machines[index]!;
    if (!machine.running || machine.life !== life) return;
    const disk = machine.disk, before = disk.durableUpTo, failed = machine.syncFailure;
    if (failed !== null) {
      this.down(machine);
      return failed();
    }
    disk.endSync(this.loop.now);
    const upTo = disk.durableUpTo, checkpoint = disk.takeCompleted();
    this.#beginSync(machine);
    const withheld = machine.withheld;
    let released = 0;
    while (released < withheld.length && withheld[released]!.upTo <= upTo) {
      this.#peers.send(machine, withheld[released++]!.envelopes);
    }
    if (released > 0) withheld.splice(0, released);
    if (upTo > before) this.#input(machine, { kind: "persisted", upTo });
    if (checkpoint >= 0 && machine.running) this.#input(machine, { kind: "checkpointed", checkpoint });
  }

  /** The tables of a checkpoint are durable; its mark follows. */
  #tablesDurable(index: number, life: number): void {
    const machine = this.machines[index]!;
    if (!machine.running || machine.life !== life) return;
    machine.disk.endTables(this.loop.now);
    this.#beginSync(machine);
  }

  // ---- fragments of objects

  #askChunks(machine: Machine, ops: readonly ChunkOp[]): void {
    for (const work of machine.chunks.submit(ops, this.loop.now)) {
      this.loop.at(work.at, EVENT.chunks, machine.index, machine.life, work);
    }
  }

  #chunksDone(index: number, life: number, work: ChunkWork): void {
    const machine = this.machines[index]!, now = this.loop.now;
    if (!machine.running || machine.life !== life || work.done) return;
    const result = machine.chunks.finish(work, now, machine.clock.read(now));
    this.#input(machine, { kind: "chunks", results: [result] });
  }

  #stopChunks(machine: Machine, kind: "process" | "power"): void {
    machine.chunks.stop(kind, this.loop.now, machine.clock.read(this.loop.now));
  }

  // ---- steps

  /** Hands an input over, later if the machine is slow. */
  #input(machine: Machine, input: Input): void {
    if (!machine.slow(this.loop.now)) return this.#step(machine, input);
    machine.busyUntil = Math.max(machine.busyUntil, this.loop.now) + machine.slowUs;
    this.loop.at(machine.busyUntil, EVENT.resume, machine.index, machine.life, input);
  }

  #step(machine: Machine, input: Input): void {
    const now = this.loop.now, kernel = machine.kernel!;
    let effects: Effects;
    try {
      effects = kernel.step(input, machine.clock.read(now));
    } catch (error) {
      return this.#broke(machine, error);
    }
    this.steps++;
    machine.steps++;
    this.digest.add(now, this.loop.events, machine.index, INPUT_CODE[input.kind], kernel.fingerprint());
    if (this.tracer !== null) this.tracer(machine, input, effects, now, this.loop.events);
    if (effects.persist.length > 0 || effects.notes.length > 0) this.#observed(machine, input, effects);
    machine.disk.stepped(effects);
    if (this.hosts !== null) this.hosts.stepped(machine, input, effects);
    if (effects.persist.length > 0 || effects.checkpoint !== null) this.#persist(machine, effects);
    if (!machine.running) return;
    if (effects.sendNow.length > 0) this.#peers.send(machine, effects.sendNow);
    if (effects.sendAfterPersist.length > 0) this.#sendAfterPersist(machine, effects);
    if (effects.replies.length > 0) this.#clients.reply(effects.replies);
    if (effects.chunkOps.length > 0) this.#askChunks(machine, effects.chunkOps);
    if (effects.stopped) {
      this.#stopChunks(machine, "process");
      const state = machine.disk.shutDown();
      this.#halt(machine, "left");
      return this.#readBack(machine, state);
    }
    this.#armWake(machine);
  }

  #observed(machine: Machine, input: Input, effects: Effects): void {
    for (let i = 0; i < this.#observers.length; i++) {
      this.#observers[i]!.stepped?.(machine, input, effects, this.loop.now);
    }
  }

  #persist(machine: Machine, effects: Effects): void {
    machine.disk.write(effects, this.loop.now);
    if (machine.reserve > 0) this.#watchRoom(machine);
    if (!machine.running) return;
    this.#beginSync(machine);
    if (effects.checkpoint === null) return;
    const at = this.loop.now + machine.disk.checkpointUs();
    this.loop.at(at, EVENT.tablesDurable, machine.index, machine.life, null);
  }

  /** A write that does not fit fails; before that the node hears that room is short. */
  #watchRoom(machine: Machine): void {
    const { room } = machine.disk, low = room < machine.reserve;
    if (room < 0) return this.down(machine);
    if (low === machine.spaceLow) return;
    machine.spaceLow = low;
    this.loop.at(this.loop.now, EVENT.resume, machine.index, machine.life, { kind: "space", low });
  }

  #beginSync(machine: Machine): void {
    const syncUs = machine.disk.beginSync();
    if (syncUs >= 0) this.loop.at(this.loop.now + syncUs, EVENT.synced, machine.index, machine.life, null);
  }

  #sendAfterPersist(machine: Machine, effects: Effects): void {
    if (effects.persistedUpTo <= machine.disk.durableUpTo) {
      this.#peers.send(machine, effects.sendAfterPersist);
    } else {machine.withheld.push({
        upTo: effects.persistedUpTo,
        envelopes: effects.sendAfterPersist.slice(),
      });}
  }

  /** Sets the machine's alarm for the time at which its own clock shows what the kernel asks for. */
  #armWake(machine: Machine): void {
    const due = machine.kernel!.nextWake();
    if (due === machine.wakeDue || machine.wakeWaits) return;
    machine.wakeDue = due;
    this.loop.setAlarm(machine.index, machine.clock.virtual(due, this.loop.now));
  }

  #clockChanged(machine: Machine): void {
    machine.wakeDue = -1;
    if (machine.running) this.#armWake(machine);
  }

  // ---- ends

  /** What a machine that stopped will find on its disk. */
  #readBack(machine: Machine, state: DiskState): void {
    if (state.kind === "wrong") {
      this.violate(state.check, `${machine.id}: ${state.detail}`);
      machine.power = "broken";
      return;
    }
    if (state.kind === "whole" && state.tablesLost) machine.tablesLost = true;
    for (const observer of this.#observers) {
      observer.readBack?.(machine, state, this.loop.now);
      if (state.kind === "whole" && machine.power !== "left") {
        observer.crashed?.(machine, state.damage, this.loop.now);
      }
    }
  }

  #lost(machine: Machine): void {
    machine.power = "lost";
    machine.retired = true;
    machine.silent = false;
    this.onLost?.(machine);
  }

  #broke(machine: Machine, error: unknown): void {
    if (machine.disk.found(error)) {
      this.down(machine);
      return this.schedule(this.loop.now, () => this.restart(machine));
    }
    const what = error instanceof InvariantError ? "broke an invariant" : "threw";
    this.violate("no node stops by itself", `${machine.id} ${what}: ${messageOf(error)}`);
    machine.silent = false;
    this.#halt(machine, "broken");
    this.#stopChunks(machine, "process");
  }

  #halt(machine: Machine, power: Power): void {
    machine.halt(power);
    this.loop.setAlarm(machine.index, Infinity);
    for (const observer of this.#observers) observer.halted?.(machine, this.loop.now);
    this.#peers.halted(machine);
    // After power loss clients find out by themselves, from the silence.
    if (!machine.silent) this.#clients.resetAll(machine);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
