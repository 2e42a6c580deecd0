import assert from "node:assert/strict";
import {
  type Epoch,
  type Instant,
  type LogIndex,
  NEVER,
  type NodeId,
  type PartitionId,
  type Term,
} from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS, LIMITS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { ClientMachine, type Completion, type Outgoing } from "../../../core/client/client.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { Op, RefusalReason, Refused, Response } from "../../../core/wire/requests.ts";

const A = "a" as NodeId, B = "b" as NodeId, C = "c" as NodeId;
const VIEW: SystemView = {
  version: 1,
  network: "0".repeat(32),
  settings: { ...DEFAULT_SETTINGS, partitions: 1 },
  epoch: 1 as Epoch,
  members: [A, B, C].map((id) => ({ id, address: id, zone: "z", capacity: 1, state: "active", disk: "" })),
  assignment: [[A, B, C], [A, B, C]],
  security: null,
};
const WRITTEN: Response = {
  kind: "written",
  version: { term: 1 as Term, index: 9 as LogIndex },
  existed: false,
};
const GET: Op = { kind: "get", key: "k", read: "linearizable" };
const PUT: Op = { kind: "put", key: "k", value: new Uint8Array(1) };
const SET_STATE: Op = { kind: "set-state", node: C, state: "draining", force: false };

const at = (us: number) => us as Instant;
const refused = (reason: RefusalReason, leader?: NodeId): Refused => ({
  kind: "refused",
  reason,
  message: reason,
  ...(leader === undefined ? {} : { leader }),
});

/** A machine that knows the layout and that A leads. Questions for the layout are left out of what it sends. */
class Script {
  readonly machine = new ClientMachine({
    client: "0f".repeat(16),
    random: Random.fromSeed(1),
    partitionOf: () => 1 as PartitionId,
  });
  now = at(1000);

  constructor(leader: NodeId | null = A) {
    this.machine.setLayout(VIEW, [A, leader], this.now);
  }
  submit(op: Op, deadlineUs = 5_000_000): number {
    return this.machine.submit(op, this.now, { deadlineUs });
  }
  sent(): Outgoing[] {
    return this.machine.outgoing().filter(({ request }) => request.op.kind !== "layout");
  }
  one(): Outgoing {
    const sent = this.sent();
    assert.equal(sent.length, 1);
    return sent[0]!;
  }
  answer(to: Outgoing, response: Response): void {
    this.machine.handle(to.node!, to.id, response, this.now);
  }
  /** Lets time pass up to `us` from now, waking the machine as it asks for. */
  pass(us: number): void {
    const end = this.now + us;
    while (this.machine.nextWake() <= end) {
      this.now = at(Math.max(this.now, this.machine.nextWake()));
      this.machine.wake(this.now);
    }
    this.now = at(end);
  }
  done(): Completion {
    const completions = this.machine.completions();
    assert.equal(completions.length, 1);
    return completions[0]!;
  }
  reason(): RefusalReason {
    const { response } = this.done();
    assert.ok(response.kind === "refused");
    return response.reason;
  }
}

Deno.test("ClientMachine asks any node for the layout before anything else (W5)", () => {
  const machine = new ClientMachine({
    client: "0f".repeat(16),
    random: Random.fromSeed(1),
    partitionOf: () => 1 as PartitionId,
  });
  machine.submit(PUT, at(0));
  const [layout] = machine.outgoing();
  assert.deepEqual([layout?.node, layout?.request.op.kind], [null, "layout"]);
  machine.handle(B, layout!.id, { kind: "layout", view: VIEW, leaders: [A, C] }, at(5));
  const [put] = machine.outgoing();
  assert.deepEqual([put?.node, put?.request.op.kind], [C, "put"]);
});

Deno.test("ClientMachine sends to the leader and gives the answer", () => {
  const script = new Script();
  const ticket = script.submit(PUT);
  const sent = script.one();
  assert.equal(sent.node, A);
  assert.deepEqual(sent.request.session, {
    client: "0f".repeat(16),
    sequence: 1,
    acknowledged: 1,
    opened: false,
  });
  script.answer(sent, WRITTEN);
  assert.deepEqual(script.done(), { ticket, response: WRITTEN, final: true });
  assert.equal(script.machine.pending, 0);
});

