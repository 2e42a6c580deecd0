/** Nodes of the simulator write recordings in the real format; the replay must come to the same, and notice when not. */
import assert from "node:assert/strict";
import { instant } from "../../core/base/ids.ts";
import { InvariantError } from "../../core/base/invariant.ts";
import { Random } from "../../core/base/random.ts";
import { Node } from "../../core/node/node.ts";
import type { NodeOptions } from "../../core/node/options.ts";
import type { Input } from "../../core/wire/kernel.ts";
import { decodeWith } from "../../core/wire/codec.ts";
import { readItem, type RecordingItem } from "../../core/wire/recording.ts";
import { LifeError, LifeReplay, type ReplayedState, type ReplayedStep } from "../../sim/recording_replay.ts";
import { Run } from "../../sim/run.ts";
import type { ScenarioInput } from "../../sim/scenario.ts";
import { MemoryTables } from "../../sim/tables.ts";
import { MemoryRecording, readItems } from "../support/recordings.ts";
import { smallScenario, STARS } from "./scenarios.ts";

/** One recording for each life of each node of a short run with crashes, restarts, joins and lost messages. */
function recordedRun(change: Partial<ScenarioInput> = {}): MemoryRecording[] {
  const recordings: MemoryRecording[] = [];
  const kernel = (options: NodeOptions) => {
    const recording = new MemoryRecording(options);
    recordings.push(recording);
    return recording.node;
  };
  const scenario = smallScenario({
    duration: "12s",
    network: { loss: "1/50" },
    faults: [
      { do: "crash", every: "3s", for: "1s" },
      { do: "join", at: "2s" },
      { do: "drain", at: "6s" },
    ],
    ...change,
  });
  const { violations } = runOf(scenario, kernel).world;
  assert.deepEqual(violations, []);
  return recordings;
}

function runOf(scenario: ReturnType<typeof smallScenario>, kernel: (options: NodeOptions) => Node): Run {
  const run = new Run({ scenario, stars: STARS, seed: 11, kernel });
  run.run();
  return run;
}

type Found = ReplayedStep | ReplayedState;

/** Replays to the end, or to the first thing that is not as recorded. */
function replayed(
  items: () => Iterable<RecordingItem>,
  make?: (options: NodeOptions) => Node,
): { replay: LifeReplay; different: Found | null } {
  const replay = LifeReplay.open(items, make);
  assert(replay !== null);
  for (let found; (found = replay.next()) !== null;) if (!found.equal) return { replay, different: found };
  return { replay, different: null };
}

const recordings = recordedRun();

/** The life with the most steps. */
const longest = recordings.reduce((one, other) =>
  one.node.recordedSteps >= other.node.recordedSteps ? one : other
);
const longestItems = [...readItems(longest.bytes())];
const itemsOf = (recording: MemoryRecording) => () => readItems(recording.bytes());

Deno.test("LifeReplay does every step of every node of a run with crashes, restarts and joins as recorded", () => {
  let steps = 0;
  const origins = new Set<string>();
  for (const recording of recordings) {
    recording.node.recordState();
    const { replay, different } = replayed(itemsOf(recording));
    assert.equal(different, null);
    assert.equal(replay.steps, recording.node.recordedSteps);
    assert(replay.states >= 1);
    assert.equal(replay.describe().join("\n"), described(recording.node));
    steps += replay.steps;
    origins.add(replay.life.origin);
  }
  assert.deepEqual([...origins].sort(), ["genesis", "joined", "recovered"]);
  assert(steps > 10_000, `${steps} steps`);
});

