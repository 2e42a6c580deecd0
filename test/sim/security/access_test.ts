import assert from "node:assert/strict";
import fc from "fast-check";
import { denial } from "../../../core/node/rights.ts";
import type { Op } from "../../../core/wire/requests.ts";
import type { Right } from "../../../core/wire/security.ts";
import { permits } from "../../../sim/security/access.ts";
import { viewWith } from "../../core/system/private_view.ts";
import { access } from "../../support/credentials.ts";

const name = fc.array(fc.constantFrom("a", "b", "/", "{"), { maxLength: 4 }).map((letters) =>
  letters.join("")
);
const right: fc.Arbitrary<Right> = fc.record({
  prefix: name,
  read: fc.boolean(),
  write: fc.boolean(),
  admin: fc.boolean(),
});
const value = new Uint8Array(1);
const end = fc.option(name, { nil: null });
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ kind: fc.constant("get" as const), key: name, read: fc.constant("stale" as const) }),
  fc.record({ kind: fc.constant("put" as const), key: name, value: fc.constant(value) }),
  fc.record({ kind: fc.constant("put" as const), key: name, value: fc.constant(value), lease: name }),
  fc.record({ kind: fc.constant("delete" as const), key: name }),
  fc.record({ kind: fc.constant("keep-alive" as const), lease: name }),
  fc.record({
    kind: fc.constant("cas" as const),
    key: name,
    expect: fc.constant({ kind: "absent" } as const),
    value: fc.constant(null),
  }),
  fc.record({
    kind: fc.constant("transact" as const),
    conditions: fc.constant([]),
    then: fc.array(fc.record({ kind: fc.constant("get" as const), key: name }), { maxLength: 2 }),
    otherwise: fc.array(fc.record({ kind: fc.constant("delete" as const), key: name }), { maxLength: 2 }),
  }),
  fc.record({ kind: fc.constant("watch" as const), start: name, end, from: fc.constant([]) }),
  fc.constant<Op>({ kind: "keys-rotate" }),
);

Deno.test("permits() agrees with the rights that nodes look at, by a reading of its own", () => {
  fc.assert(
    fc.property(fc.array(right, { minLength: 1, maxLength: 3 }), op, (rights, asked) => {
      const denied =
        denial(viewWith({ access: [access("k", ...rights)] }), { kind: "access", id: "k" }, asked) !== null;
      // An empty span holds no key that could not be read.
      const isEmpty = asked.kind === "watch" && asked.end !== null && asked.end <= asked.start;
      return isEmpty || permits(rights, asked) === !denied;
    }),
    { numRuns: 5000 },
  );
  assert.ok(permits([{ prefix: "a/", read: true, write: false, admin: false }], {
    kind: "watch",
    start: "a/",
    end: "a0",
    from: [],
  }));
});
