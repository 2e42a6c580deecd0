/** Statements and handovers: a client follows most of the members that it knows, and nobody else. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { newSeed, publicKeyOfSeed } from "../../../cli/host/identity/ed25519.ts";
import { type Handover, type HandoverRefusal, mayFollow } from "../../../cli/host/identity/handover.ts";
import { Keyring } from "../../../cli/host/identity/keyring.ts";
import {
  signStatement,
  type Statement,
  statementBytes,
  verifyStatement,
} from "../../../cli/host/identity/statements.ts";
import {
  DAY_MS,
  flipped,
  type Generation,
  generation,
  NETWORK,
  NOW,
  OTHER_NETWORK,
  withDirectory,
} from "./support.ts";

const SEEDS: readonly Uint8Array[] = Array.from({ length: 7 }, (_, i) => new Uint8Array(32).fill(100 + i));
const KEYS = SEEDS.map(publicKeyOfSeed);

function statement(seed: Uint8Array, { id, authority }: Generation, network = NETWORK): Statement {
  return {
    key: publicKeyOfSeed(seed),
    signature: signStatement({ seed, network, generation: id, authority }),
  };
}

function offer(
  next: Generation,
  { members = 5, signers = SEEDS.slice(0, 3) }: { members?: number; signers?: readonly Uint8Array[] } = {},
): Handover {
  return {
    network: NETWORK,
    generation: 1,
    known: KEYS.slice(0, members),
    offered: { authority: next.authority, statements: signers.map((seed) => statement(seed, next)) },
    now: NOW,
  };
}

function refusedWith(reason: HandoverRefusal, handover: Handover): void {
  const verdict = mayFollow(handover);
  assert.equal(verdict.kind === "refused" ? verdict.reason : "follow", reason);
}

Deno.test("a statement holds for its key, network, generation and authority, and for no other", async () => {
  const two = await generation({ id: 2 });
  const about = { network: NETWORK, generation: 2, authority: two.authority };
  const signed = statement(SEEDS[0]!, two);
  assert.equal(signed.signature.length, 64);
  assert.ok(verifyStatement(signed, about));
  assert.ok(!verifyStatement({ ...signed, key: KEYS[1]! }, about));
  assert.ok(!verifyStatement(signed, { ...about, network: OTHER_NETWORK }));
  assert.ok(!verifyStatement(signed, { ...about, generation: 3 }));
  assert.ok(
    !verifyStatement(signed, { ...about, authority: (await generation({ id: 2, fill: 9 })).authority }),
  );
  for (let bit = 0; bit < 512; bit++) {
    assert.ok(!verifyStatement({ ...signed, signature: flipped(signed.signature, bit) }, about));
  }
});

Deno.test("a keyring signs the same statement as its seed", () =>
  withDirectory(async (directory) => {
    const keyring = Keyring.create({ directory, network: NETWORK, disk: "d", seed: SEEDS[0]! });
    const two = await generation({ id: 2 });
    const about = { network: NETWORK, generation: 2, authority: two.authority };
    assert.deepEqual(keyring.sign(statementBytes(about)), statement(SEEDS[0]!, two).signature);
  }));

Deno.test("mayFollow() more than half of the members known", async () => {
  const two = await generation({ id: 2 });
  const verdict = mayFollow(offer(two));
  assert.ok(verdict.kind === "follow");
  assert.deepEqual([verdict.signed, verdict.known, verdict.authority.generation], [3, 5, 2]);
  assert.equal(mayFollow(offer(two, { members: 1, signers: [SEEDS[0]!] })).kind, "follow");
  // Generations that the client slept through need no statements.
  assert.equal(mayFollow(offer(await generation({ id: 9 }))).kind, "follow");
});

Deno.test("attack: a minority of statements, also exactly half", async () => {
  const two = await generation({ id: 2 });
  refusedWith("minority", offer(two, { members: 5, signers: SEEDS.slice(0, 2) }));
  refusedWith("minority", offer(two, { members: 6, signers: SEEDS.slice(0, 3) }));
  refusedWith("minority", offer(two, { members: 1, signers: [] }));
});

Deno.test("attack: one member's statement many times, and those of strangers", async () => {
  const two = await generation({ id: 2 });
  refusedWith("minority", offer(two, { signers: Array(50).fill(SEEDS[0]!) }));
  refusedWith(
    "minority",
    offer(two, { signers: [SEEDS[0]!, SEEDS[1]!, ...Array.from({ length: 20 }, newSeed)] }),
  );
});

Deno.test("a statement that does not hold does not spoil one of the same member that does", async () => {
  const two = await generation({ id: 2 });
  const good = offer(two);
  const bad = good.offered.statements.map((s) => ({ ...s, signature: new Uint8Array(64) }));
  const statements = [...bad, ...good.offered.statements];
  assert.equal(mayFollow({ ...good, offered: { ...good.offered, statements } }).kind, "follow");
});

Deno.test("a member that the profile names twice counts once", async () => {
  const two = await generation({ id: 2 });
  const known = [KEYS[0]!, KEYS[0]!, KEYS[0]!, KEYS[1]!, KEYS[2]!];
  refusedWith("minority", { ...offer(two, { signers: [SEEDS[0]!] }), known });
});

Deno.test("attack: statements for another network or another generation", async () => {
  const two = await generation({ id: 2 }), three = await generation({ id: 3 });
  const elsewhere = await generation({ id: 2, network: OTHER_NETWORK });
  const signers = SEEDS.slice(0, 5);
  const swap = (statements: Statement[], next = two): Handover => ({
    ...offer(next),
    offered: { authority: next.authority, statements },
  });
  refusedWith("minority", swap(signers.map((seed) => statement(seed, two, OTHER_NETWORK))));
  refusedWith("minority", swap(signers.map((seed) => statement(seed, three))));
  refusedWith("minority", swap(signers.map((seed) => statement(seed, elsewhere, OTHER_NETWORK))));
  refusedWith("network", swap(signers.map((seed) => statement(seed, elsewhere, OTHER_NETWORK)), elsewhere));
});

Deno.test("attack: the authority of a generation that is over, with statements that once were true", async () => {
  const one = await generation();
  const offered = offer(one, { signers: SEEDS.slice(0, 5) });
  refusedWith("older", offered);
  refusedWith("older", { ...offered, generation: 2 });
});

Deno.test("attack: the statements of the true authority beside a forged one", async () => {
  const two = await generation({ id: 2 }), forged = await generation({ id: 2, fill: 66 });
  const { offered, ...rest } = offer(two, { signers: SEEDS.slice(0, 5) });
  refusedWith("minority", { ...rest, offered: { ...offered, authority: forged.authority } });
});

Deno.test("what is no authority, is not valid now, or has nobody to vouch for it is refused by its own reason", async () => {
  const two = await generation({ id: 2 });
  const good = offer(two);
  const offered = (authority: Uint8Array) => ({ ...good, offered: { ...good.offered, authority } });
  refusedWith("invalid", offered(new Uint8Array(10)));
  refusedWith("invalid", offered(flipped(two.authority, 1500)));
  refusedWith("not-valid-now", { ...good, now: NOW - DAY_MS });
  refusedWith("not-valid-now", { ...good, now: NOW + 30 * 365 * DAY_MS });
  refusedWith("no-members", { ...good, known: [] });
  refusedWith("no-members", { ...good, known: ["01" + "00".repeat(31), "x"] });
});

Deno.test("mayFollow() agrees with counting, whoever signs what", async () => {
  const two = await generation({ id: 2 }), forged = await generation({ id: 2, fill: 66 });
  const good = SEEDS.map((seed) => statement(seed, two)), bad = SEEDS.map((seed) => statement(seed, forged));
  const choice = fc.record({ seed: fc.nat(6), right: fc.boolean() });
  fc.assert(
    fc.property(fc.array(choice, { maxLength: 12 }), fc.integer({ min: 1, max: 7 }), (choices, members) => {
      const statements = choices.map(({ seed, right }) => (right ? good : bad)[seed]!);
      const verdict = mayFollow({
        ...offer(two, { members }),
        offered: { authority: two.authority, statements },
      });
      let signed = 0;
      for (let i = 0; i < members; i++) if (choices.some(({ seed, right }) => seed === i && right)) signed++;
      assert.equal(verdict.kind === "follow", signed > members / 2);
    }),
    { numRuns: 200 },
  );
});
