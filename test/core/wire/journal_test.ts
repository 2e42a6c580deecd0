import assert from "node:assert/strict";
import fc from "fast-check";
import { type LogIndex, type NodeId, nodeId, partitionId, type Term } from "../../../core/base/ids.ts";
import { readUint32 } from "../../../core/base/bytes.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { OPEN_VAULT, Vault } from "../../../core/base/vault.ts";
import {
  encodeMark,
  encodeRecords,
  encodeSeal,
  encodeSegmentHeader,
  JOURNAL_VERSION,
  RECORD_HEADER_BYTES,
  type RecordsOptions,
  sealBytes,
  SEGMENT_HEADER_BYTES,
} from "../../../core/wire/journal.ts";
import { type RecordCipher, recordCipher } from "../../../core/wire/journal_cipher.ts";
import {
  JournalCorruptError,
  JournalOwnerError,
  type JournalRecovery,
  type JournalSegment,
  JournalVersionError,
  recoverJournal,
} from "../../../core/wire/journal_recovery.ts";
import { foldRecords } from "../../../core/wire/journal_state.ts";
import type { JournalRecord, Recovered, RecoveredReplica } from "../../../core/wire/kernel.ts";
import type { Entry } from "../../../core/wire/messages.ts";
import { configuration, RECORDS, view } from "../../support/wire_samples.ts";

const sirius = nodeId("sirius");
const p1 = partitionId(1);
const p2 = partitionId(2);
const index = (n: number) => n as LogIndex;

function entry(at: number, size = 5): Entry {
  return { term: 1 as Term, index: index(at), kind: "command", data: new Uint8Array(size).fill(at) };
}
function entries(from: number, to: number, partition = p1): JournalRecord {
  const list: Entry[] = [];
  for (let at = from; at <= to; at++) list.push(entry(at));
  return { kind: "entries", partition, entries: list };
}
function vote(term: number, votedFor: NodeId | null = null, partition = p1): JournalRecord {
  return { kind: "vote", partition, term: term as Term, votedFor };
}
function base(at: number, partition = p1): JournalRecord {
  return {
    kind: "base",
    partition,
    index: index(at),
    term: 1 as Term,
    configuration,
    configurationIndex: index(1),
  };
}

/** Generation 2 is the current one of a network that has changed its keys once. */
const KEYS = new Vault(new Map([[1, new Uint8Array(32).fill(1)], [2, new Uint8Array(32).fill(2)]]), 2);
/** What the tests under way write and read with. */
let vault = OPEN_VAULT;
const encrypted = () => vault.current !== 0;

/** The rules hold for journals of open networks and for encrypted ones. */
function both(name: string, run: () => void): void {
  Deno.test(name, run);
  Deno.test(`${name}, encrypted`, () => {
    vault = KEYS;
    try {
      run();
    } finally {
      vault = OPEN_VAULT;
    }
  });
}

const keySaltOf = (segment: number) => new Uint8Array(32).fill(0xc0 + segment);
const saltOf = (segment: number) => readUint32(keySaltOf(segment), 0);
const keyOf = (segment: number) =>
  encrypted() ? { generation: vault.current, salt: keySaltOf(segment) } : null;
/** Whenever a segment is begun or gone on with. */
let openings = 0;

/** Writes a journal as a host does, and keeps where each record lies. */
class Writer {
  readonly segments: { name: string; bytes: Uint8Array }[] = [];
  sequence = 0;
  durable = 0;
  /** Where each record that was appended ends in the newest segment. */
  ends: number[] = [];
  #cipher: RecordCipher | null = null;

  begin(head: readonly JournalRecord[] = []): void {
    const segment = this.segments.length + 1;
    this.segments.push({ name: `journal-${segment}`, bytes: new Uint8Array(0) });
    this.ends = [];
    const firstSequence = this.sequence + 1, key = keyOf(segment);
    this.#append(encodeSegmentHeader({ node: sirius, segment, firstSequence, salt: saltOf(segment), key }));
    this.goOn();
    this.append(head, true);
  }

