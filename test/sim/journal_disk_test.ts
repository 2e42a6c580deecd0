import assert from "node:assert/strict";
import fc from "fast-check";
import { type LogIndex, type NodeId, nodeId, type PartitionId, type Term } from "../../core/base/ids.ts";
import { Random } from "../../core/base/random.ts";
import type { Vault } from "../../core/base/vault.ts";
import {
  JournalCorruptError,
  type JournalRecovery,
  type JournalSegment,
  recoverJournal,
} from "../../core/wire/journal_recovery.ts";
import type { JournalRecord } from "../../core/wire/kernel.ts";
import { type Damage, DISK_KEYS } from "../../sim/journal_bytes.ts";
import { JournalDisk, type Readback, type Recover, SEAL_AFTER_US } from "../../sim/journal_disk.ts";
import type { StopKind } from "../../sim/journal_image.ts";

const NODE = nodeId("rigel");
const PARTITION = 1 as PartitionId;
const DAMAGES: readonly Damage[] = ["rot", "misdirect", "lost-write"];

/** Entry after entry, each as long as the seed says: what recovery found is then the last index. */
class Writer {
  readonly disk: JournalDisk;
  readonly random: Random;
  index = 0;
  durable = 0;
  now = 0;

  constructor(seed: number, recover?: Recover) {
    this.disk = new JournalDisk(NODE, recover, seed % 2 === 0 ? DISK_KEYS : undefined);
    this.random = Random.fromSeed(seed);
  }

  write(count: number): void {
    this.disk.settle(this.now);
    for (let i = 0; i < count; i++) this.disk.append(this.#entry(), ++this.index);
  }

  sync(): void {
    if (!this.disk.beginSync()) return;
    this.disk.endSync(++this.now);
    this.durable = this.disk.numberAt(this.disk.durable);
  }

  /** Nothing happens for long enough that a seal is written, if one is due. */
  rest(): void {
    this.now += SEAL_AFTER_US;
    this.disk.settle(this.now);
  }

  /** The process or its machine dies. */
  stop(kind?: StopKind): Readback {
    this.disk.settle(this.now);
    return this.disk.stop(kind ?? (this.random.chance(1, 2) ? "power" : "process"), this.random);
  }

  /** A whole checkpoint: the segments before it are dropped. */
  checkpoint(): void {
    const base: JournalRecord = {
      kind: "base",
      partition: PARTITION,
      index: this.index as LogIndex,
      term: 1 as Term,
      configuration: { voters: [NODE], outgoing: [], learners: [] },
      configurationIndex: 0 as LogIndex,
    };
    this.disk.settle(this.now);
    this.disk.beginSegment([base], this.index);
    for (let i = 0; i < 2; i++) this.sync();
    this.disk.mark(1);
    this.sync();
    this.disk.dropOlder();
  }

  #entry(): JournalRecord {
    const data = new Uint8Array(this.random.below(this.random.chance(1, 8) ? 9000 : 300));
    for (let i = 0; i < data.length; i += 7) data[i] = this.random.below(256);
    const index = this.index + 1 as LogIndex;
    return {
      kind: "entries",
      partition: PARTITION,
      entries: [{ index, term: 1 as Term, kind: "command", data }],
    };
  }
}

function lastIndex(read: Readback): number {
  assert.ok(read.kind === "recovered", JSON.stringify(read));
  const replica = read.recovery.recovered.replicas.get(PARTITION);
  return replica === undefined ? 0 : replica.base.index + replica.entries.length;
}

const plan = fc.array(fc.constantFrom("write", "write", "sync", "sync", "rest", "checkpoint"), {
  maxLength: 30,
  size: "max",
});

function carriedOut(writer: Writer, actions: readonly string[]): void {
  for (const action of actions) {
    if (action === "write") writer.write(1 + writer.random.below(6));
    else if (action === "sync") writer.sync();
    else if (action === "rest") writer.rest();
    else writer.checkpoint();
  }
}

