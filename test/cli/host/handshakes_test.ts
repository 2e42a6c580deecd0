/** When TLS handshakes begin (H1 to H4), what counts as one address, and how often anyone is told whom to believe. */
import assert from "node:assert/strict";
import { AuthorityDesk } from "../../../cli/host/authority_desk.ts";
import { sourceOf } from "../../../cli/host/gate.ts";
import { Handshakes, looksLikeTls } from "../../../cli/host/handshakes.ts";
import { decodeAuthorityAnswer } from "../../../cli/host/identity/authority_answer.ts";
import { FrameReader } from "../../../core/wire/framing.ts";

/** A clock that stands still, so that only what may begin at once does. */
function bench() {
  const state = { now: 0, counted: new Map<string, number>(), begun: [] as string[] };
  const handshakes = new Handshakes({
    clock: () => state.now,
    count: (name) => state.counted.set(name, (state.counted.get(name) ?? 0) + 1),
  });
  const enter = (address: string, name = address) => handshakes.enter(address, () => state.begun.push(name));
  return { ...state, state, handshakes, enter };
}

/** Lets the timer go off once, `ms` later by the bench's clock. */
async function tick(state: { now: number }, ms: number): Promise<void> {
  state.now += ms;
  await new Promise((done) => setTimeout(done, 15));
}

Deno.test("Handshakes: begin one after the other, fewer while the loop is late and more while it is not (H1)", async () => {
  const { handshakes, enter, state } = bench();
  for (let i = 0; i < 5000; i++) enter("10.0.0.1");
  assert.equal(state.begun.length, 32);
  assert.equal(state.counted.get("TLS handshakes put off"), 5000 - 32);
  const rate = () => new Map(handshakes.counters()).get("TLS handshakes a second at most")!;
  for (let i = 0; i < 20; i++) await tick(state, 150);
  assert.equal(rate(), 20, "it was 140 ms late each time");
  const then = state.begun.length;
  await tick(state, 1000);
  assert(state.begun.length - then >= 19, "some begin all the same");
  for (let i = 0; i < 30; i++) await tick(state, 10);
  assert(rate() >= 30, `${rate()}`);
  handshakes.close();
});

Deno.test("Handshakes: addresses take turns, the newest of one first, and who proved who he is before strangers (H2, H3)", async () => {
  const { handshakes, enter, state } = bench();
  handshakes.proved("10.0.0.9");
  for (let i = 0; i < 32; i++) enter("10.0.0.1");
  state.begun.length = 0;
  for (let i = 0; i < 100; i++) enter("10.0.0.1", `flood ${i}`);
  enter("10.0.0.2", "other");
  for (let i = 0; i < 7; i++) enter("10.0.0.9", `friend ${i}`);
  const leave = enter("10.0.0.3", "gone");
  leave();
  // As many at once as there may be.
  await tick(state, 10_000);
  assert.equal(state.begun.length, 32);
  const [...begun] = state.begun;
  assert.deepEqual(begun.slice(0, 9), [
    "friend 6",
    "friend 5",
    "friend 4",
    "flood 99",
    "friend 3",
    "friend 2",
    "friend 1",
    "other",
    "friend 0",
  ]);
  assert.deepEqual(begun.slice(9, 12), ["flood 98", "flood 97", "flood 96"]);
  assert(!begun.includes("gone"));
  handshakes.close();
});

Deno.test("looksLikeTls(): a ClientHello's first bytes, and nothing that others begin with (H4)", () => {
  assert(looksLikeTls(Uint8Array.of(0x16, 3, 1, 0x02, 0x00, 1)));
  assert(looksLikeTls(Uint8Array.of(0x16, 3, 3, 0x40, 0x00, 1)));
  for (const text of ["GET / ", "SPOC..", "\0\0\0\0\0\0"]) {
    assert.equal(looksLikeTls(new TextEncoder().encode(text)), false, text);
  }
  assert.equal(looksLikeTls(Uint8Array.of(0x16, 3, 1, 0x40, 0x01, 1)), false, "longer than a record");
  assert.equal(looksLikeTls(Uint8Array.of(0x16, 3, 1, 0, 0, 1)), false, "an empty record");
  assert.equal(looksLikeTls(Uint8Array.of(0x16, 3, 1, 0x02, 0, 2)), false, "no ClientHello");
});

Deno.test("sourceOf(): one machine's network of IPv6 is one address, and a mapped one is that of IPv4", () => {
  const cases = [
    ["10.1.2.3", "10.1.2.3"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
  ] as const;
  for (const [address, source] of cases) assert.equal(sourceOf(address), source);
});

Deno.test("AuthorityDesk: makes an answer once, gives so much a second, and nobody uses up what others have", () => {
  let now = 0, made = 0;
  const desk = new AuthorityDesk(() => now);
  const view = {};
  const answer = () => {
    made++;
    return { network: "00".repeat(16), open: true, authorities: [], statements: [] };
  };
  const ask = (source: string) => desk.tell(source, view, answer);
  const [payload] = new FrameReader().push(ask("10.0.0.1")!);
  assert.equal(decodeAuthorityAnswer(payload!).open, true);
  let told = 1;
  while (ask("10.0.0.1") !== null) told++;
  assert.equal(told, 256);
  assert.equal(made, 1);
  assert.notEqual(ask("10.0.0.2"), null);
  for (let i = 0; i < 3000; i++) ask(`10.0.1.${i}`);
  assert.equal(ask("10.0.0.3"), null, "all together have had their part");
  now += 1000;
  assert.notEqual(ask("10.0.0.3"), null);
  assert.notEqual(ask("10.0.0.1"), null);
  desk.tell("10.0.0.4", {}, answer);
  assert.equal(made, 2);
});
