import { type NodeId, nodeId } from "../core/base/ids.ts";
import type { Settings } from "../core/base/limits.ts";
import type { Random } from "../core/base/random.ts";
import { genesisView } from "../core/node/genesis.ts";
import { isFormer } from "../core/wire/members.ts";
import type { Member, MemberState, SystemView } from "../core/wire/messages.ts";
import type { Op, Response } from "../core/wire/requests.ts";
import type { Role } from "./cast.ts";
import { liveNodes, newestView } from "./checkers/convergence.ts";
import type { Client, ClientReply } from "./clients.ts";
import type { Machine } from "./machine.ts";
import type { World } from "./world.ts";

/** An operator's request that is asked again, of another node, until it is done. */
interface Errand {
  readonly op: Op;
  readonly done: (response: Response) => void;
  connection: number;
  askedAt: number;
}

const RETRY_US = 500_000;
const ANSWER_US = 6_000_000;
const DRAIN_LOOK_US = 500_000;

/**
 * The network as its operator sees it: who was cast, who runs, how others come in and go. Acts as a client of the
 * nodes where something must be agreed, as a person with the command line would.
 */
export class Cluster implements Client {
  readonly world: World;
  readonly #settings: Settings;
  readonly #random: Random;
  readonly #network: string;
  readonly #client: number;
  readonly #errands = new Map<number, Errand>();
  /** How many machines have taken the place of the first of a name. */
  readonly #generations = new Map<string, number>();
  #nextErrand = 0;
  #spare: Machine[] = [];

  constructor(options: {
    readonly world: World;
    readonly roles: readonly Role[];
    readonly settings: Settings;
    readonly random: Random;
    readonly clockOffsetUs: number;
    readonly clockDriftPpm: number;
  }) {
    this.world = options.world;
    this.#settings = options.settings;
    this.#random = options.random;
    this.#client = options.world.addClient(this);
    // Who was to go needs nobody in its place.
    this.world.onLost = (machine) => machine.draining || this.replace(machine);
    let network = "";
    for (let i = 0; i < 4; i++) network += this.#random.uint32().toString(16).padStart(8, "0");
    this.#network = network;
    const { clockOffsetUs, clockDriftPpm } = options;
    for (const { id, zone, capacity } of options.roles) {
      this.world.addMachine({
        id,
        zone,
        capacity,
        clockOffsetUs: clockOffsetUs === 0 ? 0 : this.#random.below(clockOffsetUs + 1),
        clockDriftPpm: clockDriftPpm === 0 ? 0 : this.#random.between(-clockDriftPpm, clockDriftPpm),
      });
    }
  }

  get machines(): readonly Machine[] {
    return this.world.machines;
  }
  get running(): Machine[] {
    return this.machines.filter((machine) => machine.running);
  }
  /** Nodes that never ran yet. */
  get spare(): number {
    return this.#spare.length;
  }
  get errands(): number {
    return this.#errands.size;
  }

  /** The first `count` found the network together; the others are spare. */
  found(count: number): void {
    const founders = this.machines.slice(0, count);
    this.#spare = this.machines.slice(count);
    const view = genesisView({
      network: this.#network,
      settings: this.#settings,
      members: founders.map((machine) => memberOf(machine, "active")),
    });
    for (const machine of founders) this.world.start(machine, { kind: "genesis", view });
  }

  /** Takes in the next spare node, if there is one: it asks a running node and starts with the answer. */
  join(): Machine | null {
    const machine = this.#spare.shift();
    if (machine !== undefined) this.#takeIn(machine);
    return machine ?? null;
  }

  /**
   * A machine that has lost its disk has forgotten what it promised, so it never comes back under its name. In its
   * place stands a new one, with its address, zone and capacity, which joins like any other.
   */
  replace(lost: Machine): Machine {
    const [first = lost.id] = lost.id.split(".");
    const generation = (this.#generations.get(first) ?? 1) + 1;
    this.#generations.set(first, generation);
    const { zone, capacity, clock } = lost;
    const machine = this.world.addMachine({
      id: nodeId(`${first}.${generation}`),
      zone,
      capacity,
      clockOffsetUs: Math.max(0, clock.read(this.world.loop.now) - this.world.loop.now),
      clockDriftPpm: clock.driftPpm,
      replaces: lost,
    });
    this.#takeIn(machine);
    return machine;
  }

  #takeIn(machine: Machine): void {
    this.ask({ kind: "join", member: memberOf(machine, "joining"), network: this.#network }, (response) => {
      if (response.kind === "joined") this.world.start(machine, { kind: "joined", view: response.view });
      else {this.world.violate(
          "no node stops by itself",
          `${machine.id} could not join: ${JSON.stringify(response)}`,
        );}
    });
  }

