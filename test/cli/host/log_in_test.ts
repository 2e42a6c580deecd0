/** Proofs of clients and joiners. */
import assert from "node:assert/strict";
import { makeAccessKey, signLogIn } from "../../../cli/host/identity/access_key.ts";
import { newSeed, publicKeyOfSeed, signWithSeed } from "../../../cli/host/identity/ed25519.ts";
import { drawInvite } from "../../../cli/host/identity/token.ts";
import { checkProof, CLOCK_APART_MS_MAX, joinBytes } from "../../../cli/host/log_in.ts";
import type { Security } from "../../../core/wire/security.ts";
import type { Proof } from "../../../core/wire/session.ts";

const network = "ab".repeat(16), certificate = new Uint8Array([1, 2, 3]), NOW = 1_800_000_000_000;
const access = makeAccessKey(), invite = drawInvite();
const security = {
  keys: [],
  access: [{ id: access.id, publicKey: access.publicKey, name: "", rights: [] }],
  invites: [{ id: invite.id, hash: invite.hash, zone: null, expiresMs: NOW + 1000, uses: 1 }],
} as unknown as Security;
const check = (proof: Proof, change: { nowMs?: number; certificate?: Uint8Array; network?: string } = {}) =>
  checkProof(proof, { security, network, certificate, nowMs: NOW, ...change });

function logIn(change: Partial<Extract<Proof, { kind: "access" }>> = {}): Proof {
  const random = new Uint8Array(32).fill(9);
  const signature = signLogIn({ secret: access.secret, network, serverCertificate: certificate, random });
  return { kind: "access", id: access.id, random, signature, ...change };
}

const seed = newSeed();
function join(change: Partial<Extract<Proof, { kind: "invite" }>> = {}): Proof {
  const clockMs = change.clockMs ?? NOW, { id, secret } = invite;
  const signature = signWithSeed(seed, joinBytes({ network, serverCertificate: certificate, id, clockMs }));
  return { kind: "invite", id, secret, key: publicKeyOfSeed(seed), signature, clockMs, ...change };
}

Deno.test("checkProof() takes a log-in for this network and this server's certificate alone", () => {
  const found = check(logIn());
  assert(typeof found === "object");
  assert.deepEqual(found.who, { kind: "access", id: access.id });
  assert.equal(check(logIn(), { certificate: new Uint8Array([4]) }), "denied", "shown to another server");
  assert.equal(check(logIn(), { network: "cd".repeat(16) }), "denied", "shown in another network");
  assert.equal(check(logIn({ random: new Uint8Array(32) })), "denied");
  assert.equal(check(logIn({ signature: new Uint8Array(64) })), "denied");
  assert.equal(check(logIn({ id: makeAccessKey().id })), "denied", "a key that nobody knows");
});

Deno.test("checkProof() takes an invite with its secret, in its time, by a clock that is right, with a key of one's own", () => {
  const found = check(join());
  assert(typeof found === "object");
  assert.deepEqual([found.who.kind, found.key], ["invite", publicKeyOfSeed(seed)]);
  assert.equal(check(join({ secret: new Uint8Array(16) })), "denied");
  assert.equal(check(join({ key: publicKeyOfSeed(newSeed()) })), "denied", "the key of another");
  assert.equal(check(join(), { certificate: new Uint8Array([4]) }), "denied", "shown to another server");
  assert.equal(check(join(), { nowMs: NOW + 1000 }), "expired");
  assert.equal(check(join({ clockMs: NOW - CLOCK_APART_MS_MAX - 1 })), "clock");
  assert.equal(check(join({ clockMs: NOW + CLOCK_APART_MS_MAX + 1 })), "clock");
  assert.equal(typeof check(join({ clockMs: NOW + CLOCK_APART_MS_MAX })), "object");
});
