/** Runs of private networks, and for each check of theirs a machine that breaks its rule. */
import assert from "node:assert/strict";
import type { Instant, NodeId } from "../../../core/base/ids.ts";
import type { Effects, Input } from "../../../core/wire/kernel.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { InspectableSlot } from "../../../sim/inspect.ts";
import { compareRuns } from "../../../sim/replay.ts";
import { Run, type RunResult } from "../../../sim/run.ts";
import type { ScenarioInput } from "../../../sim/scenario.ts";
import type { KernelFactory } from "../../../sim/world.ts";
import { BrokenNode } from "../broken_node.ts";
import { smallScenario, STARS } from "../scenarios.ts";

const PRIVATE: Partial<ScenarioInput> = {
  security: "private",
  cluster: { start: 5, settings: { partitions: 4, grace: "3s" } },
  sky: { nodes: 8, records: 20 },
  workload: { clients: 6, every: "60ms", keys: 20, watchers: 1, percent: { get: 40, lease: 5, ttl: 3 } },
  faults: [
    { do: "rotate-keys", every: "4s" },
    { do: "invite", at: "2s", joiners: 2 },
    { do: "evict", at: "7s", system: true },
    { do: "intrude", every: "1s" },
    { do: "access-set", every: "3s" },
    { do: "access-drop", every: "5s" },
    { do: "crash", every: "5s", for: "500ms..2s" },
  ],
};

function failures(result: RunResult): string[] {
  return result.checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
}

Deno.test("Run of a private network holds every check through joins, evictions, rotations and revocations", () => {
  const result = new Run({ scenario: smallScenario(PRIVATE), stars: STARS, seed: 1 }).run();
  assert.deepEqual(failures(result), []);
  const met = new Set<string>(result.sometimes);
  for (const name of ["generation of keys introduced", "member evicted", "stranger refused"]) {
    assert.ok(met.has(name), name);
  }
  assert.ok(result.clients.operations > 500);
});

Deno.test("Run of a private network gives the same digest through the full codec, and another than an open one", () => {
  const options = { scenario: smallScenario(PRIVATE), stars: STARS, seed: 2 };
  const compared = compareRuns(options, { ...options, fullCodec: true });
  assert.equal(compared.kind, "equal");
  const open = new Run({ ...options, scenario: smallScenario({ ...PRIVATE, security: "open", faults: [] }) });
  assert.notEqual(open.run().digest, compared.first.digest);
});

Deno.test("Run grows a private network one by one, each with an invite", () => {
  const cluster = { ...PRIVATE.cluster, form: "grow" as const };
  const result = new Run({
    scenario: smallScenario({ ...PRIVATE, cluster, faults: [] }),
    stars: STARS,
    seed: 3,
  }).run();
  assert.deepEqual(failures(result), []);
  assert.equal(result.nodes.running, 5);
});

// ---- each check catches what breaks its rule

/** The checks that did not hold with this kernel. */
function broken(kernel: KernelFactory, faults: ScenarioInput["faults"] = []): string[] {
  const scenario = smallScenario({ ...PRIVATE, duration: "8s", converge: "10s", faults });
  const result = new Run({ scenario, stars: STARS, seed: 6, kernel }).run();
  return result.checks.filter(({ ok }) => !ok).map(({ name }) => name);
}

const EVICTION: ScenarioInput["faults"] = [{ do: "evict", at: "2s", node: "star-1" }];

Deno.test("A node that breaks nothing passes where those below do not", () => {
  assert.deepEqual(
    broken((options) => new BrokenNode(options), [...EVICTION, { do: "intrude", every: "1s" }]),
    [],
  );
});

Deno.test("secrets stay inside catches nodes that tell who was evicted what they have", () => {
  /** Its host is told that nobody is evicted, and that everyone may have everything. */
  class Generous extends BrokenNode {
    readonly #shown = new WeakMap<SystemView, SystemView>();
    override view(): SystemView {
      const view = super.view(), known = this.#shown.get(view);
      if (known !== undefined) return known;
      const members = view.members.map((m) => m.state === "evicted" ? { ...m, state: "active" as const } : m);
      const shown = { ...view, members };
      this.#shown.set(view, shown);
      return shown;
    }
    override step(input: Input, now: Instant): Effects {
      const effects = super.step(input, now);
      const ids = super.view().security!.keys.map(({ id }) => id);
      const evicted = super.view().members.filter(({ state }) => state === "evicted");
      for (const { id } of evicted) effects.keyOffers.push({ to: id, ids });
      return effects;
    }
  }
  assert.ok(broken((options) => new Generous(options), EVICTION).includes("secrets stay inside"));
});

