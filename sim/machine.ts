import type { NodeId } from "../core/base/ids.ts";
import { invariant } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import type { Origin } from "../core/node/options.ts";
import type { Envelope, Kernel } from "../core/wire/kernel.ts";
import type { Clock } from "./clock.ts";
import type { Disk } from "./disk.ts";
import type { ChunkDisk } from "./objects/chunk_disk.ts";
import type { Keyring } from "./security/keyring.ts";

/**
 * What a node is at a moment. `left`: it stopped in good order. `down`: its disk failed it, and it waits to start again.
 * `lost`: its disk is lost, it never comes back. `broken`: it stopped itself on a broken invariant.
 */
export type Power = "off" | "running" | "crashed" | "left" | "down" | "lost" | "broken";

/** Messages that wait for the journal. */
interface Withheld {
  readonly upTo: number;
  readonly envelopes: readonly Envelope[];
}

/** One simulated computer: a clock, a disk and, while it runs, a kernel. Known to the world by a small integer. */
export class Machine {
  readonly index: number;
  readonly id: NodeId;
  /** Where it stands, for distances: its index, or that of the machine it replaced. */
  readonly place: number;
  readonly address: string;
  readonly zone: string;
  readonly capacity: number;
  readonly clock: Clock;
  readonly disk: Disk;
  /** Fragments of objects. */
  readonly chunks: ChunkDisk;
  readonly random: Random;

  kernel: Kernel | null = null;
  power: Power = "off";
  /** A crashed machine that answers nothing at all, as after power loss; else its system refuses connections. */
  silent = false;
  /** Was asked to give its data away and to go. */
  draining = false;
  /** Was asked to stop and has not yet. */
  stopping = false;
  /** Never to be started again. */
  retired = false;
  /** In a private network: its identity and what it has of the network's secrets. It lasts as long as the disk. */
  keyring: Keyring | null = null;
  /** The network has agreed that it is shut out. It may run on. */
  evicted = false;
  /** It was evicted, and clients have gone over to the next authority, of which it has no certificate. */
  shunned = false;
  /** How it came to be, until its journal knows. */
  origin: Origin | null = null;
  /** The next sync fails; called when it has. */
  syncFailure: (() => void) | null = null;
  /** Below so much room on its disk the node is told that space is low; 0: it is not. */
  reserve = 0;
  spaceLow = false;
  /** Its tables were lost, and were not seen whole again since. */
  tablesLost = false;
  /** Counts starts, so that events of an earlier life are told apart. */
  life = 0;
  /** Each input takes this long while the machine is slow, one after the other. */
  slowUs = 0;
  busyUntil = 0;
  /** Waits for durability, in order. */
  readonly withheld: Withheld[] = [];

  /** The local time for which its alarm is set; -1: for none. */
  wakeDue = -1;
  /** The wake input of a slow machine waits its turn. */
  wakeWaits = false;
  steps = 0;
  #wakesAtOnce = 0;
  #lastWake = -1;

  constructor(options: {
    readonly index: number;
    readonly id: NodeId;
    readonly place?: number;
    readonly address: string;
    readonly zone: string;
    readonly capacity: number;
    readonly clock: Clock;
    readonly disk: Disk;
    readonly chunks: ChunkDisk;
    readonly random: Random;
  }) {
    this.index = options.index;
    this.id = options.id;
    this.place = options.place ?? options.index;
    this.address = options.address;
    this.zone = options.zone;
    this.capacity = options.capacity;
    this.clock = options.clock;
    this.disk = options.disk;
    this.chunks = options.chunks;
    this.random = options.random;
  }

  get running(): boolean {
    return this.power === "running";
  }

  /** Whether an input that comes at `now` has to wait. */
  slow(now: number): boolean {
    return this.slowUs > 0 || this.busyUntil > now;
  }

  /** A kernel that asks to be woken for a time that has come, over and over, would stop the world. */
  countWake(now: number): void {
    this.#wakesAtOnce = this.#lastWake === now ? this.#wakesAtOnce + 1 : 0;
    this.#lastWake = now;
    invariant(this.#wakesAtOnce < 1000, "nextWake() moves on when the node is woken");
  }

  /** The machine no longer runs: nothing of this life is left but the disk. */
  halt(power: Power): void {
    this.power = power;
    this.kernel = null;
    this.stopping = false;
    this.syncFailure = null;
    this.spaceLow = false;
    this.withheld.length = 0;
    this.wakeDue = -1;
    this.wakeWaits = false;
  }
}
