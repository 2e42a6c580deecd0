/** Many clients ask far more than a node can answer: they obey its "busy", all get on, and it ends well. */
import assert from "node:assert/strict";
import type { Epoch, Instant, LogIndex, NodeId, PartitionId, Term } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { ClientMachine } from "../../../core/client/client.ts";
import { Pacing } from "../../../core/client/pacing.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { Op, Response } from "../../../core/wire/requests.ts";

const A = "a" as NodeId;
const VIEW: SystemView = {
  version: 1,
  network: "0".repeat(32),
  settings: { ...DEFAULT_SETTINGS, partitions: 1 },
  epoch: 1 as Epoch,
  members: [{ id: A, address: "a:1", zone: "z", capacity: 1, state: "active", disk: "" }],
  assignment: [[A], [A]],
  security: null,
};
const WRITTEN: Response = {
  kind: "written",
  version: { term: 1 as Term, index: 9 as LogIndex },
  existed: false,
};
const BUSY: Response = { kind: "refused", reason: "busy", message: "busy", retryAfterMs: 500 };
const PUT: Op = { kind: "put", key: "k", value: new Uint8Array(1) };
const at = (us: number) => us as Instant;

const TICK_US = 1_000, TRIP_US = 1_000;
/** What the node does: an answer takes it 500 µs, "busy" 25, and it answers that to whatever waited for 500 ms. */
const SERVE_US = 500, REFUSE_US = 25, QUEUE_US_MAX = 500_000;

/** Each client keeps `atOnce` puts under way as long as the storm lasts, and one after that. */
class Storm {
  now = 0;
  readonly random = Random.fromSeed(3);
  readonly machines: ClientMachine[] = [];
  readonly done: number[] = [];
  readonly late: number[] = [];
  readonly waits: number[] = [];
  busy = 0;
  served = 0;
  lost = 0;
  atOnce: number;
  readonly #begun = new Map<string, number>();
  /** By client: the node gives each its turn (O1 in cli/host/load.ts). */
  readonly #queues: { readonly id: number; readonly at: number }[][] = [];
  #turn = 0;
  #freeAt = 0;

  constructor({ clients, atOnce }: { clients: number; atOnce: number }) {
    this.atOnce = atOnce;
    for (let client = 0; client < clients; client++) {
      const machine = new ClientMachine({
        client: client.toString(16).padStart(32, "0"),
        random: this.random.fork(`client ${client}`),
        partitionOf: () => 1 as PartitionId,
      });
      machine.setLayout(VIEW, [A, A], at(0));
      this.machines.push(machine);
      this.done.push(0);
      this.#queues.push([]);
    }
  }

  run(us: number): void {
    for (const end = this.now + us; this.now < end; this.now += TICK_US) {
      this.#work();
      this.machines.forEach((machine, client) => this.#step(machine, client));
    }
  }

  #step(machine: ClientMachine, client: number): void {
    if (machine.nextWake() <= this.now) machine.wake(at(this.now));
    for (const { ticket, response } of machine.completions()) {
      if (response.kind === "written") this.done[client]!++;
      else this.lost++;
      const key = `${client} ${ticket}`;
      this.waits.push(this.now - this.#begun.get(key)!);
      this.#begun.delete(key);
    }
    while (machine.pending < this.atOnce) {
      this.#begun.set(`${client} ${machine.submit(PUT, at(this.now))}`, this.now);
    }
    for (const { id, request } of machine.outgoing()) {
      if (request.op.kind === "layout") {
        machine.handle(A, id, { kind: "layout", view: VIEW, leaders: [A, A] }, at(this.now));
      } else this.#queues[client]!.push({ id, at: this.now + TRIP_US });
    }
  }

  /** As far as the node gets until now. */
  #work(): void {
    this.#freeAt = Math.max(this.#freeAt, this.now - TICK_US);
    for (let idle = 0; idle < this.#queues.length && this.#freeAt < this.now;) {
      const client = this.#turn++ % this.#queues.length, queue = this.#queues[client]!;
      if (queue.length === 0 || queue[0]!.at > this.now) {
        idle++;
        continue;
      }
      idle = 0;
      const { id, at: came } = queue.shift()!;
      const late = this.now - came > QUEUE_US_MAX;
      this.#freeAt += late ? REFUSE_US : SERVE_US;
      if (late) this.busy++;
      else this.served++;
      this.machines[client]!.handle(A, id, late ? BUSY : WRITTEN, at(this.now));
    }
  }
}

Deno.test("ClientMachines in a storm obey busy, are all served, and are quick again when it is over (W7)", () => {
  const storm = new Storm({ clients: 60, atOnce: 50 });
  storm.run(10_000_000);
  const capacity = 10_000_000 / SERVE_US;
  const total = storm.done.reduce((sum, done) => sum + done, 0), least = Math.min(...storm.done);
  assert(total > capacity * 0.6, `${total} of ${capacity} that the node could have answered`);
  assert(storm.busy < storm.served, `${storm.busy} were refused, ${storm.served} served`);
  assert(least > total / 60 / 2, `One client got ${least} of ${total}`);
  assert.equal(storm.lost, 0, "every put found its answer before its deadline");

  storm.atOnce = 1;
  storm.run(15_000_000);
  storm.busy = 0;
  storm.waits.length = 0;
  storm.run(2_000_000);
  assert.equal(storm.busy, 0);
  const slowest = Math.max(...storm.waits);
  assert(slowest < 100_000, `A put took ${slowest} µs after the storm`);
});

Deno.test("Pacing: the rate halves with each episode of overload, and grows again until nothing is held back", () => {
  const pacing = new Pacing(Random.fromSeed(1));
  /** How many requests may leave within a second. */
  const rate = (now: number) => {
    let sent = 0;
    for (let t = now; t < now + 1_000_000; t += 1000) {
      for (let tries = 0; tries < 10; tries++) if (pacing.next(A, at(t)).granted) sent++;
    }
    return sent;
  };
  const unpaced = rate(0);
  assert.equal(unpaced, 10_000);
  let now = 10_000_000;
  for (let i = 0; i < 50; i++) pacing.busy(A, at(now));
  const once = rate(now);
  assert(once > 150 && once < 300, `${once}`);
  for (let i = 0; i < 20; i++) pacing.busy(A, at(now += 1_000_000));
  const often = rate(now);
  assert(often > 4 && often < 60, `${often}`);
  assert.equal(rate(now + 20_000_000), unpaced);
});

Deno.test("Pacing: nothing goes to a busy node before it said that asking again is worth it, nor is a lie believed for long", () => {
  const first = (retryAfterMs: number) => {
    const pacing = new Pacing(Random.fromSeed(1));
    const began = at(1_000_000);
    pacing.busy(A, began, retryAfterMs);
    for (let now = 1_000_000;;) {
      const turn = pacing.next(A, at(now));
      if (turn.granted) return turn.at - began;
      assert(turn.at > now);
      now = turn.at;
    }
  };
  assert.equal(first(0), 0);
  const waited = first(300);
  assert(waited >= 300_000 && waited <= 375_000, `${waited}`);
  for (const lie of [10_000_000, 2 ** 52, -5]) {
    const us = first(lie);
    assert(us >= 0 && us <= 6_250_000, `${us}`);
  }
});
