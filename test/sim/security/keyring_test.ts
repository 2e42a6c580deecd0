import assert from "node:assert/strict";
import { Random } from "../../../core/base/random.ts";
import type { NetworkKey } from "../../../core/wire/security.ts";
import { authorityOf, drawHex, Keyring, sha256Hex } from "../../../sim/security/keyring.ts";
import { NONE, viewWith } from "../../core/system/private_view.ts";

const current = (id: number, secret: string): NetworkKey => ({
  id,
  state: "current",
  authority: authorityOf(secret),
});

Deno.test("Keyring holds what the network agreed on alone, and not what another made first (2)", () => {
  const keyring = new Keyring(Random.fromSeed(1));
  keyring.put(1, "one");
  keyring.put(2, "my two");
  assert.equal(
    keyring.identity(viewWith({ keys: [current(1, "one"), { id: 2, state: "wanted", authority: NONE }] }))
      .holds,
    1,
  );
  const theirs = viewWith({ keys: [{ ...current(1, "one"), state: "former" }, current(2, "their two")] });
  assert.equal(keyring.identity(theirs).holds, 1);
  keyring.reconcile(theirs);
  assert.deepEqual(keyring.generations, [1]);
  keyring.put(2, "their two");
  assert.equal(keyring.identity(theirs).holds, 2);
});

Deno.test("Keyring keeps what is newer than the view it knows, and drops what the network passed by (1)", () => {
  const keyring = new Keyring(Random.fromSeed(1));
  keyring.put(1, "one");
  keyring.put(2, "two");
  keyring.put(4, "four");
  keyring.reconcile(viewWith({ keys: [current(1, "one"), { id: 3, state: "wanted", authority: NONE }] }));
  assert.deepEqual(keyring.generations, [1, 4]);
});

Deno.test("Keyring says that it uses no more than it holds", () => {
  const keyring = new Keyring(Random.fromSeed(1));
  keyring.uses = 3;
  const { uses, holds, statement } = keyring.identity(viewWith({}));
  assert.deepEqual([uses, holds, statement.length], [0, 0, 0]);
});

Deno.test("Keyrings of two machines have nothing in common, and hashes are those of SHA-256", () => {
  assert.notEqual(new Keyring(Random.fromSeed(1)).key, new Keyring(Random.fromSeed(2)).key);
  assert.match(drawHex(Random.fromSeed(1), 20), /^[0-9a-f]{20}$/);
  assert.equal(sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});