  /** The newest segment is opened to be written to. */
  goOn(): void {
    const opening = new Uint8Array(8).fill(++openings),
      header = this.last.bytes.slice(0, SEGMENT_HEADER_BYTES);
    this.#cipher = recordCipher(vault, { key: keyOf(this.segments.length), header, opening });
  }

  append(records: readonly JournalRecord[], head = false): void {
    for (const record of records) {
      this.#append(
        encodeRecords([record], { ...this.#options, head }),
      );
      this.sequence++;
      this.ends.push(this.last.bytes.length);
    }
  }

  mark(headRecords: number): void {
    this.#append(encodeMark(headRecords, this.#options));
    this.sequence++;
    this.ends.push(this.last.bytes.length);
  }

  sync(): void {
    this.durable = this.sequence;
  }

  seal(): void {
    this.#append(encodeSeal(this.#options));
    this.sequence++;
    this.ends.push(this.last.bytes.length);
  }

  get last(): { name: string; bytes: Uint8Array } {
    return this.segments[this.segments.length - 1]!;
  }

  /** The segments with the newest one's bytes replaced. */
  with(bytes: Uint8Array): JournalSegment[] {
    return [...this.segments.slice(0, -1), { name: this.last.name, bytes }];
  }

  get #options(): RecordsOptions {
    return {
      firstSequence: this.sequence + 1,
      durableUpTo: this.durable,
      salt: saltOf(this.segments.length),
      cipher: this.#cipher,
    };
  }

  #append(bytes: Uint8Array): void {
    this.last.bytes = Uint8Array.from([...this.last.bytes, ...bytes]);
  }
}

function recover(segments: readonly JournalSegment[]): JournalRecovery {
  return recoverJournal(segments, sirius, vault);
}
/** In a form that deepEqual compares field by field. */
function plain({ replicas, ...rest }: Recovered): unknown {
  const list = [...replicas].sort(([a], [b]) => a - b).map(([partition, r]) => ({
    partition,
    ...plainReplica(r),
  }));
  return { ...rest, replicas: list };
}
function plainReplica(replica: RecoveredReplica): RecoveredReplica {
  const { term, votedFor, exists, base, configuration, configurationIndex, entries } = replica;
  return { term, votedFor, exists, base, configuration, configurationIndex, entries };
}
const STORY: readonly JournalRecord[] = [
  vote(1, sirius),
  entries(1, 3),
  vote(1, null, p2),
  entries(1, 2, p2),
  { kind: "truncate", partition: p1, from: index(3) },
  entries(3, 6),
  { kind: "view", view },
  RECORDS["peers"]!,
  base(4, p2),
  entries(5, 5, p2),
  vote(2, nodeId("vega")),
];

both("recoverJournal() of nothing is a node that never ran", () => {
  const { recovered, lastSequence, append, tail } = recover([]);
  assert.deepEqual(plain(recovered), { view: null, incarnation: 0, peers: [], replicas: [] });
  assert.deepEqual({ lastSequence, append, tail }, { lastSequence: 0, append: null, tail: null });
});

both("recoverJournal() gives back what was recorded, by hand", () => {
  const writer = new Writer();
  writer.begin();
  writer.append(STORY);
  const { recovered, lastSequence, append, tail } = recover(writer.segments);
  assert.equal(recovered.view?.version, view.version);
  assert.equal(recovered.incarnation, 9);
  assert.equal(recovered.peers.length, 2);
  assert.deepEqual(plainReplica(recovered.replicas.get(p1)!), {
    term: 2,
    votedFor: "vega",
    exists: true,
    base: { index: 0, term: 0 },
    configuration: { voters: [], outgoing: [], learners: [] },
    configurationIndex: 0,
    entries: [1, 2, 3, 4, 5, 6].map((at) => entry(at)),
  });
  assert.deepEqual(plainReplica(recovered.replicas.get(p2)!), {
    term: 1,
    votedFor: null,
    exists: true,
    base: { index: 4, term: 1 },
    configuration,
    configurationIndex: 1,
    entries: [entry(5)],
  });
  assert.equal(lastSequence, STORY.length);
  assert.deepEqual(append, {
    name: "journal-1",
    segment: 1,
    salt: saltOf(1),
    key: keyOf(1),
    offset: writer.last.bytes.length,
    unproven: SEGMENT_HEADER_BYTES,
    version: JOURNAL_VERSION,
  });
  assert.equal(tail, null);
});

