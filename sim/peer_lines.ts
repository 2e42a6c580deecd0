import type { NodeId } from "../core/base/ids.ts";
import type { Random } from "../core/base/random.ts";
import type { Envelope, Input } from "../core/wire/kernel.ts";
import type { Message } from "../core/wire/messages.ts";
import { EVENT } from "./events.ts";
import { type FrameFormat, Frames } from "./frames.ts";
import type { Loop } from "./loop.ts";
import type { Machine } from "./machine.ts";
import { happens, type Network, type NetworkOptions } from "./network.ts";

/** The world, as far as the lines between its machines need it. */
interface Peers {
  readonly loop: Loop;
  readonly network: Network;
  readonly machines: readonly Machine[];
  readonly hosts: { trusts(from: number, to: number): boolean } | null;
  violate(check: string, detail: string): void;
}

/** A peer that refuses connections is tried again after this long. */
const RECONNECT_US = 1_000_000;

/** The lines between nodes: what a step sends becomes frames, and frames become events of the loop. */
export class PeerLines {
  readonly #peers: Peers;
  readonly #format: FrameFormat | null;
  readonly #fullCodec: boolean;
  readonly #network: NetworkOptions;
  readonly #codecRandom: Random;
  readonly #damageRandom: Random;
  /** By sender and receiver: not to be told before this time again that the peer refuses. */
  readonly #refusedUntil = new Map<number, number>();
  readonly #frames: Frames;

  constructor(
    peers: Peers,
    indexes: ReadonlyMap<NodeId, number>,
    options: {
      readonly frames: FrameFormat | null;
      readonly fullCodec: boolean;
      readonly network: NetworkOptions;
      readonly random: Random;
    },
  ) {
    this.#peers = peers;
    this.#format = options.frames;
    this.#fullCodec = options.fullCodec;
    this.#network = options.network;
    this.#codecRandom = options.random.fork("codec");
    this.#damageRandom = options.random.fork("damage");
    this.#frames = new Frames(indexes);
  }

  /** Sends one frame to each peer named, with all that is for it. */
  send(machine: Machine, envelopes: readonly Envelope[]): void {
    const frames = this.#frames;
    frames.gather(envelopes);
    for (let i = 0; i < frames.count; i++) {
      this.#sendFrame(machine, frames.receivers[i]!, frames.messages[i]!);
    }
  }

  #sendFrame(machine: Machine, to: number, sent: readonly Message[]): void {
    const { network, hosts, loop, machines } = this.#peers, from = machine.index;
    if (hosts !== null && !hosts.trusts(from, to)) return this.refuse(from, to);
    const arrival = network.send(from, to, loop.now);
    if (arrival < 0) return;
    const format = this.#format;
    if (network.corrupted) {
      if (format !== null && !format.detectsDamage(sent, this.#damageRandom)) {
        this.#peers.violate(
          "damage is detected",
          `A damaged frame from ${machine.id} was taken for a whole one`,
        );
      }
      // The receiver drops the connection; both ends see it.
      return this.breakLink(machine, machines[to]!);
    }
    const coded = format !== null && (this.#fullCodec || happens(this.#codecRandom, this.#network.codec));
    const input: Input = {
      kind: "messages",
      from: machine.id,
      messages: coded ? format.roundTrip(sent) : sent,
    };
    loop.at(arrival, EVENT.deliver, to, from, input);
    if (network.duplicateAt >= 0) loop.at(network.duplicateAt, EVENT.deliver, to, from, input);
  }

  /** A running system without the process answers at once; the sender then waits before it tries again. */
  refuse(from: number, to: number): void {
    const { loop, network } = this.#peers, link = from * 65536 + to, now = loop.now;
    if (now < (this.#refusedUntil.get(link) ?? 0) || network.isCut(to, from)) return;
    this.#refusedUntil.set(link, now + RECONNECT_US);
    loop.at(now + network.latency(to, from), EVENT.peerLost, from, to, null);
  }

  /** A connection between two peers breaks, and both notice. */
  breakLink(from: Machine, to: Machine): void {
    const { loop, network } = this.#peers;
    network.disconnect(from.index, to.index);
    network.disconnect(to.index, from.index);
    const at = loop.now + network.latency(from.index, to.index);
    loop.at(at, EVENT.peerLost, from.index, to.index, null);
    loop.at(at, EVENT.peerLost, to.index, from.index, null);
  }

  /** A machine no longer runs: its connections end, and who can tell is told. */
  halted(machine: Machine): void {
    const { loop, network } = this.#peers;
    for (const peer of this.#peers.machines) {
      const open = network.connected(machine.index, peer.index) ||
        network.connected(peer.index, machine.index);
      if (peer === machine || !open) continue;
      network.disconnect(machine.index, peer.index);
      network.disconnect(peer.index, machine.index);
      if (peer.running && !machine.silent && !network.isCut(machine.index, peer.index)) {
        const at = loop.now + network.latency(machine.index, peer.index);
        loop.at(at, EVENT.peerLost, peer.index, machine.index, null);
      }
    }
  }
}
