import assert from "node:assert/strict";
import type { Instant, LogIndex, Term } from "../../core/base/ids.ts";
import type { ClientRequest, Effects, Input } from "../../core/wire/kernel.ts";
import type { Response } from "../../core/wire/requests.ts";
import type { InspectableSlot } from "../../sim/inspect.ts";
import { compareRuns } from "../../sim/replay.ts";
import { Run, type RunResult } from "../../sim/run.ts";
import type { ScenarioInput } from "../../sim/scenario.ts";
import type { KernelFactory } from "../../sim/world.ts";
import { BrokenNode } from "./broken_node.ts";
import { smallScenario, STARS } from "./scenarios.ts";

const ROUGH: Partial<ScenarioInput> = {
  network: { loss: "1/500", duplicate: "1/300", reorder: "1/200", corrupt: "1/2000" },
  clock: { offset: "2s", driftPpm: 500 },
  faults: [
    { do: "crash", every: "4s", for: "1s..2s" },
    { do: "partition", at: "6s", count: 1, for: "2s", noticed: "1/2" },
    { do: "join", at: "9s" },
    { do: "slow", at: "12s", by: "1ms", for: "2s" },
    { do: "jump", at: "14s", by: "1s" },
  ],
};

function failures(result: RunResult): string[] {
  return result.checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
}

Deno.test("Run of a calm network holds every check and answers every client", () => {
  const result = new Run({ scenario: smallScenario(), stars: STARS, seed: 1 }).run();
  assert.deepEqual(failures(result), []);
  assert.ok(result.clients.operations > 1000);
  assert.deepEqual(result.clients.refusals, []);
});

Deno.test("Run reads every key at the end that transactions wrote, however few keys the others work on", () => {
  for (const keys of [1, 5, 20]) {
    const workload = { clients: 4, every: "60ms", keys, percent: { get: 10, transact: 60 } };
    const result = new Run({ scenario: smallScenario({ workload }), stars: STARS, seed: 1 }).run();
    assert.deepEqual(failures(result), [], `${keys} keys`);
  }
});

Deno.test("Run through crashes, cuts and a rough network holds every check", () => {
  const result = new Run({ scenario: smallScenario(ROUGH), stars: STARS, seed: 2 }).run();
  assert.deepEqual(failures(result), []);
  assert.equal(result.faults.length, 5);
});

Deno.test("Run gives the same digest through the full codec", () => {
  const options = { scenario: smallScenario(ROUGH), stars: STARS, seed: 3 };
  assert.equal(compareRuns(options, { ...options, fullCodec: true }).kind, "equal");
});

Deno.test("Run grows a network one by one", () => {
  const scenario = smallScenario({ cluster: { form: "grow", start: 4, settings: { partitions: 4 } } });
  const result = new Run({ scenario, stars: STARS, seed: 5 }).run();
  assert.deepEqual(failures(result), []);
  assert.equal(result.nodes.running, 4);
});

Deno.test("compareRuns() finds the first differing step of two runs", () => {
  let asked = 0;
  class Strange extends BrokenNode {
    override fingerprint(): number {
      return this.node.id === "star-2" && ++asked > 300 ? 1 : this.node.fingerprint();
    }
  }
  const options = { scenario: smallScenario({ duration: "5s" }), stars: STARS, seed: 4 };
  const compared = compareRuns(options, { ...options, kernel: (nodeOptions) => new Strange(nodeOptions) });
  assert.ok(compared.kind === "different");
  const left = compared.step?.left, right = compared.step?.right;
  assert.equal(left?.node, "star-2");
  assert.deepEqual([left?.time, left?.sequence, left?.input], [right?.time, right?.sequence, right?.input]);
  assert.notEqual(left?.fingerprint, right?.fingerprint);
});

// ---- each checker catches a node that breaks its rule

/** The checks that did not hold with this kernel. */
function broken(kernel: KernelFactory, more: Partial<ScenarioInput> = {}): string[] {
  const result = new Run({ scenario: smallScenario(more), stars: STARS, seed: 6, kernel }).run();
  return result.checks.filter(({ ok }) => !ok).map(({ name }) => name);
}

/** Answers clients itself instead of the network. */
abstract class Forger extends BrokenNode {
  abstract answer(request: ClientRequest): Response | null;

  override step(input: Input, now: Instant): Effects {
    if (input.kind !== "requests") return super.step(input, now);
    const forged: [ClientRequest, Response][] = [], honest: ClientRequest[] = [];
    for (const request of input.requests) {
      const response = this.answer(request);
      if (response === null) honest.push(request);
      else forged.push([request, response]);
    }
    const effects = super.step({ kind: "requests", requests: honest }, now);
    for (const [{ client, id }, response] of forged) effects.reply(client, id, response);
    return effects;
  }
}