both("S3: drop leaves a replica's term and vote", () => {
  const { replicas } = foldRecords([vote(3, sirius), base(4), entries(5, 6), {
    kind: "drop",
    partition: p1,
  }]);
  assert.deepEqual(plainReplica(replicas.get(p1)!), {
    term: 3,
    votedFor: sirius,
    exists: false,
    base: { index: 0, term: 0 },
    configuration: { voters: [], outgoing: [], learners: [] },
    configurationIndex: 0,
    entries: [],
  });
});

both("a vote alone is not yet a replica", () => {
  assert.equal(foldRecords([vote(3)]).replicas.get(p1)!.exists, false);
});

Deno.test("encodeRecords() of a batch is the bytes of its records one by one", () => {
  const whole = encodeRecords(STORY, { firstSequence: 7, durableUpTo: 5, salt: 1 });
  const parts = STORY.flatMap((
    r,
    i,
  ) => [...encodeRecords([r], { firstSequence: 7 + i, durableUpTo: 5, salt: 1 })]);
  assert.deepEqual(whole, Uint8Array.from(parts));
  assert.equal(encodeRecords([], { firstSequence: 1, durableUpTo: 0, salt: 1 }).length, 0);
});

both("J7: a journal torn at any byte recovers the whole records before, and says where to cut", () => {
  const writer = new Writer();
  writer.begin();
  const start = SEGMENT_HEADER_BYTES;
  writer.append(STORY);
  for (let length = 0; length < writer.last.bytes.length; length++) {
    const { recovered, lastSequence, append, tail } = recover(
      writer.with(writer.last.bytes.slice(0, length)),
    );
    const whole = writer.ends.filter((end) => end <= length).length;
    const end = length < start ? 0 : whole === 0 ? start : writer.ends[whole - 1]!;
    assert.equal(lastSequence, whole);
    assert.deepEqual(plain(recovered), plain(foldRecords(STORY.slice(0, whole))));
    const cut = { segment: "journal-1", cutAt: end, bytes: length - end };
    assert.deepEqual(tail, end === length && length > 0 ? null : cut);
    assert.equal(append?.offset ?? 0, end);
  }
});

both("J7: a changed byte before a record that proves what was durable is damage, and named", () => {
  const writer = new Writer();
  writer.begin();
  for (const record of STORY) {
    writer.append([record]);
    writer.sync();
  }
  const proven = writer.ends[writer.ends.length - 2]!;
  const starts = [0, ...writer.ends];
  const header = SEGMENT_HEADER_BYTES;
  for (let at = 0; at < proven; at++) {
    const bytes = writer.last.bytes.slice();
    bytes[at]! ^= 0x40;
    const record = at < header ? 0 : Math.max(header, starts.filter((start) => start <= at).at(-1)!);
    assert.throws(() => recover(writer.with(bytes)), (error) => {
      assert.ok(error instanceof JournalCorruptError, `byte ${at}: ${error}`);
      assert.equal(error.file, "journal-1");
      assert.equal(error.offset, record);
      return true;
    });
  }
});

both("J7: damage within what was never reported durable is cut, with the whole records behind it", () => {
  const writer = new Writer();
  writer.begin();
  writer.append([vote(1), entries(1, 2)]);
  writer.sync();
  // One write of three records; the disk keeps the third, and of the second only zeros.
  writer.append([entries(3, 3), entries(4, 4), entries(5, 5)]);
  const bytes = writer.last.bytes.slice();
  bytes.fill(0, writer.ends[2]!, writer.ends[3]!);
  const { recovered, lastSequence, tail } = recover(writer.with(bytes));
  assert.equal(lastSequence, 3);
  assert.equal(recovered.replicas.get(p1)!.entries.length, 3);
  assert.equal(tail?.cutAt, writer.ends[2]);
});

