import { type NodeId, nodeId } from "../core/base/ids.ts";
import type { Settings } from "../core/base/limits.ts";
import type { Random } from "../core/base/random.ts";
import { genesisView } from "../core/node/genesis.ts";
import { isFormer } from "../core/wire/members.ts";
import type { MemberState, SystemView } from "../core/wire/messages.ts";
import type { Op, Response } from "../core/wire/requests.ts";
import type { AccessKey, Security } from "../core/wire/security.ts";
import type { Role } from "./cast.ts";
import { liveNodes, newestView } from "./checkers/convergence.ts";
import type { Client, ClientReply, Login } from "./clients.ts";
import type { Machine } from "./machine.ts";
import { memberOf } from "./member_of.ts";
import { Admission } from "./security/admission.ts";
import type { Given } from "./security/hosts.ts";
import { authorityOf } from "./security/keyring.ts";
import type { World } from "./world.ts";

/** An operator's request that is asked again, of another node, until it is done. */
interface Errand {
  readonly op: Op;
  /** What a connection for it proves; undefined: in an open network, nothing. */
  readonly login: Login | undefined;
  readonly done: (response: Response, given: readonly Given[]) => void;
  connection: number;
  askedAt: number;
}

/** The access key of whoever runs the network. */
export const OPERATOR = "operator";

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
  readonly #access: readonly AccessKey[] | null;
  /** How others come into a private network. */
  readonly admission: Admission | null;
  #nextErrand = 0;
  #later = 0;
  #spare: Machine[] = [];

  constructor(options: {
    readonly world: World;
    readonly roles: readonly Role[];
    readonly settings: Settings;
    readonly random: Random;
    readonly clockOffsetUs: number;
    readonly clockDriftPpm: number;
    /** Of a private network: the access keys it begins with, an operator's among them; null: it is open. */
    readonly access: readonly AccessKey[] | null;
  }) {
    this.#access = options.access;
    this.world = options.world;
    this.#settings = options.settings;
    this.#random = options.random;
    this.#client = options.world.addClient(this);
    // Who was to go needs nobody in its place.
    this.world.onLost = (machine) => machine.draining || this.replace(machine);
    let network = "";
    for (let i = 0; i < 4; i++) network += this.#random.uint32().toString(16).padStart(8, "0");
    this.#network = network;
    this.admission = options.access === null
      ? null
      : new Admission({ cluster: this, network, random: options.random.fork("admission") });
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

  /** Told of the view with which the network begins. */
  onFounded: ((view: SystemView) => void) | null = null;

  get machines(): readonly Machine[] {
    return this.world.machines;
  }
  /** Of the network: who was shut out and runs on is none of them. */
  get running(): Machine[] {
    return this.machines.filter((machine) => machine.running && !machine.evicted);
  }
  /** Nodes that never ran yet. */
  get spare(): number {
    return this.#spare.length;
  }
  /** What operators have to do yet. */
  get errands(): number {
    return this.#errands.size + this.#later;
  }

  /** The first `count` found the network together; the others are spare. */
  found(count: number): void {
    const founders = this.machines.slice(0, count);
    this.#spare = this.machines.slice(count);
    const security = this.#genesisSecurity(founders);
    const view = genesisView({
      network: this.#network,
      settings: this.#settings,
      members: founders.map((machine) => memberOf(machine, "active")),
      security,
    });
    this.onFounded?.(view);
    for (const machine of founders) this.world.start(machine, { kind: "genesis", view });
  }

  /** The first generation of keys is there from the start, and its founders have it. */
  #genesisSecurity(founders: readonly Machine[]): Security | null {
    const { hosts } = this.world;
    if (hosts === null || this.#access === null) return null;
    const secret = hosts.drawSecret();
    for (const machine of founders) {
      const keyring = hosts.equip(machine);
      keyring.put(1, secret);
      keyring.uses = 1;
    }
    return {
      keys: [{ id: 1, state: "current", authority: authorityOf(secret) }],
      access: this.#access,
      invites: [],
    };
  }

  /** Takes in the next spare node, if there is one: it asks a running node and starts with the answer. */
  join(): Machine | null {
    const machine = this.takeSpare();
    if (machine !== null) this.#takeIn(machine);
    return machine;
  }

  takeSpare(): Machine | null {
    return this.#spare.shift() ?? null;
  }

  /** Shuts a node out for good. `done` tells whether the network agreed. */
  evict(machine: Machine, force: boolean, done: (evicted: boolean) => void): void {
    this.ask({ kind: "evict", node: machine.id, force }, (response) => {
      done(response.kind !== "refused" || this.#stateOf(machine) === "evicted");
    });
  }

  /**
   * A machine that has lost its disk has forgotten what it promised, so it never comes back under its name. In its
   * place stands a new one, with its address, zone and capacity, which joins like any other.
   */
  replace(lost: Machine): Machine {
    const [first = lost.id] = lost.id.split(".");
    const generation = (this.#generations.get(first) ?? 1) + 1;
    this.#generations.set(first, generation);
    const { zone, capacity, clock } = lost, kept = lost.disk.state?.kind === "lost" && !lost.disk.state.gone;
    const machine = this.world.addMachine({
      id: nodeId(`${first}.${generation}`),
      zone,
      capacity,
      clockOffsetUs: Math.max(0, clock.read(this.world.loop.now) - this.world.loop.now),
      clockDriftPpm: clock.driftPpm,
      replaces: lost,
      ...(kept ? { chunks: lost.chunks } : {}),
    });
    // Where its journal alone is gone, its identity is left, and brings the new one in.
    this.#takeIn(machine, kept ? lost : null);
    return machine;
  }

  #takeIn(machine: Machine, voucher: Machine | null = null): void {
    if (this.admission !== null) return this.admission.takeIn([machine], { voucher });
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

  /** What an operator, or somebody who wants to come in, does a while later. */
  later(us: number, action: () => void): void {
    this.#later++;
    this.world.schedule(this.world.loop.now + us, () => {
      this.#later--;
      action();
    });
  }

  /** Asks any running node, again and again, until one does it or says that it cannot be. */
  ask(op: Op, done: Errand["done"], login: Login | undefined = this.#operator): void {
    const number = this.#nextErrand++;
    this.#errands.set(number, { op, login, done, connection: -1, askedAt: 0 });
    this.wake();
  }

  get #operator(): Login | undefined {
    return this.#access === null ? undefined : { who: { kind: "access", id: OPERATOR } };
  }

  // ---- Client

  wake(): void {
    const now = this.world.loop.now;
    for (const [number, errand] of this.#errands) {
      if (errand.connection >= 0 && now - errand.askedAt < ANSWER_US) continue;
      const running = this.running;
      if (running.length === 0) continue;
      if (errand.connection >= 0) this.world.disconnect(errand.connection);
      errand.connection = this.world.connect(this.#client, this.#random.pick(running), errand.login);
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
        errand.done(response, this.world.hosts?.takeAdmission(connection) ?? []);
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
  const final: readonly string[] = ["invalid", "too-large", "foreign", "not-found", "conflict", "denied"];
  return !final.includes(reason);
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
