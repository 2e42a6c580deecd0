import assert from "node:assert/strict";
import { type NodeId, nodeId } from "../../core/base/ids.ts";
import { Random } from "../../core/base/random.ts";
import type { Origin } from "../../core/node/options.ts";
import { recoverJournal } from "../../core/wire/journal_recovery.ts";
import type { Kernel } from "../../core/wire/kernel.ts";
import { DEFAULT_DISK } from "../../sim/disk.ts";
import type { Recover } from "../../sim/journal_disk.ts";
import type { Machine } from "../../sim/machine.ts";
import { DEFAULT_NETWORK, type NetworkOptions } from "../../sim/network.ts";
import { type KernelFactory, World } from "../../sim/world.ts";
import { TOY_FRAMES, ToyKernel } from "./toy_kernel.ts";

const GENESIS = { kind: "genesis", view: null } as unknown as Origin;
const SECOND = 1_000_000;

interface ToyWorld {
  readonly world: World;
  readonly machines: readonly Machine[];
  readonly kernels: ToyKernel[];
}

function toyWorld(options: {
  readonly nodes: number;
  readonly seed?: number;
  readonly network?: Partial<NetworkOptions>;
  readonly fullCodec?: boolean;
  readonly drift?: number;
  readonly kernel?: KernelFactory;
  readonly recover?: Recover;
}): ToyWorld {
  const ids: NodeId[] = Array.from({ length: options.nodes }, (_, i) => nodeId(`n${i}`));
  const kernels: ToyKernel[] = [];
  const world = new World({
    random: Random.fromSeed(options.seed ?? 1),
    network: { ...DEFAULT_NETWORK, ...options.network },
    disk: DEFAULT_DISK,
    distance: (from, to) => Math.abs(from - to) * 1_000_000,
    kernel: options.kernel ?? ((nodeOptions): Kernel => {
      const kernel = new ToyKernel(nodeOptions, ids);
      kernels.push(kernel);
      return kernel;
    }),
    frames: TOY_FRAMES,
    fullCodec: options.fullCodec ?? false,
    recover: options.recover,
  });
  const machines = ids.map((id) =>
    world.addMachine({ id, zone: "z", capacity: 1, clockOffsetUs: 0, clockDriftPpm: options.drift ?? 0 })
  );
  for (const machine of machines) world.start(machine, GENESIS);
  return { world, machines, kernels };
}

const rough: Partial<NetworkOptions> = {
  loss: { numerator: 1, denominator: 20 },
  duplicate: { numerator: 1, denominator: 20 },
  reorder: { numerator: 1, denominator: 10 },
  corrupt: { numerator: 1, denominator: 50 },
};

function roughRun(options: { readonly seed: number; readonly fullCodec?: boolean }): World {
  const { world, machines } = toyWorld({ nodes: 5, network: rough, ...options });
  world.schedule(3 * SECOND, () => world.crash(machines[1]!, false));
  world.schedule(4 * SECOND, () => world.crash(machines[2]!, true));
  world.schedule(5 * SECOND, () => machines.forEach((machine) => world.restart(machine)));
  world.run(20 * SECOND);
  return world;
}

Deno.test("World gives the same digest for the same seed, and another for another", () => {
  const first = roughRun({ seed: 3 }), again = roughRun({ seed: 3 }), other = roughRun({ seed: 4 });
  assert.equal(first.digest.hex(), again.digest.hex());
  assert.equal(first.loop.events, again.loop.events);
  assert.notEqual(first.digest.hex(), other.digest.hex());
  assert.ok(first.steps > 1000);
});

Deno.test("World gives the same digest when every frame goes through the codec", () => {
  assert.equal(roughRun({ seed: 5 }).digest.hex(), roughRun({ seed: 5, fullCodec: true }).digest.hex());
});

Deno.test("World releases sendAfterPersist only when the journal is durable", () => {
  const { world } = toyWorld({ nodes: 3 });
  let durable = 0;
  const persisted = new Map<string, number>();
  world.tracer = (machine, input, effects) => {
    if (input.kind === "persisted") persisted.set(machine.id, input.upTo);
    if (input.kind === "messages") {
      for (const message of input.messages) {
        assert.equal(message.kind, "timeout-now");
        // The toy's term equals its record number, in its first life.
        if (message.kind === "timeout-now") assert.ok((persisted.get(input.from) ?? 0) >= message.term);
        durable++;
      }
    }
    assert.ok(effects.persistedUpTo >= (persisted.get(machine.id) ?? 0));
  };
  world.run(10 * SECOND);
  assert.ok(durable > 100);
});

Deno.test("World wakes a node when it asked for, on its own clock", () => {
  for (const drift of [0, 50_000, -50_000]) {
    const { world, kernels } = toyWorld({ nodes: 1, drift });
    world.run(10 * SECOND);
    const wakes = kernels[0]!.inputs.filter(({ input }) => input.kind === "wake").map(({ now }) =>
      now as number
    );
    assert.ok(
      Math.abs(wakes.length - 200 * (1 + drift / 1e6)) <= 1,
      `${wakes.length} wakes at drift ${drift}`,
    );
    assert.ok(wakes.every((now, i) => now - (i === 0 ? 0 : wakes[i - 1]!) <= 50_002));
  }
});