  /** Has a node's data moved off; it stops when the network agrees that it is gone. */
  drain(machine: Machine): void {
    if (machine.draining) return;
    machine.draining = true;
    this.ask(
      { kind: "set-state", node: machine.id, state: "draining", force: false },
      (response) => {
        const state = this.#stateOf(machine);
        const refused = response.kind === "refused" && state !== undefined && !isFormer(state);
        // The last member of a network cannot go.
        if (refused) machine.draining = false;
        else this.#watchDrain(machine);
      },
    );
  }

  #stateOf(machine: Machine): MemberState | undefined {
    return this.view()?.members.find(({ id }) => id === machine.id)?.state;
  }

  /** The newest agreed view that a running node has. */
  view(): SystemView | null {
    const live = liveNodes(this.machines);
    return live.length === 0 ? null : newestView(live);
  }

  /** Asks any running node, again and again, until one does it or says that it cannot be. */
  ask(op: Op, done: (response: Response) => void): void {
    const number = this.#nextErrand++;
    this.#errands.set(number, { op, done, connection: -1, askedAt: 0 });
    this.wake();
  }

  // ---- Client

  wake(): void {
    const now = this.world.loop.now;
    for (const [number, errand] of this.#errands) {
      if (errand.connection >= 0 && now - errand.askedAt < ANSWER_US) continue;
      const running = this.running;
      if (running.length === 0) continue;
      if (errand.connection >= 0) this.world.disconnect(errand.connection);
      errand.connection = this.world.connect(this.#client, this.#random.pick(running));
      errand.askedAt = now;
      this.world.request(errand.connection, [{ id: number, request: { op: errand.op } }]);
    }
    if (this.#errands.size > 0) this.world.wakeClient(this.#client, now + RETRY_US);
  }

  received(connection: number, replies: readonly ClientReply[]): void {
    for (const { id, response } of replies) {
      const errand = this.#errands.get(id);
      if (errand === undefined || errand.connection !== connection) continue;
      if (response.kind === "refused" && worthRetrying(response.reason)) errand.connection = -1;
      else {
        this.#errands.delete(id);
        errand.done(response);
      }
    }
    this.world.disconnect(connection);
  }

  lost(connection: number): void {
    for (const errand of this.#errands.values()) if (errand.connection === connection) errand.connection = -1;
  }

  #watchDrain(machine: Machine): void {
    const state = this.#stateOf(machine);
    if (state === "removed") {
      machine.retired = true;
      return this.world.stop(machine);
    }
    // It was away for too long meanwhile, with what it had not given away yet: it comes back like any other.
    if (state === "gone") {
      machine.draining = false;
      return;
    }
    this.world.schedule(this.world.loop.now + DRAIN_LOOK_US, () => this.#watchDrain(machine));
  }
}

/** A "conflict" is final too: a node to be drained was declared gone meanwhile, and has nothing left to give away. */
function worthRetrying(reason: Extract<Response, { kind: "refused" }>["reason"]): boolean {
  const final: readonly string[] = ["invalid", "too-large", "foreign", "not-found", "conflict"];
  return !final.includes(reason);
}

function memberOf(machine: Machine, state: Member["state"]): Member {
  const { id, address, zone, capacity, disk } = machine;
  return { id, address, zone, capacity, state, disk: disk.name };
}

/** Nodes that lead a partition now. */
export function leaders(machines: readonly Machine[]): Machine[] {
  return liveNodes(machines)
    .filter(({ kernel }) => kernel.replicas().some(({ replica }) => replica.isLeader))
    .map(({ machine }) => machine);
}

/** The names of nodes, briefly. */
export function names(nodes: readonly { readonly id: NodeId }[]): string {
  const shown = nodes.slice(0, 6).map(({ id }) => id).join(" ");
  return nodes.length > 6 ? `${shown} and ${nodes.length - 6} more` : shown;
}
