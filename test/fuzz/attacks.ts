/**
 * What hostile clients do to a node's port. Runs as a worker, so that it takes no time from the client whose latency is
 * measured: told an AttackOrder, it answers with what it did.
 */
import { Random } from "../../core/base/random.ts";
import { encodeRequests } from "../../core/wire/codec.ts";
import { frame } from "../../core/wire/framing.ts";
import type { Op } from "../../core/wire/requests.ts";
import { clientHello, encodeHello, PREAMBLE } from "../../core/wire/session.ts";
import { type Profile, readProfile } from "../../cli/client/profile.ts";
import { RawConnection, tlsClientHello } from "../cli/support.ts";
import { arbRequest } from "../support/arbitraries.ts";
import { drawn } from "./decoder.ts";
import { mutant, noise, type Pool } from "./mutate.ts";

export interface AttackOrder {
  readonly address: string;
  /** Of an access key that may do everything, which an attacker has got hold of; null: the network is open. */
  readonly profilePath: string | null;
  readonly seed: number;
  readonly ms: number;
}

/** Of each attack: connections made, and of them those that the node closed. */
export type AttackTotals = Record<string, { connections: number; closed: number; sent: number }>;

const GREETING = frame(encodeHello(clientHello(null, null)));
const sampleRequest = drawn(arbRequest, (request) => encodeRequests([{ id: 1, request }]));
/** Connections of one attack at a time. */
const HELD_MAX = {
  "half a frame": 200,
  "one byte a second": 100,
  "never read": 20,
  "no hello": 3000,
  "slow preamble": 100,
  "handshakes never finished": 500,
} as const;
/** More than may be under way from one address, and than handshakes begin soon, however slow the machine is that attacks. */
const AT_FIRST = 300;
/** Of a record with a ClientHello: a node looks no further before a handshake's turn has come. */
const CLIENT_HELLO_START = Uint8Array.of(0x16, 3, 1, 0x02, 0x00, 1);

class Attacker {
  readonly totals: AttackTotals = {};
  readonly #address: string;
  readonly #profile: Profile | null;
  readonly #end: number;
  readonly #random: Random;
  readonly #pool: Pool;
  readonly #open = new Set<RawConnection>();

  constructor({ address, profilePath, seed, ms }: AttackOrder) {
    this.#address = address;
    this.#profile = profilePath === null ? null : readProfile(profilePath);
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
      this.#repeat("no preamble", 20, () => this.#noPreamble()),
      this.#repeat("authorities", 2, () => this.#authorities()),
      ...(this.#profile === null ? [] : this.#onTls(this.#profile)),
    ]);
    for (const connection of this.#open) connection.close();
    return this.totals;
  }

  /** On what lies before the first frame of a private network. */
  #onTls(profile: Profile): Promise<void>[] {
    const hello = tlsClientHello(profile);
    return [
      this.#repeat("garbage instead of TLS", 5, () => this.#garbageTls()),
      this.#handshakesNeverFinished(hello),
      ...Array.from({ length: 8 }, () => this.#repeat("handshakes", 0, () => this.#handshake(profile))),
      ...Array.from({ length: 4 }, () => this.#repeat("wrong log-ins", 5, () => this.#wrongLogIn(profile))),
    ];
  }

  get #over(): boolean {
    return performance.now() >= this.#end;
  }