Deno.test("ClientMachine follows a refusal to the leader it names, at once", () => {
  const script = new Script();
  script.submit(GET);
  script.answer(script.one(), refused("moved", B));
  assert.equal(script.one().node, B);
  script.submit(GET);
  assert.equal(script.one().node, B, "and remembers it");
});

Deno.test("ClientMachine repeats a write under its sequence and acknowledges what was answered (W1)", () => {
  const script = new Script();
  script.submit(PUT);
  script.submit(PUT);
  const [first, second] = script.sent();
  script.answer(second!, WRITTEN);
  script.answer(first!, refused("unsure"));
  script.pass(50_000);
  const again = script.one();
  assert.deepEqual(
    [again.request.session?.sequence, again.request.session?.acknowledged, again.request.session?.opened],
    [1, 1, true],
  );
  script.answer(again, WRITTEN);
  script.submit(PUT);
  assert.deepEqual(script.one().request.session, {
    client: "0f".repeat(16),
    sequence: 3,
    acknowledged: 3,
    opened: true,
  });
});

Deno.test("ClientMachine takes a late answer to an earlier attempt (W1)", () => {
  const script = new Script();
  script.submit(PUT);
  const first = script.one();
  script.pass(1_100_000);
  assert.notEqual(script.one().node, A, "the second attempt goes elsewhere");
  script.answer(first, WRITTEN);
  assert.equal(script.done().response, WRITTEN);
});

Deno.test("ClientMachine tries again 10 to 30 ms after a lost connection, elsewhere", () => {
  const script = new Script();
  script.submit(GET);
  script.sent();
  script.machine.connectionLost(A, script.now);
  script.pass(9_999);
  assert.deepEqual(script.sent(), []);
  script.pass(20_002);
  assert.notEqual(script.one().node, A);
});

Deno.test("ClientMachine backs off while there is no leader, up to half a second, with jitter", () => {
  const script = new Script();
  script.submit(GET, 60_000_000);
  const pauses = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    script.answer(script.one(), refused("no-leader"));
    script.machine.outgoing();
    const before = script.now;
    while (script.machine.nextWake() !== NEVER) {
      script.now = script.machine.nextWake();
      script.machine.wake(script.now);
      const sent = script.sent();
      if (sent.length === 0) continue;
      pauses.push(script.now - before);
      // Put back for the next round.
      script.one = () => sent[0]!;
      break;
    }
  }
  pauses.forEach((pause, attempt) => {
    const full = Math.min(500_000, 20_000 * 2 ** attempt);
    assert.ok(pause >= full / 2 && pause <= full, `pause ${attempt} is ${pause}`);
  });
});

Deno.test("ClientMachine ends a read at its deadline with timeout, a sent write with unsure (W3)", () => {
  const script = new Script();
  script.submit(GET, 300_000);
  script.pass(300_000);
  assert.equal(script.reason(), "timeout");
  script.submit(PUT, 300_000);
  script.pass(300_000);
  assert.equal(script.reason(), "unsure");
});

Deno.test("ClientMachine ends a write with timeout where every attempt was refused unapplied (W3)", () => {
  const script = new Script();
  script.submit(PUT, 100_000);
  for (let i = 0; i < 20; i++) {
    for (const sent of script.sent()) script.answer(sent, refused("busy"));
    script.pass(10_000);
  }
  assert.equal(script.reason(), "timeout");
});

Deno.test("ClientMachine does not repeat a change of the network that may have been applied (W2)", () => {
  const script = new Script();
  script.submit(SET_STATE);
  const sent = script.one();
  script.pass(2_000_000);
  assert.deepEqual(script.sent(), []);
  script.machine.connectionLost(sent.node!, script.now);
  assert.equal(script.reason(), "unsure");
  script.submit(SET_STATE);
  script.answer(script.one(), refused("no-leader"));
  script.pass(100_000);
  assert.equal(script.one().request.op.kind, "set-state", "but one that was refused unapplied");
});

