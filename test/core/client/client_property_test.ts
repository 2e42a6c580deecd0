/** The client machine against servers and a network that lose, repeat, delay, refuse and restart. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Epoch, Instant, LogIndex, NodeId, PartitionId, Term } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { Catalog } from "../../../core/catalog/catalog.ts";
import { encodeCommand } from "../../../core/catalog/command.ts";
import { ClientMachine, type Outgoing } from "../../../core/client/client.ts";
import { isWriteOp } from "../../../core/wire/ops.ts";
import { partitionOf } from "../../../core/placement/key.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { Op, Refused, Request, Response } from "../../../core/wire/requests.ts";
import { MemoryTables } from "../../../sim/tables.ts";

const NODES = ["n1", "n2", "n3"] as NodeId[];
const PARTITIONS = 2;
const SECOND = 1_000_000;

const VIEW: SystemView = {
  version: 1,
  network: "0".repeat(32),
  settings: { ...DEFAULT_SETTINGS, partitions: PARTITIONS },
  epoch: 1 as Epoch,
  members: NODES.map((id) => ({ id, address: `${id}:1`, zone: "z", capacity: 1, state: "active", disk: "" })),
  assignment: [NODES, NODES, NODES],
  security: null,
};

/** One catalog a partition stands for its replicas; which node leads, and what the network loses, is drawn. */
class World {
  readonly client: ClientMachine;
  readonly applied = new Map<string, number>();
  readonly catalogs: Catalog[];
  readonly leaders: (NodeId | null)[] = [null, NODES[0]!, NODES[1]!];
  now = 0 as Instant;
  faulty = true;
  readonly answers = new Map<number, Response>();
  readonly #random: Random;
  #events: { at: number; sequence: number; run: () => void }[] = [];
  #sequence = 0;
  #connection = 0;

  constructor(seed: number) {
    this.#random = Random.fromSeed(seed);
    this.client = new ClientMachine({
      client: "ab".repeat(16),
      random: this.#random.fork("client"),
      partitionOf,
    });
    this.catalogs = [0, 1, 2].map((partition) =>
      new Catalog({
        partition: partition as PartitionId,
        tables: new MemoryTables(),
        onEvents: (events) => {
          for (const { value } of events) {
            const name = new TextDecoder().decode(value!);
            this.applied.set(name, (this.applied.get(name) ?? 0) + 1);
          }
        },
      })
    );
  }

  later(us: number, run: () => void): void {
    this.#events.push({ at: this.now + us, sequence: this.#sequence++, run });
  }

  /** Runs until the client has nothing under way, or time is up. */
  run(until: number): void {
    for (;;) {
      this.#drain();
      this.#events.sort((a, b) => a.at - b.at || a.sequence - b.sequence);
      const wake = this.client.nextWake(), next = this.#events[0];
      const at = Math.min(wake, next?.at ?? Infinity);
      if (at > until || (this.client.pending === 0 && next === undefined)) return;
      this.now = Math.max(this.now, at) as Instant;
      if (next !== undefined && next.at === at) this.#events.shift()!.run();
      else this.client.wake(this.now);
    }
  }