/** Takes everyone who asks for a member. */
class Trusting extends BrokenNode {
  override step(input: Input, now: Instant): Effects {
    if (input.kind !== "requests") return super.step(input, now);
    const who = { kind: "member", node: this.node.id } as const;
    return super.step({ ...input, requests: input.requests.map((request) => ({ ...request, who })) }, now);
  }
}

Deno.test("rights are kept catches a node that looks at nobody's rights", () => {
  assert.ok(broken((options) => new Trusting(options)).includes("rights are kept"));
});

Deno.test("rights are kept catches a node that denies what a key covers", () => {
  class Strict extends BrokenNode {
    override step(input: Input, now: Instant): Effects {
      const effects = super.step(input, now);
      for (const [i, reply] of effects.replies.entries()) {
        const isOne = input.kind === "requests" && reply.response.kind === "refused";
        if (isOne || reply.response.kind !== "value") continue;
        effects.replies[i] = { ...reply, response: { kind: "refused", reason: "denied", message: "No" } };
      }
      return effects;
    }
  }
  // A lone node answers reads in the step that asks for them.
  const scenario = smallScenario({
    ...PRIVATE,
    cluster: { start: 1, settings: { partitions: 4, leaseReads: true } },
    duration: "2s",
    converge: "2s",
    faults: [],
  });
  const kernel: KernelFactory = (options) => new Strict(options);
  const { checks } = new Run({ scenario, stars: STARS, seed: 6, kernel }).run();
  assert.equal(checks.find(({ name }) => name === "rights are kept")?.ok, false);
});

Deno.test("only the invited get in catches a node that lets in whoever asks", () => {
  const faults: ScenarioInput["faults"] = [{ do: "intrude", every: "1s" }];
  assert.ok(broken((options) => new Trusting(options), faults).includes("only the invited get in"));
});

Deno.test("views follow from the log catches a node that shows a member whom nobody let in", () => {
  class Fanciful extends BrokenNode {
    readonly #shown = new WeakMap<SystemView, SystemView>();
    override view(): SystemView {
      const view = super.view(),
        known = this.#shown.get(view) ?? {
          ...view,
          members: [...view.members, { ...view.members[0]!, id: "zeta" as NodeId }],
        };
      this.#shown.set(view, known);
      return known;
    }
  }
  const found = broken((options) => new Fanciful(options), [{ do: "rotate-keys", at: "2s" }]);
  assert.ok(found.includes("views follow from the log"));
});

/** The slot as one whose replica says that it leads. */
function leading(slot: InspectableSlot, quiet: boolean): InspectableSlot {
  const { term, commitIndex, appliedIndex, lastIndex, leader } = slot.replica;
  const { configuration, configurationIndex, committedConfiguration, committedConfigurationIndex } =
    slot.replica;
  const configured = {
    configuration,
    configurationIndex,
    committedConfiguration,
    committedConfigurationIndex,
  };
  const said = { term, commitIndex, appliedIndex, lastIndex, leader, isLeader: true, quiet };
  return { ...slot, replica: { ...said, ...configured } };
}

Deno.test("the evicted stay out catches a node that leads on after its eviction", () => {
  class Stubborn extends BrokenNode {
    #now = 0;
    override step(input: Input, now: Instant): Effects {
      this.#now = now;
      return super.step(input, now);
    }
    override replicas(): readonly InspectableSlot[] {
      if (this.node.id !== "star-1" || this.#now < 6_000_000) return super.replicas();
      return super.replicas().map((slot) => leading(slot, false));
    }
  }
  assert.deepEqual(broken((options) => new Stubborn(options), EVICTION), ["the evicted stay out"]);
});

Deno.test("the evicted stay out catches a node that answers reads after its eviction", () => {
  class Talkative extends BrokenNode {
    override step(input: Input, now: Instant): Effects {
      const effects = super.step(input, now);
      if (this.node.id !== "star-1" || input.kind !== "requests" || now < 9_000_000) return effects;
      for (const { client, id, request: { op } } of input.requests) {
        if (op.kind === "get") effects.reply(client, id, { kind: "value", found: null, ageUs: 0 });
      }
      return effects;
    }
    override replicas(): readonly InspectableSlot[] {
      if (this.node.id !== "star-1") return super.replicas();
      return super.replicas().map((slot) => leading(slot, true));
    }
  }
  const found = broken((options) => new Talkative(options), EVICTION);
  assert.ok(found.includes("the evicted stay out"), found.join());
});

Deno.test("one generation of keys is left catches a node that never says how far its host is", () => {
  class Silent extends BrokenNode {
    override step(input: Input, now: Instant): Effects {
      const isNews = input.kind === "keys" && now > 5_000_000 && this.node.id === "star-2";
      return super.step(isNews ? { kind: "wake" } : input, now);
    }
  }
  const found = broken((options) => new Silent(options), [{ do: "rotate-keys", at: "6s" }]);
  assert.deepEqual(found, ["one generation of keys is left", "converged"]);
});