Deno.test("JournalDisk.stop() loses nothing durable, whatever became of the sectors behind", () => {
  const seen = { torn: 0, survived: 0, allLost: 0, interrupted: 0 };
  fc.assert(
    fc.property(fc.nat(1e9), plan, (seed, actions) => {
      const writer = new Writer(seed);
      carriedOut(writer, actions);
      writer.write(writer.random.below(20));
      const read = writer.stop(), found = lastIndex(read);
      assert.ok(
        found >= writer.durable && found <= writer.index,
        `${found} of ${writer.durable}..${writer.index}`,
      );
      assert.ok(read.kind === "recovered");
      if (read.damage.torn > 0) seen.torn++;
      if (read.damage.survived > 0) seen.survived++;
      if (read.damage.pending > 0 && read.damage.survived === 0) seen.allLost++;
      if (read.damage.interrupted > 0) seen.interrupted++;
      // And it goes on from there.
      writer.index = found;
      writer.write(3);
      writer.sync();
      assert.equal(lastIndex(writer.stop()), found + 3);
    }),
    { numRuns: 400 },
  );
  for (const [what, times] of Object.entries(seen)) assert.ok(times > 5, `${what} came up ${times} times`);
});

Deno.test("JournalDisk.damage() to what was durable is always found out by the real recovery", () => {
  const seen = { rot: 0, misdirect: 0, "lost-write": 0, unproven: 0 };
  fc.assert(
    fc.property(fc.nat(1e9), plan, fc.constantFrom(...DAMAGES), fc.nat(10), (seed, actions, damage, more) => {
      const writer = new Writer(seed);
      carriedOut(writer, actions);
      if (!writer.disk.damage(damage, writer.random)) {
        seen.unproven++;
        return;
      }
      seen[damage]++;
      assert.ok(writer.disk.damaged);
      writer.write(more);
      if (more > 5) writer.sync();
      const read = writer.stop();
      assert.equal(read.kind, "corrupt", JSON.stringify(read));
    }),
    { numRuns: 600 },
  );
  for (const [what, times] of Object.entries(seen)) assert.ok(times > 20, `${what} came up ${times} times`);
});

Deno.test("JournalDisk forgets damage in a segment that a checkpoint drops", () => {
  const writer = new Writer(1);
  carriedOut(writer, ["write", "sync", "write", "sync"]);
  assert.ok(writer.disk.damage("rot", writer.random));
  writer.checkpoint();
  assert.ok(!writer.disk.damaged);
  writer.write(2);
  writer.sync();
  assert.equal(lastIndex(writer.stop()), writer.index);
});

Deno.test("JournalDisk.damage() spares what nothing proves yet", () => {
  const writer = new Writer(2);
  assert.ok(!writer.disk.damage("rot", writer.random));
  writer.write(1);
  assert.ok(!writer.disk.damage("rot", writer.random));
  writer.sync();
  // A file that holds a record had a whole header: that much is proven, and no more.
  assert.ok(writer.disk.damage("rot", writer.random));
  assert.equal(writer.stop().kind, "corrupt");
});

Deno.test("JournalDisk writes a seal once nothing follows a sync for a moment, and none behind what is not durable", () => {
  const writer = new Writer(4);
  writer.write(1);
  writer.rest();
  assert.equal(writer.disk.last, 1);
  writer.sync();
  writer.write(1);
  assert.equal(writer.disk.last, 2);
  writer.sync();
  for (let i = 0; i < 3; i++) writer.rest();
  assert.equal(writer.disk.last, 3);
  assert.ok(!writer.disk.beginSync(), "a seal has no sync of its own");
  writer.write(1);
  writer.sync();
  assert.equal(writer.disk.durable, 4);
});

Deno.test("JournalDisk.damage() strikes the last batch once a seal proves it, and each kind of stop finds that out", () => {
  for (const kind of ["in-order", "process", "power"] as const) {
    let struck = 0;
    for (let seed = 0; seed < 40; seed++) {
      const writer = new Writer(seed);
      writer.write(3);
      writer.sync();
      writer.rest();
      assert.ok(writer.disk.damage("lost-write", writer.random));
      const read = writer.stop(kind);
      assert.ok(read.kind === "corrupt", JSON.stringify(read));
      if (read.behindSeal) struck++;
    }
    // Without the seal nothing behind the segment's header may be struck.
    assert.ok(struck > 20, `${struck}`);
  }
});