Deno.test("World leaves no stale wake events behind a node that moves its wake to and fro", () => {
  const { world } = toyWorld({
    nodes: 1,
    kernel: (options) => {
      const toy = new ToyKernel(options, [], 1000);
      let near = false;
      const kernel: Kernel = {
        step: (input, now) => {
          near = !near;
          return toy.step(input, now);
        },
        nextWake: () =>
          near ? toy.nextWake() : (toy.nextWake() + 1_000_000 as ReturnType<Kernel["nextWake"]>),
        fingerprint: () => 0,
      };
      return kernel;
    },
  });
  world.run(100 * SECOND);
  assert.ok(world.loop.pending < 10, `${world.loop.pending} events wait`);
});

Deno.test("World stops a node that asks to be woken for a time that has come, over and over", () => {
  const { world } = toyWorld({
    nodes: 1,
    kernel: (options) => {
      const toy = new ToyKernel(options, []);
      return {
        step: (i, n) => toy.step(i, n),
        nextWake: () => 0 as ReturnType<Kernel["nextWake"]>,
        fingerprint: () => 0,
      };
    },
  });
  assert.throws(() => world.run(SECOND), /nextWake\(\) moves on/);
});

Deno.test("World.crash() then restart() gives back what was durable", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { world, machines, kernels } = toyWorld({ nodes: 2, seed });
    let durable = 0;
    world.tracer = (machine, input) => {
      if (machine.index === 0 && input.kind === "persisted") durable = input.upTo;
    };
    world.run(SECOND + 100 + seed * 37);
    const before = kernels[0]!.term;
    world.crash(machines[0]!, false);
    world.restart(machines[0]!);
    const after = kernels.at(-1)!.term;
    assert.ok(after >= durable && after <= before, `${after} between ${durable} and ${before}`);
    assert.deepEqual(world.violations, []);
  }
});

Deno.test("World tells peers that a node is lost, but not after power loss", () => {
  for (const silent of [false, true]) {
    const { world, machines, kernels } = toyWorld({ nodes: 3 });
    world.run(5 * SECOND);
    world.crash(machines[0]!, silent);
    world.run(10 * SECOND);
    const told = kernels.slice(1).flatMap((kernel) => kernel.inputs).filter(({ input }) =>
      input.kind === "peer-lost"
    );
    assert.equal(told.length > 0, !silent);
  }
});

Deno.test("World.cut() stops one direction, healing lets it work again", () => {
  const { world, machines, kernels } = toyWorld({ nodes: 2 });
  const received = (kernel: ToyKernel) =>
    kernel.inputs.filter(({ input }) => input.kind === "messages").length;
  world.run(SECOND);
  world.cut(machines[0]!, machines[1]!, false);
  world.run(SECOND + 10_000);
  const [zero, one] = kernels.map(received);
  world.run(3 * SECOND);
  assert.equal(received(kernels[1]!), one);
  assert.ok(received(kernels[0]!) > zero! + 10);
  world.heal(machines[0]!, machines[1]!);
  world.run(4 * SECOND);
  assert.ok(received(kernels[1]!) > one!);
});

Deno.test("World.slow() makes inputs wait their turn, in order", () => {
  const { world, machines, kernels } = toyWorld({ nodes: 3 });
  world.slow(machines[0]!, 100_000);
  world.run(5 * SECOND);
  const slow = kernels[0]!.inputs;
  assert.ok(slow.length > 30 && slow.length <= 51, `${slow.length} inputs in 5 s at 10 a second`);
  world.slow(machines[0]!, 0);
  world.run(20 * SECOND);
  assert.ok(slow.length > 200);
  const persisted = slow.flatMap(({ input }) => input.kind === "persisted" ? [input.upTo] : []);
  assert.deepEqual(persisted, persisted.toSorted((x, y) => x - y));
});

Deno.test("World carries clients' requests and replies, and tells them of lost connections", () => {
  const { world, machines } = toyWorld({ nodes: 2 });
  const seen: string[] = [];
  const client = world.addClient({
    wake: (now) => seen.push(`wake ${now}`),
    received: (connection, replies) => seen.push(`${connection} ${replies.map((reply) => reply.id)}`),
    lost: (connection) => seen.push(`lost ${connection}`),
  });
  const request = { op: { kind: "status" } } as const;
  const connection = world.connect(client, machines[0]!);
  world.request(connection, [{ id: 7, request }, { id: 8, request }]);
  world.wakeClient(client, SECOND);
  world.run(SECOND);
  assert.deepEqual(seen, ["0 7,8", `wake ${SECOND}`]);
  world.crash(machines[0]!, false);
  world.run(2 * SECOND);
  assert.equal(seen.at(-1), "lost 0");
  world.connect(client, machines[0]!);
  world.run(3 * SECOND);
  assert.equal(seen.at(-1), "lost 1");
});