Deno.test("ClientMachine tells at once who may not even have the layout (W5)", () => {
  const machine = new ClientMachine({
    client: "0f".repeat(16),
    random: Random.fromSeed(1),
    partitionOf: () => 1 as PartitionId,
  });
  const tickets = [machine.submit(PUT, at(0)), machine.submit(GET, at(0))];
  const [layout] = machine.outgoing();
  machine.handle(B, layout!.id, refused("denied"), at(5));
  assert.deepEqual(
    machine.completions().map(({ ticket, response, final }) => [
      ticket,
      response.kind === "refused" && response.reason,
      final,
    ]),
    tickets.map((ticket) => [ticket, "denied", true]),
  );
  assert.deepEqual([machine.pending, machine.outgoing()], [0, []]);
  machine.wake(at(1_000_000));
  assert.deepEqual(machine.outgoing(), [], "Nobody waits for it any more");
});

Deno.test("ClientMachine is unsure of a write that is denied after an attempt that got lost (swarm, seed 31)", () => {
  const script = new Script();
  script.submit(PUT);
  script.answer(script.one(), refused("denied"));
  assert.equal(script.reason(), "denied");
  script.submit(PUT);
  script.one();
  script.pass(1_100_000);
  script.answer(script.sent().at(-1)!, refused("denied"));
  assert.equal(script.reason(), "unsure");
  script.submit(GET);
  script.one();
  script.pass(1_100_000);
  script.answer(script.sent().at(-1)!, refused("denied"));
  assert.equal(script.reason(), "denied");
});

Deno.test("ClientMachine opens its session anew when a first attempt finds it forgotten, else is unsure", () => {
  const script = new Script();
  script.submit(PUT);
  script.answer(script.one(), WRITTEN);
  script.done();
  script.submit(PUT);
  const second = script.one();
  assert.equal(second.request.session?.opened, true);
  script.answer(second, refused("session-expired"));
  const again = script.one();
  assert.deepEqual([again.request.session?.sequence, again.request.session?.opened], [2, false]);
  script.answer(again, WRITTEN);
  script.done();
  script.submit(PUT);
  script.sent();
  script.pass(1_000_000);
  script.answer(script.one(), refused("session-expired"));
  assert.equal(script.reason(), "unsure");
});

Deno.test("ClientMachine keeps at most LIMITS.sessionAnswersMax sequences open and queues the rest (W4)", () => {
  const script = new Script();
  for (let i = 0; i < LIMITS.sessionAnswersMax + 10; i++) script.submit(PUT);
  const sent = script.sent();
  assert.equal(sent.length, LIMITS.sessionAnswersMax);
  script.answer(sent[5]!, WRITTEN);
  assert.deepEqual(script.sent(), [], "the first is still open");
  script.answer(sent[0]!, WRITTEN);
  const next = script.one();
  assert.deepEqual(
    [next.request.session?.sequence, next.request.session?.acknowledged],
    [LIMITS.sessionAnswersMax + 1, 2],
  );
});

Deno.test("ClientMachine resumes a watch at another node from what it was told", () => {
  const script = new Script();
  const ticket = script.submit({ kind: "watch", start: "a", end: null, from: [] }, 1_000_000);
  const p1 = 1 as PartitionId;
  const first = script.one();
  script.answer(first, { kind: "watching", from: [[p1, 4 as LogIndex]] });
  assert.equal(script.done().response.kind, "watching");
  const event = (index: number) => ({
    key: "k",
    value: null,
    version: { term: 1 as Term, index: index as LogIndex },
  });
  const told = (upTo: number, indexes: number[]): Response => ({
    kind: "events",
    partition: p1,
    upTo: upTo as LogIndex,
    events: indexes.map(event),
    gap: false,
  });
  script.answer(first, told(6, [5, 6]));
  assert.deepEqual(script.done(), { ticket, response: told(6, [5, 6]), final: false });
  script.pass(9_000_000);
  script.machine.connectionLost(first.node!, script.now);
  script.pass(100_000);
  const again = script.one();
  assert.notEqual(again.node, first.node);
  assert.ok(again.request.op.kind === "watch");
  assert.deepEqual(again.request.op.from, [[1, 6]]);
  script.answer(first, told(7, [7]));
  assert.deepEqual(script.machine.completions(), [], "the old stream is not heard any more");
  script.answer(again, { kind: "watching", from: [[p1, 6 as LogIndex]] });
  script.answer(again, told(7, [6, 7]));
  assert.deepEqual(script.done().response, told(7, [7]));
  const end = script.submit({ kind: "unwatch", watch: ticket });
  assert.deepEqual(script.one().request.op, { kind: "unwatch", watch: again.id });
  assert.equal(script.done().ticket, end);
  assert.equal(script.machine.pending, 0);
});