Deno.test("J7: a record forged within a user's value proves nothing without the segment's salt", () => {
  for (const [salt, survives] of [[saltOf(7), true], [saltOf(1), false]] as const) {
    const writer = new Writer();
    writer.begin();
    writer.append([vote(1)]);
    writer.sync();
    const forged = encodeRecords([vote(9)], { firstSequence: 4, durableUpTo: 3, salt });
    writer.append([{ kind: "entries", partition: p1, entries: [{ ...entry(1), data: forged }] }]);
    const torn = writer.with(writer.last.bytes.slice().fill(0, writer.ends[0], writer.ends[0]! + 8));
    if (survives) assert.equal(recover(torn).lastSequence, 1);
    else assert.throws(() => recover(torn), JournalCorruptError);
  }
});

both(
  "J8: behind a seal, a changed byte of any record before it is damage; of the seal itself, a torn end",
  () => {
    const writer = new Writer();
    writer.begin();
    writer.append(STORY);
    writer.sync();
    writer.seal();
    const sealAt = writer.ends.at(-2)!, padded = new Uint8Array(writer.last.bytes.length + 64);
    padded.set(writer.last.bytes);
    assert.equal(recover(writer.with(padded)).append!.offset, sealAt + sealBytes(encrypted()));
    for (let at = 0; at < sealAt; at++) {
      const bytes = padded.slice();
      bytes[at]! ^= 0x10;
      assert.throws(() => recover(writer.with(bytes)), (error) => {
        assert.ok(error instanceof JournalCorruptError, `byte ${at}: ${error}`);
        assert.ok(error.offset <= at);
        return true;
      });
    }
    for (let at = sealAt; at < padded.length; at++) {
      const bytes = padded.slice();
      bytes[at]! ^= 0x10;
      assert.deepEqual(plain(recover(writer.with(bytes)).recovered), plain(foldRecords(STORY)));
    }
  },
);

both("J9: unproven are the records that nothing read back shows to have been durable", () => {
  const writer = new Writer();
  writer.begin();
  assert.equal(recover(writer.segments).append!.unproven, 0, "nor is a header that nothing follows");
  writer.append([vote(1), entries(1, 2)]);
  assert.equal(recover(writer.segments).append!.unproven, SEGMENT_HEADER_BYTES);
  writer.sync();
  assert.equal(recover(writer.segments).append!.unproven, SEGMENT_HEADER_BYTES);
  writer.append([entries(3, 3), entries(4, 4)]);
  assert.equal(recover(writer.segments).append!.unproven, writer.ends[1]);
  writer.sync();
  writer.seal();
  assert.equal(recover(writer.segments).append!.unproven, writer.ends[3]);
  writer.begin();
  writer.append([entries(5, 5)]);
  assert.equal(recover(writer.segments).append!.unproven, SEGMENT_HEADER_BYTES);
});

both("zeros behind the last record (space set aside) are cut as a torn tail", () => {
  const writer = new Writer();
  writer.begin();
  writer.append([vote(1)]);
  writer.sync();
  const bytes = new Uint8Array(writer.last.bytes.length + 4096);
  bytes.set(writer.last.bytes);
  assert.deepEqual(recover(writer.with(bytes)).tail, {
    segment: "journal-1",
    cutAt: writer.last.bytes.length,
    bytes: 4096,
  });
});

/** Two segments: the second begins with a checkpoint of the first's state; live records follow its head. */
function checkpointed({ mark }: { mark: boolean }): Writer {
  const writer = new Writer();
  writer.begin();
  writer.append(STORY);
  writer.sync();
  writer.begin([vote(2, nodeId("vega")), base(4), entries(5, 6), base(5, p2), vote(1, null, p2)]);
  writer.sync();
  writer.append([entries(7, 8)]);
  if (mark) writer.mark(5);
  writer.append([entries(6, 7, p2)]);
  writer.sync();
  return writer;
}

both("J6: recovery starts at the newest checkpoint with a mark, and needs nothing older", () => {
  const writer = checkpointed({ mark: true });
  const both = recover(writer.segments);
  const alone = recover([writer.last]);
  assert.deepEqual(plain(both.recovered), plain(alone.recovered));
  assert.equal(both.recovered.view, null);
  const p1State = both.recovered.replicas.get(p1)!;
  assert.equal(p1State.base.index, 4);
  assert.deepEqual(p1State.entries.map((e) => e.index), [5, 6, 7, 8]);
  assert.deepEqual(both.recovered.replicas.get(p2)!.entries.map((e) => e.index), [6, 7]);
  assert.equal(both.lastSequence, writer.sequence);
});

