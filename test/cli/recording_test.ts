/** Real nodes write recordings while they are hurt; `sim replay` comes to the same, and notices what was changed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeItem, encodeItemFrame, encodePartHeader, PartReader } from "../../core/wire/recording.ts";
import type { RecordingItem } from "../../core/wire/recording.ts";
import { untilSettled } from "../../cli/settled.ts";
import { FLAGS, type Lab, program, withLab } from "./support.ts";

/** Three nodes under load; b is killed, the load goes on, b comes back. Returns the names of their recordings. */
async function recordedNetwork(lab: Lab): Promise<{ a: string; b: string; c: string }> {
  const file = (id: string) => join(lab.directory, `${id}.flight`);
  const flags = (id: string) => [...FLAGS, "--record", file(id)];
  const a = await lab.start({ id: "a", flags: flags("a") });
  const start = (id: string) => lab.start({ id, join: a.address, flags: flags(id) });
  const [b, c] = await Promise.all([start("b"), start("c")]);
  const client = await lab.client(a, b, c);
  await untilSettled(client, { members: 3, msMax: 90_000 });
  const load = (round: string) =>
    Promise.all(Array.from({ length: 100 }, (_, i) => client.put(`key/${i}`, `${round} ${i}`)));
  await load("first");
  await b.kill();
  await load("second");
  const again = await lab.start({ id: "b", listen: b.address, flags: flags("b") });
  await load("third");
  const counters = new Map((await client.status(again.ready.node as never)).counters);
  assert.equal(counters.get("recording"), 1);
  assert(counters.get("recorded steps")! > 0);
  for (const node of [a, again, c]) assert.equal(await node.stop(), 0);
  return { a: file("a"), b: file("b"), c: file("c") };
}

interface Summary {
  readonly equal: boolean;
  readonly steps: number;
  readonly lives: readonly { origin: string; steps: number; states: number; end: string | null }[];
}

Deno.test("what real nodes recorded through a kill and a restart replays step by step, and no change goes unnoticed", () =>
  withLab(async (lab) => {
    const { a, b, c } = await recordedNetwork(lab);
    const all = await program("sim", "replay", "--json", a, b, c);
    assert.equal(all.code, 0, all.stderr);
    const { equal, lives, steps } = JSON.parse(all.stdout) as Summary;
    assert.equal(equal, true);
    assert.deepEqual(lives.map(({ origin }) => origin), ["genesis", "joined", "recovered", "joined"]);
    assert.deepEqual(lives.map(({ end }) => end), ["stopped", null, "stopped", "stopped"]);
    assert(lives.filter(({ end }) => end !== null).every(({ states }) => states > 0));
    assert(steps > 300, `${steps} steps`);
    assert.equal(Deno.statSync(`${a}.000001`).mode! & 0o777, 0o600);

    await looksInside(a);
    await cutsATornEnd(`${b}.000001`, lives[1]!.steps);
    await refusesAFlippedByte(`${a}.000001`);
    await findsAChangedInput(`${c}.000001`);
    const foreign = await program("sim", "replay", `${a.replace("a.flight", "a.log")}`);
    assert.equal(foreign.code, 1);
    assert.match(foreign.stderr, /is no recording/);
  }));

async function looksInside(file: string): Promise<void> {
  const until = await program("sim", "replay", file, "--until", "20");
  assert.match(until.stdout, /After step 20, .*\n {4}a active view .*\n {4}p0 /);
  assert.equal(until.stderr, "");
  const past = await program("sim", "replay", file, "--until", "9999h");
  assert.match(
    past.stderr,
    /^Life 1 ended, or its recording did, before --until: at step \d+, \d+\.\d+ s into it/,
  );
  assert.equal(past.code, 0);
  const step = await program("sim", "replay", file, "--step", "1");
  assert.match(step.stdout, /\n +1 +0\.\d+ s {2}start\n {4}→ persist view v0 e1/);
  const lines = (await program("sim", "replay", file, "--from", "5", "--until", "9", "--json")).stdout.trim()
    .split("\n");
  assert.deepEqual(lines.slice(0, 5).map((line) => JSON.parse(line).step), [5, 6, 7, 8, 9]);
  const quiet = await program("sim", "replay", file, "--quiet");
  assert.deepEqual([quiet.code, quiet.stdout], [0, ""]);
}

async function cutsATornEnd(part: string, steps: number): Promise<void> {
  const bytes = Deno.readFileSync(part);
  Deno.writeFileSync(part, bytes.subarray(0, bytes.length - 5));
  const { code, stdout } = await program("sim", "replay", "--json", part);
  const torn = JSON.parse(stdout) as Summary;
  assert.equal(code, 0);
  assert(torn.steps > 0 && torn.steps < steps, `${torn.steps} of ${steps}`);
}

async function refusesAFlippedByte(part: string): Promise<void> {
  const bytes = Deno.readFileSync(part);
  const middle = bytes.length >> 1;
  bytes[middle]! ^= 1;
  Deno.writeFileSync(`${part}.flipped`, bytes);
  const { code, stderr } = await program("sim", "replay", `${part}.flipped`);
  assert.equal(code, 1);
  assert.match(stderr, /flipped" is damaged at byte \d+: .*checksum.*steps before it were as recorded/);
}

/** Written anew as a recorder would have, with one input that is another. */
async function findsAChangedInput(part: string): Promise<void> {
  const reader = new PartReader({ file: part, bytes: Deno.readFileSync(part), last: true });
  const items: RecordingItem[] = [];
  for (let found; (found = reader.next()) !== null;) items.push(...found);
  let step = 0, changed = 0;
  const other = items.map((item): RecordingItem => {
    if (item.kind !== "step") return item;
    step++;
    const { input } = item;
    if (changed > 0 || step < 50 || input.kind !== "messages") return item;
    const at = input.messages.findIndex((message) => message.kind === "append" && message.entries.length > 0);
    if (at < 0) return item;
    changed = step;
    const messages = input.messages.filter((_, i) => i !== at);
    return { ...item, input: { ...input, messages } };
  });
  assert(changed > 0);
  const frame = encodeItemFrame(other.map(encodeItem), { number: 0, salt: reader.header.salt });
  using file = Deno.openSync(`${part}.changed`, { create: true, write: true });
  file.writeSync(encodePartHeader(reader.header));
  file.writeSync(frame);
  const { code, stderr } = await program("sim", "replay", `${part}.changed`);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`step ${changed}, .*not as recorded`));
  assert.match(
    stderr,
    /recorded {2}fingerprint [0-9a-f]{8}, effects [0-9a-f]{8}\n {2}replayed {2}fingerprint/,
  );
}