Deno.test("LifeReplay does every step of the nodes of a private network: joins, an eviction and rotations", () => {
  const recorded = recordedRun({
    security: "private",
    faults: [
      { do: "invite", at: "2s", joiners: 1 },
      { do: "rotate-keys", every: "3s" },
      { do: "evict", at: "7s" },
      { do: "intrude", every: "2s" },
      { do: "crash", every: "5s", for: "1s" },
    ],
  });
  const told = new Set<string>();
  for (const recording of recorded) {
    assert.equal(replayed(itemsOf(recording)).different, null);
    for (const item of readItems(recording.bytes())) if (item.kind === "step") told.add(item.input.kind);
  }
  assert(told.has("keys") && told.has("key-made"), [...told].join());
});

function described(node: Node): string {
  return [
    node.describe(),
    ...node.replicas().map(({ replica, catalog }) =>
      catalog === null ? replica.describe() : `${replica.describe()} · ${catalog.describe()}`
    ),
  ].join("\n");
}

/** The item at `at` in another form. */
function changed(at: number, change: (item: RecordingItem) => RecordingItem): () => Iterable<RecordingItem> {
  const items = longestItems.map((item, i) => i === at ? change(item) : item);
  return () => items;
}

/** Where in the longest life the first step is, from its middle on, whose input is of this kind and fits. */
function positionOf<K extends Input["kind"]>(
  kind: K,
  fits: (input: Extract<Input, { kind: K }>) => boolean,
): number {
  const position = longestItems.findIndex((item, i) =>
    i > longestItems.length / 2 && item.kind === "step" && item.input.kind === kind &&
    fits(item.input as Extract<Input, { kind: K }>)
  );
  assert(position > 0, `no ${kind}`);
  return position;
}

/** The number of the step at a position: all items before the first step but none after are of the beginning. */
function stepNumber(position: number): number {
  return longestItems.slice(0, position + 1).filter(({ kind }) => kind === "step").length;
}

function assertDifferentAt(position: number, items: () => Iterable<RecordingItem>): void {
  const { different } = replayed(items);
  assert.equal(different?.kind, "step");
  assert.equal(different.number, stepNumber(position));
}

Deno.test("LifeReplay stops at the step whose message was changed by one entry", () => {
  const position = positionOf(
    "messages",
    (input) => input.messages.some((m) => m.kind === "append" && m.entries.length > 0),
  );
  assertDifferentAt(
    position,
    changed(position, (item) => {
      assert(item.kind === "step" && item.input.kind === "messages");
      const messages = item.input.messages.map((message) =>
        message.kind !== "append"
          ? message
          : { ...message, entries: message.entries.map((entry) => ({ ...entry, data: entry.data.slice(1) })) }
      );
      return { ...item, input: { ...item.input, messages } };
    }),
  );
});

Deno.test("LifeReplay stops at the step whose put had another value", () => {
  const position = positionOf("requests", (input) => input.requests.some((r) => r.request.op.kind === "put"));
  assertDifferentAt(
    position,
    changed(position, (item) => {
      assert(item.kind === "step" && item.input.kind === "requests");
      const requests = item.input.requests.map(({ request, ...rest }) => {
        const { op } = request;
        const value = new Uint8Array(3);
        return { ...rest, request: op.kind === "put" ? { ...request, op: { ...op, value } } : request };
      });
      return { ...item, input: { ...item.input, requests } };
    }),
  );
});

Deno.test("LifeReplay stops at a step whose recorded fingerprint or digest is another by one bit", () => {
  for (const part of ["fingerprint", "digest"] as const) {
    const position = positionOf("wake", () => true);
    assertDifferentAt(
      position,
      changed(position, (item) => item.kind === "step" ? { ...item, [part]: (item[part] ^ 1) >>> 0 } : item),
    );
  }
});

Deno.test("LifeReplay stops where an input is missing", () => {
  const position = positionOf("persisted", () => true);
  const { different } = replayed(() => longestItems.filter((_, i) => i !== position));
  assert.equal(different?.equal, false);
});