  #drain(): void {
    for (const sent of this.client.outgoing()) this.#transmit(sent);
    for (const { ticket, response } of this.client.completions()) {
      assert.ok(!this.answers.has(ticket), "W3: an operation ends once");
      this.answers.set(ticket, response);
    }
  }

  #chance(numerator: number): boolean {
    return this.faulty && this.#random.chance(numerator, 100);
  }

  #transmit({ node, id, request }: Outgoing): void {
    const to = node ?? this.#random.pick(NODES);
    if (this.#chance(4)) return this.later(this.#random.below(2000), () => this.#break(to));
    if (this.#chance(8)) return;
    const slow = this.#chance(5) ? 3 * SECOND : 5000;
    this.later(this.#random.below(slow), () => this.#serve(to, id, request));
  }

  #break(node: NodeId): void {
    this.#connection++;
    for (let p = 1; p <= PARTITIONS; p++) {
      if (this.leaders[p] === node) this.leaders[p] = this.#random.pick(NODES);
    }
    this.client.connectionLost(node, this.now);
  }

  #serve(node: NodeId, id: number, request: Request): void {
    const response = this.#answer(node, request);
    // Between nodes a message may come twice. What was refused unapplied was refused by the node asked.
    const reached = response.kind === "written" ||
      (response.kind === "refused" && response.reason === "unsure");
    if (reached && this.#chance(10)) {
      this.later(this.#random.below(SECOND), () => this.#answer(node, request));
    }
    if (this.#chance(8)) return;
    const connection = this.#connection;
    this.later(this.#random.below(5000), () => {
      if (connection === this.#connection || this.#random.chance(1, 2)) {
        this.client.handle(node, id, response, this.now);
      }
    });
  }

  #answer(node: NodeId, { op, session }: Request): Response {
    if (op.kind === "layout") return { kind: "layout", view: VIEW, leaders: this.leaders };
    if (op.kind !== "get" && !isWriteOp(op)) throw new Error(op.kind);
    const partition = partitionOf("key" in op ? op.key : "", PARTITIONS);
    const leader = this.leaders[partition]!;
    if (this.#chance(3)) return refused("busy");
    if (this.#chance(3)) return refused("no-leader");
    if (node !== leader && this.#random.chance(1, 2)) return { ...refused("moved"), leader };
    const catalog = this.catalogs[partition]!;
    if (op.kind === "get") return catalog.read(op, 0);
    let response: Response = refused("unsure");
    const index = (catalog.appliedIndex + 1) as LogIndex;
    const data = encodeCommand(session === undefined ? { op } : { op, session });
    catalog.apply(
      [{ term: 1 as Term, index, kind: "command", data }],
      this.now,
      (_, answer) => response = answer,
    );
    return this.#chance(5) ? refused("unsure") : response;
  }
}

function refused(reason: Refused["reason"]): Refused {
  return { kind: "refused", reason, message: reason };
}

Deno.test("ClientMachine applies each write once that it calls written, at most once where unsure, never where timed out", () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const world = new World(seed), random = Random.fromSeed(seed).fork("test");
      const values = new Map<number, string>();
      for (let i = 0; i < 150; i++) {
        world.later(random.below(20 * SECOND), () => {
          const op: Op = {
            kind: "put",
            key: `key${random.below(8)}`,
            value: new TextEncoder().encode(`v${i}`),
          };
          values.set(
            world.client.submit(op, world.now, random.chance(1, 4) ? { deadlineUs: 30_000 } : {}),
            `v${i}`,
          );
        });
      }
      world.run(30 * SECOND);
      world.faulty = false;
      world.run(120 * SECOND);
      assert.equal(world.client.pending, 0, "W3: every operation ends");
      for (const [ticket, value] of values) {
        const response = world.answers.get(ticket)!, times = world.applied.get(value) ?? 0;
        if (response.kind === "written") assert.equal(times, 1, value);
        else {
          assert.ok(response.kind === "refused");
          if (response.reason === "unsure") assert.ok(times <= 1);
          else {
            assert.equal(response.reason, "timeout");
            assert.equal(times, 0);
          }
        }
      }
      assert.equal([...world.answers.values()].filter(({ kind }) => kind === "written").length > 75, true);
    }),
    { numRuns: 40 },
  );
});

Deno.test("ClientMachine reads its own writes through every fault", () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const world = new World(seed);
      for (let i = 0; i < 30; i++) {
        const value = new TextEncoder().encode(`v${i}`);
        const write = world.client.submit({ kind: "put", key: "k", value }, world.now, {
          deadlineUs: 50 * SECOND,
        });
        world.run(world.now + 60 * SECOND);
        assert.equal(world.answers.get(write)?.kind, "written");
        const read = world.client.submit({ kind: "get", key: "k", read: "linearizable" }, world.now, {
          deadlineUs: 50 * SECOND,
        });
        world.run(world.now + 60 * SECOND);
        const answer = world.answers.get(read);
        assert.ok(answer?.kind === "value");
        assert.deepEqual(answer.found?.value?.slice(), value);
      }
    }),
    { numRuns: 15 },
  );
});