Deno.test("linearizability catches a node that answers reads from what it saw before", () => {
  const old = new Map<string, Response>();
  class Stale extends Forger {
    #asked = new Map<string, string>();
    answer({ client, id, request: { op } }: ClientRequest): Response | null {
      if (op.kind !== "get") return null;
      this.#asked.set(`${client} ${id}`, op.key);
      return old.get(op.key) ?? null;
    }
    override step(input: Input, now: Instant): Effects {
      const effects = super.step(input, now);
      for (const { client, id, response } of effects.replies) {
        const key = this.#asked.get(`${client} ${id}`);
        if (key !== undefined && response.kind === "value" && !old.has(key)) old.set(key, response);
      }
      return effects;
    }
  }
  assert.ok(broken((options) => new Stale(options)).includes("linearizability"));
});

Deno.test("no acknowledged write lost catches a node that acknowledges and does nothing", () => {
  class Careless extends Forger {
    answer({ request: { op } }: ClientRequest): Response | null {
      if (op.kind !== "put") return null;
      const version = { term: 1 as Term, index: 1_000_000 as LogIndex };
      return { kind: "written", version, existed: true };
    }
  }
  assert.ok(broken((options) => new Careless(options)).includes("no acknowledged write lost"));
});

Deno.test("stale reads are as old as they say catches a node that answers from long ago and says it is new", () => {
  const old = new Map<string, Response>();
  class Liar extends Forger {
    answer({ request: { op } }: ClientRequest): Response | null {
      if (op.kind !== "get" || op.read !== "stale") return null;
      const known = old.get(op.key);
      if (known === undefined) old.set(op.key, { kind: "value", found: null, ageUs: 0 });
      return known ?? null;
    }
  }
  const workload = { clients: 6, every: "60ms", keys: 5, percent: { get: 10, stale: 20, delete: 0 } };
  const found = broken((options) => new Liar(options), { workload });
  assert.deepEqual(found, ["stale reads are as old as they say"]);
});

Deno.test("watches tell all in order catches a node that swallows an event now and then", () => {
  class Silent extends BrokenNode {
    #told = 0;
    override step(input: Input, now: Instant): Effects {
      const effects = super.step(input, now);
      for (let i = effects.replies.length - 1; i >= 0; i--) {
        const { response } = effects.replies[i]!;
        if (response.kind === "events" && ++this.#told % 10 === 0) effects.replies.splice(i, 1);
      }
      return effects;
    }
  }
  const workload = { clients: 4, every: "60ms", keys: 20, watchers: 1 };
  assert.deepEqual(broken((options) => new Silent(options), { workload }), ["watches tell all in order"]);
  assert.deepEqual(broken((options) => new BrokenNode(options), { workload }), []);
});

Deno.test("equal state at equal index catches a replica that applies something else", () => {
  class Different extends BrokenNode {
    override replicas(): readonly InspectableSlot[] {
      if (this.node.id !== "star-1") return super.replicas();
      return super.replicas().map(({ partition, replica, catalog, system }) => ({
        partition,
        replica,
        system,
        catalog: catalog === null ? null : { stateDigest: () => catalog.stateDigest() ^ 1 },
      }));
    }
  }
  assert.ok(broken((options) => new Different(options)).includes("equal state at equal index"));
});

Deno.test("placement as the epoch says catches a node that keeps a replica to itself", () => {
  class Hoarder extends BrokenNode {
    override replicas(): readonly InspectableSlot[] {
      return this.node.id === "star-1" ? super.replicas().slice(1) : super.replicas();
    }
  }
  assert.ok(broken((options) => new Hoarder(options)).includes("placement as the epoch says"));
});

Deno.test("converged catches a node that turns deaf", () => {
  class Deaf extends BrokenNode {
    override step(input: Input, now: Instant): Effects {
      const isDeaf = input.kind === "messages" && this.node.id === "star-1" && now > 10_000_000;
      return super.step(isDeaf ? { ...input, messages: [] } : input, now);
    }
  }
  assert.ok(broken((options) => new Deaf(options)).includes("converged"));
});

Deno.test("no node stops by itself catches a node that throws", () => {
  class Fragile extends BrokenNode {
    override step(input: Input, now: Instant): Effects {
      if (this.node.id === "star-3" && now > 9_000_000) throw new Error("too old");
      return super.step(input, now);
    }
  }
  assert.ok(broken((options) => new Fragile(options)).includes("no node stops by itself"));
});

Deno.test("the checks of Raft catch nodes whose disks lie", () => {
  /** Lets out at once what had to wait for the disk, and tells the node that all is durable. */
  class Hasty extends BrokenNode {
    override step(input: Input, now: Instant): Effects {
      const effects = super.step(input, now);
      effects.sendNow.push(...effects.sendAfterPersist);
      effects.sendAfterPersist.length = 0;
      return effects;
    }
  }
  const more: Partial<ScenarioInput> = {
    duration: "40s",
    disk: { sync: "50ms..200ms" },
    faults: [{ do: "crash", every: "1500ms", share: "3/4", for: "200ms..500ms" }],
    workload: { clients: 12, every: "20ms", keys: 20 },
  };
  const found = broken((options) => new Hasty(options), more);
  const raft = ["one leader a term", "log matching", "leader completeness", "state machine safety"];
  assert.ok(found.some((name) => raft.includes(name)), found.join(", "));
});
