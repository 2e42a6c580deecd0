import type { NodeId } from "../../core/base/ids.ts";
import type { Input } from "../../core/wire/kernel.ts";
import type { Login } from "../clients.ts";
import { EVENT } from "../events.ts";
import type { Machine } from "../machine.ts";
import type { World } from "../world.ts";
import type { Given, HostWorld } from "./hosts.ts";

/** What hosts may do to the world they are in. */
export class HostPort implements HostWorld {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  get now(): number {
    return this.#world.loop.now;
  }
  get machines(): readonly Machine[] {
    return this.#world.machines;
  }
  machine(id: NodeId): Machine | undefined {
    return this.#world.machine(id);
  }
  loginOf(connection: number): Login | undefined {
    return this.#world.loginOf(connection);
  }
  schedule(time: number, action: () => void): void {
    this.#world.schedule(time, action);
  }

  input({ index, life }: Machine, input: Input): void {
    this.#world.loop.at(this.now, EVENT.resume, index, life, input);
  }

  /** A frame of the hosts' own: as late, and as easily lost, as any. */
  send(from: Machine, to: Machine, given: readonly Given[]): void {
    const { network, loop } = this.#world, arrival = network.send(from.index, to.index, loop.now);
    if (arrival < 0) return;
    if (network.corrupted) return this.#world.breakLink(from, to);
    loop.at(arrival, EVENT.secrets, to.index, from.index, given);
  }

  disconnect(one: Machine, other: Machine): void {
    const { network } = this.#world;
    const open = network.connected(one.index, other.index) || network.connected(other.index, one.index);
    if (open) this.#world.breakLink(one, other);
  }
}
