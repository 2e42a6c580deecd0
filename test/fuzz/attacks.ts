/**
 * What hostile clients do to a node's port. Runs as a worker, so that it takes no time from the client whose latency is
 * measured: told { address, seed, ms }, it answers with what it did.
 */
import { Random } from "../../core/base/random.ts";
import { encodeRequests, WIRE_VERSION } from "../../core/wire/codec.ts";
import { frame } from "../../core/wire/framing.ts";
import type { Op } from "../../core/wire/requests.ts";
import { encodeHello } from "../../core/wire/session.ts";
import { RawConnection } from "../cli/support.ts";
import { arbRequest } from "../support/arbitraries.ts";
import { drawn } from "./decoder.ts";
import { mutant, noise, type Pool } from "./mutate.ts";

export interface AttackOrder {
  readonly address: string;
  readonly seed: number;
  readonly ms: number;
}

/** Of each attack: connections made, and of them those that the node closed. */
export type AttackTotals = Record<string, { connections: number; closed: number; sent: number }>;

const HELLO = { version: WIRE_VERSION, role: "client", network: null, node: null, address: null } as const;
const GREETING = frame(encodeHello({ ...HELLO, proof: null }));
const sampleRequest = drawn(arbRequest, (request) => encodeRequests([{ id: 1, request }]));
/** Connections of one attack at a time. */
const HELD_MAX = {
  "half a frame": 200,
  "one byte a second": 100,
  "never read": 20,
  "no hello": 3000,
} as const;

class Attacker {
  readonly totals: AttackTotals = {};
  readonly #address: string;
  readonly #end: number;
  readonly #random: Random;
  readonly #pool: Pool;
  readonly #open = new Set<RawConnection>();

  constructor({ address, seed, ms }: AttackOrder) {
    this.#address = address;
    this.#end = performance.now() + ms;
    this.#random = Random.fromSeed(seed).fork("attacks");
    const samples = this.#random.fork("samples");
    this.#pool = Array.from({ length: 128 }, () => sampleRequest(samples));
  }

  async run(): Promise<AttackTotals> {
    await Promise.all([
      this.#repeat("noise", 5, () => this.#noise()),
      this.#repeat("mutated requests", 2, () => this.#mutatedRequests()),
      this.#repeat("mutated frames", 5, () => this.#mutatedFrames()),
      this.#repeat("half a frame", 10, () => this.#halfFrame()),
      this.#repeat("one byte a second", 20, () => this.#slow()),
      this.#repeat("no hello", 1, () => this.#silent()),
      this.#repeat("never read", 100, () => this.#neverRead()),
      this.#repeat("flood of requests", 20, () => this.#flood()),
    ]);
    for (const connection of this.#open) connection.close();
    return this.totals;
  }

  get #over(): boolean {
    return performance.now() >= this.#end;
  }