Deno.test("W6: a watch whose node lost its power was silent for ever (swarm, seed 26)", () => {
  const script = new Script();
  script.submit({ kind: "watch", start: "a", end: null, from: [] }, 1_000_000);
  const p1 = 1 as PartitionId, first = script.one();
  script.answer(first, { kind: "watching", from: [[p1, 4 as LogIndex]] });
  script.done();
  script.pass(10_000_000);
  const asked = script.sent();
  const unwatch = asked.find(({ request }) => request.op.kind === "unwatch");
  const anew = asked.find(({ request }) => request.op.kind === "watch");
  assert.deepEqual(unwatch?.request.op, { kind: "unwatch", watch: first.id });
  assert.deepEqual(anew?.request.op, { kind: "watch", start: "a", end: null, from: [[1, 4]] });
  assert.equal(anew?.node, first.node);
  script.pass(1_000_000);
  const elsewhere = script.sent().find(({ request }) => request.op.kind === "watch");
  assert.notEqual(elsewhere?.node, first.node);
});

Deno.test("ClientMachine gives final refusals on as they are", () => {
  const script = new Script();
  for (const reason of ["invalid", "too-large", "conflict", "not-found", "foreign"] as const) {
    script.submit(PUT);
    script.answer(script.one(), refused(reason));
    assert.equal(script.reason(), reason);
  }
});

Deno.test("ClientMachine with nothing to do asks for nothing", () => {
  const script = new Script();
  script.submit(GET);
  script.answer(script.one(), { kind: "value", found: null, ageUs: 0 });
  script.machine.connectionLost(A, script.now);
  script.pass(60_000_000);
  script.machine.outgoing();
  script.pass(600_000_000);
  assert.deepEqual(script.machine.outgoing(), []);
  assert.equal(script.machine.nextWake(), NEVER);
});

Deno.test("ClientMachine refuses a client name that is not 32 hexadecimal digits", () => {
  assert.throws(
    () =>
      new ClientMachine({ client: "me", random: Random.fromSeed(1), partitionOf: () => 1 as PartitionId }),
    /32 hexadecimal digits/,
  );
});

Deno.test("ClientMachine asks another node for a change that never left, as its connection never stood (W2)", () => {
  const script = new Script();
  script.submit({ kind: "keys-rotate" });
  const first = script.one();
  script.machine.connectionLost(first.node!, script.now, false);
  script.pass(30_001);
  const again = script.one();
  assert.notEqual(again.node, first.node);
  script.machine.connectionLost(again.node!, script.now);
  assert.equal(script.reason(), "unsure");
});

Deno.test("ClientMachine ends a write with unsure whose only attempt got lost, and a read with timeout (W3)", () => {
  const script = new Script();
  for (const [op, reason] of [[PUT, "unsure"], [GET, "timeout"]] as const) {
    script.submit(op, 5_000);
    script.machine.connectionLost(script.one().node!, script.now);
    script.pass(5_000);
    assert.equal(script.reason(), reason);
  }
});

Deno.test("ClientMachine gives a chunk as long as a node may take for it, then asks another", () => {
  const script = new Script();
  const chunk: Op = {
    kind: "chunk-get",
    segment: { partition: 1 as PartitionId, segment: "0f".repeat(16) },
    chunk: 0,
    scheme: { kind: "replicated", copies: 3 },
    length: 100,
    attempt: 0,
  };
  const ticket = script.submit(chunk, 20_000_000);
  const first = script.one();
  assert.equal(first.request.session, undefined, "it is harmless to repeat");
  script.pass(LIMITS.requestUs - 1);
  assert.deepEqual(script.sent(), []);
  script.pass(1);
  const second = script.one();
  assert.notEqual(second.node, first.node);
  const response: Response = { kind: "chunk", bytes: new Uint8Array(100) };
  script.answer({ ...first, node: first.node ?? A }, response);
  assert.deepEqual(script.done(), { ticket, response, final: true });
});