both("J6: older segments are not read at all when a newer one is complete", () => {
  const writer = checkpointed({ mark: true });
  const [first, second] = writer.segments;
  const damaged = first!.bytes.slice();
  damaged.fill(0xff, 40, 60);
  const { recovered } = recover([{ name: "journal-1", bytes: damaged }, second!]);
  assert.equal(recovered.replicas.size, 2);
});

both("J6: without the mark, older segments and what was appended after the new head give the whole", () => {
  const writer = checkpointed({ mark: false });
  const { recovered, lastSequence, append } = recover(writer.segments);
  assert.deepEqual(plain(recovered), plain(foldRecords([...STORY, entries(7, 8), entries(6, 7, p2)])));
  assert.equal(lastSequence, writer.sequence);
  assert.equal(append?.name, "journal-2");
});

both("J6: a new segment torn at any byte loses only what was torn", () => {
  const writer = new Writer();
  writer.begin();
  writer.append(STORY);
  writer.sync();
  const before = writer.segments[0]!;
  writer.begin([vote(2, nodeId("vega")), base(4), entries(5, 6)]);
  writer.append([entries(7, 7)]);
  for (let length = 0; length < writer.last.bytes.length; length++) {
    const { recovered, append } = recover([before, {
      name: "journal-2",
      bytes: writer.last.bytes.slice(0, length),
    }]);
    assert.deepEqual(plain(recovered), plain(foldRecords(STORY)), `torn at ${length}`);
    assert.equal(append?.name, append?.offset === before.bytes.length ? "journal-1" : "journal-2");
  }
});

both("J2: a record that cannot be read before a newer segment is damage, at its end too", () => {
  const writer = checkpointed({ mark: false });
  const [first, second] = writer.segments;
  for (let cut = 1; cut < first!.bytes.length; cut++) {
    const segments = [{ name: "journal-1", bytes: first!.bytes.slice(0, -cut) }, second!];
    assert.throws(() => recover(segments), JournalCorruptError, `cut by ${cut}`);
  }
});

both("a missing segment is told, not skipped", () => {
  const writer = checkpointed({ mark: false });
  writer.begin([base(8)]);
  const [first, second, third] = writer.segments;
  assert.throws(() => recover([first!, third!]), /a segment before it is missing/);
  assert.throws(() => recover([second!, third!]), /no older segment is left/);
});

both("a journal can be cut, continued, and recovered again", () => {
  const arbCut = fc.record({ keep: fc.nat(), more: fc.integer({ min: 1, max: 3 }) });
  fc.assert(fc.property(fc.array(arbCut, { maxLength: 5 }), (cuts) => {
    const writer = new Writer();
    writer.begin();
    let last = 0;
    for (const { keep, more } of cuts) {
      writer.append([entries(last + 1, last + more)]);
      // Torn somewhere after what is durable, then cut as recovery says, synced, and gone on with.
      const durableEnd = writer.ends[writer.durable - 1] ?? writer.last.bytes.length;
      const length = Math.min(
        writer.last.bytes.length,
        durableEnd + keep % (writer.last.bytes.length - durableEnd + 1),
      );
      const found = recover(writer.with(writer.last.bytes.slice(0, length)));
      assert.ok(found.lastSequence >= writer.durable, "nothing durable is lost");
      writer.last.bytes = writer.last.bytes.slice(0, found.append!.offset);
      writer.sequence = found.lastSequence;
      writer.ends.length = found.lastSequence;
      writer.sync();
      writer.goOn();
      last = found.recovered.replicas.get(p1)?.entries.length ?? 0;
    }
    assert.equal(recover(writer.segments).lastSequence, writer.sequence);
  }));
});