  async #repeat(name: string, pauseMs: number, attack: () => Promise<void>): Promise<void> {
    this.totals[name] = { connections: 0, closed: 0, sent: 0 };
    while (!this.#over) {
      await attack();
      await delay(pauseMs);
    }
  }

  #connect(name: string): RawConnection {
    const connection = new RawConnection(this.#address);
    this.totals[name]!.connections++;
    this.#open.add(connection);
    return connection;
  }

  #send(name: string, connection: RawConnection, bytes: Uint8Array): void {
    this.totals[name]!.sent += bytes.length;
    connection.send(bytes);
  }

  #close(name: string, connection: RawConnection): void {
    if (connection.closed) this.totals[name]!.closed++;
    connection.close();
    this.#open.delete(connection);
  }

  async #noise(): Promise<void> {
    const connection = this.#connect("noise");
    if (this.#random.chance(1, 2)) this.#send("noise", connection, GREETING);
    this.#send("noise", connection, noise(this.#random, 1 << this.#random.below(14)));
    await delay(20);
    this.#close("noise", connection);
  }

  /** Whole frames with right checksums around requests that nearly make sense. */
  async #mutatedRequests(): Promise<void> {
    const connection = this.#connect("mutated requests");
    this.#send("mutated requests", connection, GREETING);
    for (let i = 0; i < 50 && !connection.closed && !this.#over; i++) {
      const payload = mutant(this.#pool, this.#random);
      if (payload.length > 0) this.#send("mutated requests", connection, frame(payload));
      await delay(1);
    }
    this.#close("mutated requests", connection);
  }

  async #mutatedFrames(): Promise<void> {
    const connection = this.#connect("mutated frames");
    this.#send("mutated frames", connection, mutant([GREETING], this.#random));
    this.#send(
      "mutated frames",
      connection,
      mutant(this.#pool.map((payload) => frame(payload)), this.#random),
    );
    await delay(20);
    this.#close("mutated frames", connection);
  }

  /** Begins a request and never finishes it. */
  async #halfFrame(): Promise<void> {
    const connection = this.#hold("half a frame");
    if (connection === null) return;
    this.#send("half a frame", connection, GREETING);
    await delay(5);
    const large = frame(new Uint8Array(1 << (10 + this.#random.below(12))));
    this.#send("half a frame", connection, large.subarray(0, large.length >> 1));
  }

  async #slow(): Promise<void> {
    const connection = this.#hold("one byte a second");
    if (connection === null) return;
    void (async () => {
      for (const byte of GREETING) {
        if (connection.closed || this.#over) return;
        this.#send("one byte a second", connection, Uint8Array.of(byte));
        await delay(1000);
      }
    })();
    await delay(1);
  }

  /** Thousands that never say hello. */
  async #silent(): Promise<void> {
    for (let i = 0; i < 25; i++) this.#hold("no hello");
    await delay(10);
  }

  async #neverRead(): Promise<void> {
    const connection = this.#hold("never read");
    if (connection === null) return;
    this.#send("never read", connection, GREETING);
    await delay(10);
    connection.pause();
    const op: Op = {
      kind: "range",
      start: "",
      end: null,
      limit: 1000,
      reverse: false,
      keysOnly: false,
      read: "linearizable",
    };
    const ranges = frame(encodeRequests(Array.from({ length: 500 }, (_, id) => ({ id, request: { op } }))));
    this.#send("never read", connection, ranges);
  }

  /** As many as it can, whatever is answered. */
  async #flood(): Promise<void> {
    const connection = this.#connect("flood of requests");
    this.#send("flood of requests", connection, GREETING);
    const op: Op = { kind: "put", key: `flood/${this.#random.below(100)}`, value: new Uint8Array(64) };
    const puts = frame(encodeRequests(Array.from({ length: 2000 }, (_, id) => ({ id, request: { op } }))));
    for (let i = 0; i < 20 && !connection.closed && !this.#over; i++) {
      this.#send("flood of requests", connection, puts);
      await delay(20);
    }
    this.#close("flood of requests", connection);
  }

  /** One more connection that stays, as long as there are not too many; those that the node closed make room. */
  #hold(name: keyof typeof HELD_MAX): RawConnection | null {
    const held = this.#held.get(name) ?? new Set();
    this.#held.set(name, held);
    for (const connection of held) {
      if (!connection.closed) continue;
      held.delete(connection);
      this.#close(name, connection);
    }
    if (held.size >= HELD_MAX[name]) return null;
    const connection = this.#connect(name);
    held.add(connection);
    return connection;
  }
  readonly #held = new Map<string, Set<RawConnection>>();
}

function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** The worker's own side: not where this file is imported for its types. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<AttackOrder>) => void) | null;
  postMessage(totals: AttackTotals): void;
  close(): void;
}
const scope = globalThis as unknown as WorkerScope & { WorkerGlobalScope?: unknown };
if (scope.WorkerGlobalScope !== undefined) {
  scope.onmessage = ({ data }) => {
    void new Attacker(data).run().then((totals) => {
      scope.postMessage(totals);
      scope.close();
    });
  };
}