Deno.test("LifeReplay stops at a recorded state that is another", () => {
  const state: RecordingItem = {
    kind: "state",
    view: longest.node.view().version,
    partitions: longest.node.replicas().map(({ partition, replica }) => ({
      partition,
      applied: replica.appliedIndex,
      digest: 1,
    })),
  };
  const { different } = replayed(() => [...longestItems.filter(({ kind }) => kind !== "state"), state]);
  assert.equal(different?.kind, "state");
  assert.match(different.differences.join(), /partition \d+ \d+:00000001 recorded/);
});

Deno.test("LifeReplay finds a node that begins from other random numbers or rows", () => {
  const different = (change: (options: NodeOptions) => NodeOptions, from = longestItems) =>
    replayed(() => from, (options) => new Node(change(options))).different;
  assert.notEqual(different((options) => ({ ...options, random: Random.fromSeed(1) })), null);
  const again = recordings.find(({ node, items }) =>
    node !== longest.node && items.length > 0 && isRecovered(items)
  );
  assert(again !== undefined);
  const items = [...readItems(again.bytes())];
  assert.equal(replayed(() => items).different, null);
  assert.notEqual(different((options) => ({ ...options, tables: new MemoryTables() }), items), null);
});

function isRecovered(items: readonly Uint8Array[]): boolean {
  const first = decodeWith(items[0]!, readItem);
  return first.kind === "life" && first.life.origin === "recovered";
}

Deno.test("RecordedNode writes down the step that broke a rule, and the replay breaks it again", () => {
  const { life, origin } = firstLife();
  const options = {
    id: life.node,
    address: life.address,
    origin,
    random: Random.fromSeed(5),
    tables: new MemoryTables(),
  };
  const recording = new MemoryRecording(options);
  recording.node.step({ kind: "start" }, instant(1));
  assert.throws(() => recording.node.step({ kind: "start" }, instant(2)), InvariantError);
  const items = [...readItems(recording.bytes())], last = items.at(-1)!;
  assert(last.kind === "broke" && last.now === 2 && /started once/.test(last.message));
  assert.equal(replayed(() => items).different, null);
  // A node that does not break is another one, and so is one that breaks on something else.
  const instead = (item: RecordingItem) => replayed(() => [...items.slice(0, -1), item]).different;
  const did = instead({ ...last, input: { kind: "wake" } });
  assert(did?.kind === "step" && did.number === 2 && did.replayed.kind === "done");
  const other = instead({ ...last, message: "Something else" });
  assert(other?.kind === "step" && other.number === 2 && other.replayed.kind === "broke");
  const went = instead({ kind: "step", now: last.now, input: last.input, fingerprint: 1, digest: 1 });
  assert(went?.kind === "step" && went.number === 2 && went.replayed.kind === "broke");
});

/** The beginning of a founder of the run. */
function firstLife() {
  const found = recordings.map(({ items }) => decodeWith(items[0]!, readItem)).find((item) =>
    item.kind === "life" && item.life.view !== null
  );
  assert(found?.kind === "life" && found.life.view !== null);
  return { life: found.life, origin: { kind: "joined", view: found.life.view } as const };
}

Deno.test("LifeReplay has nothing to replay where the beginning is not whole, and refuses one that contradicts itself", () => {
  const begun = longestItems.findIndex(({ kind }) => kind === "begun");
  assert.equal(LifeReplay.open(() => longestItems.slice(0, begun)), null);
  assert.equal(LifeReplay.open(() => []), null);
  const open = (items: readonly RecordingItem[]) => () => LifeReplay.open(() => items);
  assert.throws(open(longestItems.slice(1)), LifeError);
  assert.throws(open([longestItems[0]!, ...longestItems]), LifeError);
  assert.throws(
    open(longestItems.map((item) => item.kind === "begun" ? { ...item, rows: 7 } : item)),
    LifeError,
  );
  const end: RecordingItem = { kind: "end", reason: "stopped", steps: 3 };
  assert.throws(() => replayed(() => [...longestItems, end]), LifeError);
});