  async #repeat(name: string, pauseMs: number, attack: () => Promise<void>): Promise<void> {
    this.totals[name] ??= { connections: 0, closed: 0, sent: 0 };
    while (!this.#over) {
      await attack();
      await delay(pauseMs);
    }
  }

  /** Where frames are spoken, inside TLS where there is some. */
  #connect(name: string): RawConnection {
    const preamble = this.#profile === null ? PREAMBLE.open : PREAMBLE.client;
    return this.#opened(name, new RawConnection(this.#address, preamble, this.#profile));
  }

  #opened(name: string, connection: RawConnection): RawConnection {
    this.totals[name]!.connections++;
    this.#open.add(connection);
    return connection;
  }

  /** Said hello; in a private network with the access key. */
  async #greet(name: string, connection: RawConnection): Promise<void> {
    if (this.#profile === null) this.#send(name, connection, GREETING);
    else await connection.greet();
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
    await this.#greet("mutated requests", connection);
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
    await this.#greet("half a frame", connection);
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
    const many = this.totals["no hello"]!.connections === 0 ? AT_FIRST : 25;
    for (let i = 0; i < many; i++) this.#hold("no hello", PREAMBLE.open);
    await delay(10);
  }

  async #neverRead(): Promise<void> {
    const connection = this.#hold("never read");
    if (connection === null) return;
    await this.#greet("never read", connection);
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
    await this.#greet("flood of requests", connection);
    const op: Op = { kind: "put", key: `flood/${this.#random.below(100)}`, value: new Uint8Array(64) };
    const puts = frame(encodeRequests(Array.from({ length: 2000 }, (_, id) => ({ id, request: { op } }))));
    for (let i = 0; i < 20 && !connection.closed && !this.#over; i++) {
      this.#send("flood of requests", connection, puts);
      await delay(20);
    }
    this.#close("flood of requests", connection);
  }

  /** What is no preamble, half of one, or one byte of it a second. */
  async #noPreamble(): Promise<void> {
    const held = this.#random.chance(1, 2);
    const connection = held
      ? this.#hold("slow preamble", null)
      : this.#opened("no preamble", new RawConnection(this.#address, null));
    if (connection === null) return;
    const bytes = held
      ? new TextEncoder().encode("SPO").subarray(0, this.#random.below(4))
      : noise(this.#random, 64);
    this.#send(held ? "slow preamble" : "no preamble", connection, bytes);
    await delay(10);
    if (!held) this.#close("no preamble", connection);
  }

  /** Asks whom to believe, over and over. */
  async #authorities(): Promise<void> {
    const connection = this.#opened("authorities", new RawConnection(this.#address, PREAMBLE.authorities));
    await Promise.race([connection.next(), delay(200)]);
    this.#close("authorities", connection);
  }

  async #garbageTls(): Promise<void> {
    const name = "garbage instead of TLS";
    const connection = this.#opened(name, new RawConnection(this.#address, this.#tlsPreamble()));
    const record = noise(this.#random, 1 + this.#random.below(5000));
    if (this.#random.chance(2, 3)) record.set(CLIENT_HELLO_START.subarray(0, record.length));
    this.#send(name, connection, record);
    await delay(20);
    this.#close(name, connection);
  }

  /** Many at once, and then one after the other. */
  async #handshakesNeverFinished(clientHello: Promise<Uint8Array>): Promise<void> {
    const hello = await clientHello;
    for (let i = 0; i < AT_FIRST && !this.#over; i++) this.#unfinished(hello);
    await this.#repeat("handshakes never finished", 5, async () => {
      this.#unfinished(hello);
      await delay(1);
    });
  }

  /** Begins as a client does, whole or in part, and says no more. */
  #unfinished(hello: Uint8Array): void {
    const name = "handshakes never finished";
    const connection = this.#hold(name, this.#tlsPreamble());
    if (connection === null) return;
    const whole = this.#random.chance(2, 3);
    this.#send(name, connection, whole ? hello : hello.subarray(0, this.#random.below(hello.length)));
  }

  /** Whole handshakes, one after the other: they cost the node more than what follows. */
  async #handshake(profile: Profile): Promise<void> {
    const raw = new RawConnection(this.#address, PREAMBLE.client, profile);
    const connection = this.#opened("handshakes", raw);
    await Promise.race([connection.secured, delay(1000)]);
    this.#close("handshakes", connection);
  }

  async #wrongLogIn(profile: Profile): Promise<void> {
    const name = "wrong log-ins";
    const connection = this.#opened(name, new RawConnection(this.#address, PREAMBLE.client, profile));
    await Promise.race([connection.secured, delay(1000)]);
    const id = this.#random.chance(1, 2) ? profile.access!.id : "SO" + "A".repeat(16);
    const random = noise(this.#random, 32), signature = noise(this.#random, 64);
    connection.hello({ network: profile.network, proof: { kind: "access", id, random, signature } });
    await Promise.race([connection.next(), delay(1000)]);
    this.#close(name, connection);
  }

  #tlsPreamble(): string {
    return this.#random.chance(1, 2) ? PREAMBLE.client : PREAMBLE.member;
  }

  /** One more connection that stays, as long as there are not too many; those that the node closed make room. */
  #hold(name: keyof typeof HELD_MAX, preamble?: string | null): RawConnection | null {
    this.totals[name] ??= { connections: 0, closed: 0, sent: 0 };
    const held = this.#held.get(name) ?? new Set();
    this.#held.set(name, held);
    for (const connection of held) {
      if (!connection.closed) continue;
      held.delete(connection);
      this.#close(name, connection);
    }
    if (held.size >= HELD_MAX[name]) return null;
    const connection = preamble === undefined
      ? this.#connect(name)
      : this.#opened(name, new RawConnection(this.#address, preamble));
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