Deno.test("World.crash() makes the client's connection lost after power loss only when the node is back", () => {
  const { world, machines } = toyWorld({ nodes: 1 });
  const seen: string[] = [];
  const client = world.addClient({
    wake: () => {},
    received: () => seen.push("reply"),
    lost: (connection) => seen.push(`lost ${connection}`),
  });
  const connection = world.connect(client, machines[0]!);
  world.crash(machines[0]!, true);
  world.request(connection, [{ id: 1, request: { op: { kind: "status" } } }]);
  world.run(SECOND);
  assert.deepEqual(seen, []);
  world.restart(machines[0]!);
  world.request(connection, [{ id: 2, request: { op: { kind: "status" } } }]);
  world.run(2 * SECOND);
  assert.deepEqual(seen, ["lost 0"]);
});

Deno.test("World.stop() lets a node leave in good order", () => {
  const { world, machines } = toyWorld({ nodes: 2 });
  world.run(SECOND);
  world.stop(machines[0]!);
  assert.equal(machines[0]!.power, "left");
  world.run(2 * SECOND);
  assert.deepEqual(world.violations, []);
});

Deno.test("World reports a node that throws, and goes on without it", () => {
  const { world, machines } = toyWorld({
    nodes: 2,
    kernel: (options) => {
      const toy = new ToyKernel(options, []);
      return {
        step: (input, now) => {
          if (options.id === "n1" && now > SECOND) throw new Error("boom");
          return toy.step(input, now);
        },
        nextWake: () => toy.nextWake(),
        fingerprint: () => 0,
      };
    },
  });
  world.run(2 * SECOND);
  assert.equal(machines[1]!.power, "broken");
  assert.match(world.violations[0]!.detail, /n1 threw: boom/);
  assert.ok(machines[0]!.running);
});

Deno.test("World.failSync(): what waited for the sync never leaves, and the node is down until it starts again", () => {
  const { world, machines, kernels } = toyWorld({ nodes: 2 });
  let told = 0;
  world.run(SECOND);
  const heard = () => kernels[1]!.inputs.filter(({ input }) => input.kind === "messages").length;
  world.failSync(machines[0]!, () => told++);
  // The next tick writes a record and a message that waits for it.
  while (machines[0]!.running) world.run(world.loop.now + 1000);
  const before = heard(), { term } = kernels[0]!;
  assert.equal(machines[0]!.power, "down");
  assert.equal(told, 1);
  world.run(world.loop.now + SECOND);
  assert.equal(heard(), before);
  world.restart(machines[0]!);
  assert.ok(kernels.at(-1)!.term <= term);
  world.run(world.loop.now + SECOND);
  assert.ok(heard() > before);
});

Deno.test("World.setRoom() tells the node that room is short, and takes it down when it writes more than there is", () => {
  const { world, machines, kernels } = toyWorld({ nodes: 2 });
  world.run(SECOND);
  // Each tick writes one record of about 64 bytes.
  world.setRoom(machines[0]!, 64 * 8, 64 * 4);
  world.run(world.loop.now + 4 * SECOND);
  const space = kernels[0]!.inputs.flatMap(({ input }) => input.kind === "space" ? [input.low] : []);
  assert.deepEqual(space, [true]);
  assert.equal(machines[0]!.power, "down");
  world.restart(machines[0]!);
  world.run(world.loop.now + SECOND);
  assert.equal(machines[0]!.power, "down", "still full");
  world.setRoom(machines[0]!, Infinity, 0);
  world.restart(machines[0]!);
  world.run(world.loop.now + SECOND);
  assert.ok(machines[0]!.running);
});

Deno.test("World.restart() of a machine whose journal is damaged retires it, and says so", () => {
  const { world, machines } = toyWorld({ nodes: 2 });
  const lost: Machine[] = [];
  world.onLost = (machine) => lost.push(machine);
  world.run(SECOND);
  assert.ok(machines[0]!.disk.damageJournal("rot", Random.fromSeed(1), world.loop.now));
  world.crash(machines[0]!, false);
  assert.deepEqual([lost.length, machines[0]!.power], [0, "crashed"]);
  world.restart(machines[0]!);
  assert.deepEqual([lost[0]?.id, machines[0]!.power, machines[0]!.retired], [machines[0]!.id, "lost", true]);
  world.restart(machines[0]!);
  assert.equal(lost.length, 1);
  assert.deepEqual(world.violations, []);
});

Deno.test("World reports a recovery that takes a damaged journal for a whole one", () => {
  const recover: Recover = (segments, node, keys) => {
    const bytes = segments[0]!.bytes.subarray(0, 128);
    return recoverJournal([{ name: segments[0]!.name, bytes }], node, keys);
  };
  const { world, machines } = toyWorld({ nodes: 2, recover });
  world.run(SECOND);
  assert.ok(machines[0]!.disk.damageJournal("lost-write", Random.fromSeed(1), world.loop.now));
  for (const machine of machines) world.crash(machine, false);
  assert.deepEqual(world.violations.map(({ check }) => check), ["damage is detected", "recovery"]);
  assert.deepEqual(machines.map(({ power }) => power), ["broken", "broken"]);
});