Deno.test("JournalDisk.stop() keeps all that was written when the process alone ends, but not what waited for a sync", () => {
  for (let seed = 0; seed < 40; seed++) {
    const writer = new Writer(seed);
    writer.write(2);
    assert.ok(writer.disk.beginSync());
    writer.write(3);
    const read = writer.disk.stop("process", Random.fromSeed(0));
    assert.equal(lastIndex(read), 2);
  }
});

// ---- recoveries that do what they must not

/** Reads what it can, and says nothing of the rest. */
function careless(segments: readonly JournalSegment[], node: NodeId, keys: Vault): JournalRecovery {
  try {
    return recoverJournal(segments, node, keys);
  } catch (error) {
    if (!(error instanceof JournalCorruptError)) throw error;
    const bad = segments.findIndex(({ name }) => name === error.file);
    const cut = { name: error.file, bytes: segments[bad]!.bytes.subarray(0, error.offset) };
    return recoverJournal([...segments.slice(0, bad), cut], node, keys);
  }
}

function ruined(recover: Recover, damage: Damage | null): { read: Readback; durable: number } {
  const writer = new Writer(3, recover);
  for (let i = 0; i < 6; i++) carriedOut(writer, ["write", "sync"]);
  if (damage !== null) assert.ok(writer.disk.damage(damage, writer.random));
  writer.write(2);
  return { read: writer.stop(), durable: writer.durable };
}

Deno.test("damage is detected catches a recovery that cuts a journal at its first bad byte", () => {
  for (const damage of DAMAGES) {
    let found = -1;
    const { read, durable } = ruined((segments, node, keys) => {
      const recovery = careless(segments, node, keys);
      found = recovery.lastSequence;
      return recovery;
    }, damage);
    assert.ok(read.kind === "wrong" && read.check === "damage is detected", JSON.stringify(read));
    assert.ok(found < durable, "it would have lost acknowledged records");
  }
});

Deno.test("damage is detected catches a recovery that blames another place", () => {
  const { read } = ruined((segments, node, keys) => {
    try {
      return recoverJournal(segments, node, keys);
    } catch {
      throw new JournalCorruptError("segment 1", 1_000_000, "something is wrong");
    }
  }, "rot");
  assert.ok(read.kind === "wrong" && read.check === "damage is detected");
});

Deno.test("recovery catches a recovery that loses the last durable record", () => {
  const { read } = ruined((segments, node, keys) => {
    const recovery = recoverJournal(segments, node, keys);
    return { ...recovery, lastSequence: Math.min(recovery.lastSequence, 3) };
  }, null);
  assert.ok(read.kind === "wrong" && read.check === "recovery");
});

Deno.test("recovery catches a recovery that takes what a crash leaves for damage", () => {
  const { read } = ruined((segments) => {
    throw new JournalCorruptError(segments[0]!.name, 128, "the end is torn");
  }, null);
  assert.ok(read.kind === "wrong" && read.check === "recovery");
});

Deno.test("recovery catches a recovery that does not write again what no sync had passed", () => {
  const writer = new Writer(5, (segments, node, keys) => {
    const recovery = recoverJournal(segments, node, keys), { append } = recovery;
    return { ...recovery, append: append === null ? null : { ...append, unproven: append.offset } };
  });
  carriedOut(writer, ["write", "sync", "write"]);
  const read = writer.stop("process");
  assert.ok(read.kind === "wrong" && read.check === "recovery" && read.detail.includes("again from byte"));
});

Deno.test("recovery catches a recovery that finds something else when it is begun again", () => {
  let asked = 0, caught = 0;
  for (let seed = 0; seed < 100; seed++) {
    const writer = new Writer(seed, (segments, node, keys) => {
      const recovery = recoverJournal(segments, node, keys);
      return { ...recovery, lastSequence: recovery.lastSequence - (asked++ % 2) };
    });
    carriedOut(writer, ["write", "sync", "write"]);
    asked = 0;
    const read = writer.stop("power");
    if (read.kind === "wrong") caught++;
  }
  assert.ok(caught > 3, `${caught}`);
});