both("recoverJournal() refuses another node's journal and a newer format, and says what to do", () => {
  const writer = new Writer();
  writer.begin();
  assert.throws(() => recoverJournal(writer.segments, nodeId("vega"), vault), (error) => {
    assert.ok(error instanceof JournalOwnerError);
    assert.match(error.message, /belongs to node "sirius", not to "vega"\. Start/);
    return true;
  });
  const newer = writer.last.bytes.slice();
  new DataView(newer.buffer).setUint32(8, JOURNAL_VERSION + 1);
  // The checksum covers the version, so that a damaged one is not taken for a newer build's.
  assert.equal(recover(writer.with(newer)).tail?.cutAt, 0);
  assert.equal(recover(writer.with(newer)).append, null);
  resealHeader(newer);
  assert.throws(() => recover(writer.with(newer)), (error) => {
    assert.ok(error instanceof JournalVersionError);
    assert.match(error.message, /has format 4 and this build reads up to 3/);
    return true;
  });
});

both("records that cannot follow each other are told with file and offset", () => {
  const wrong: JournalRecord[][] = [
    [entries(2, 2)],
    [entries(1, 2), entries(2, 3)],
    [entries(1, 2), { kind: "truncate", partition: p1, from: index(4) }],
    [base(4), { kind: "truncate", partition: p1, from: index(4) }],
    [vote(3), vote(2)],
  ];
  for (const records of wrong) {
    const writer = new Writer();
    writer.begin();
    writer.append(records);
    assert.throws(() => recover(writer.segments), JournalCorruptError);
    assert.throws(() => foldRecords(records), /follow one another/);
  }
});

both("what is recovered keeps none of the segment's bytes", () => {
  const writer = new Writer();
  writer.begin();
  writer.append(STORY);
  const { recovered } = recover(writer.segments);
  const before = JSON.stringify(plain(recovered));
  writer.last.bytes.fill(0);
  assert.equal(JSON.stringify(plain(recovered)), before);
});

Deno.test("encodeRecords() refuses a record above LIMITS.journalRecordBytesMax", () => {
  const large: JournalRecord = {
    kind: "entries",
    partition: p1,
    entries: [entry(1, LIMITS.journalRecordBytesMax)],
  };
  assert.throws(() => encodeRecords([large], { firstSequence: 1, durableUpTo: 0, salt: 1 }), RangeError);
});

Deno.test("sequences pass 2^32", () => {
  const bytes = encodeRecords([vote(1)], { firstSequence: 0x1_0000_0000, durableUpTo: 0xffff_ffff, salt: 1 });
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  assert.equal(view.getUint32(8), 1);
  assert.equal(view.getUint32(12), 0);
  assert.equal(view.getUint32(16), 0);
  assert.ok(bytes.length > RECORD_HEADER_BYTES);
});

/** Makes the checksum of a segment's header right again. */
function resealHeader(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(16, crcOf(bytes.subarray(20, 128), crcOf(bytes.subarray(8, 16), 0)));
}

/** CRC-32 bit by bit, from the polynomial. */
function crcOf(bytes: Uint8Array, seed: number): number {
  let crc = ~seed;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

Deno.test("A header that a removed segment left in a new one's place counts as none", () => {
  const first = encodeSegmentHeader({ node: sirius, segment: 1, firstSequence: 1, salt: 1 });
  const said = encodeRecords([vote(7)], { firstSequence: 1, durableUpTo: 0, salt: 1 });
  const second = encodeSegmentHeader({ node: sirius, segment: 2, firstSequence: 9, salt: 2 });
  const head = encodeRecords([vote(8)], { firstSequence: 9, durableUpTo: 8, salt: 2, head: true });
  const mark = encodeMark(1, { firstSequence: 10, durableUpTo: 9, salt: 2 });
  const checkpointed = { name: "journal-2", number: 2, bytes: new Uint8Array([...second, ...head, ...mark]) };
  const left = { name: "journal-3", number: 3, bytes: first };
  const { recovered, append, tail } = recoverJournal([checkpointed, left], sirius);
  assert.equal(recovered.replicas.get(p1)?.term, 8);
  assert.equal(append?.segment, 2);
  assert.deepEqual(tail, { segment: "journal-3", cutAt: 0, bytes: SEGMENT_HEADER_BYTES });
  // With anything behind it, it had been another whole header (J2).
  const grown = { ...left, bytes: new Uint8Array([...first, ...said]) };
  assert.throws(() => recoverJournal([checkpointed, grown], sirius), /journal-3" is damaged at byte 0/);
});
