import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { type Instant, NEVER, type NodeId, nodeId } from "../../../core/base/ids.ts";
import {
  log10Milli,
  Suspicions,
  suspicionTimeoutUs,
  suspicionUsMin,
} from "../../../core/membership/suspicion.ts";

const a = nodeId("a"), b = nodeId("b"), c = nodeId("c"), d = nodeId("d"), e = nodeId("e");

Deno.test("log10Milli() is the logarithm to within two", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), (n) => {
    ok(Math.abs(log10Milli(n) - 1000 * Math.log10(n)) <= 2, `log10Milli(${n}) = ${log10Milli(n)}`);
  }));
  equal(log10Milli(1), 0);
});

Deno.test("Lifeguard IV.B: the timeout falls with the logarithm of the confirmations, from 6 times the shortest", () => {
  const minUs = 1_000_000;
  for (let k = 1; k <= 3; k++) {
    for (let n = 0; n <= k; n++) {
      const exact = 6 * minUs - 5 * minUs * (Math.log(n + 1) / Math.log(k + 1));
      ok(Math.abs(suspicionTimeoutUs(minUs, k, n) - exact) < 5 * minUs / 1000, `k = ${k}, c = ${n}`);
    }
    equal(suspicionTimeoutUs(minUs, k, k), minUs);
    equal(suspicionTimeoutUs(minUs, k, k + 5), minUs);
  }
  equal(suspicionTimeoutUs(minUs, 0, 0), minUs, "nobody could confirm");
});

Deno.test("Lifeguard IV.B: the shortest suspicion grows with log10 of the members, from one protocol period", () => {
  equal(suspicionUsMin(2, 2, 500_000), 1_000_000);
  equal(suspicionUsMin(2, 10, 500_000), 1_000_000);
  ok(Math.abs(suspicionUsMin(2, 1000, 500_000) - 3_000_000) <= 2000);
});

Deno.test("Suspicions counts independent confirmations only, and each once", () => {
  const suspicions = new Suspicions();
  suspicions.start({ node: a, by: b, minUs: 1000, others: 3, now: 0 as Instant });
  equal(suspicions.due, 6000);
  const confirm = (node: NodeId, by: NodeId) => suspicions.confirm(node, by, 1500 as Instant);
  equal(confirm(a, b), false, "who began it does not confirm it");
  equal(confirm(a, c), true);
  equal(suspicions.due, 3500);
  equal(confirm(a, c), false);
  equal(confirm(b, c), false, "b is not suspect");
  equal(confirm(a, d), true);
  equal(confirm(a, e), true);
  equal(suspicions.due, 1500, "over by now, but not before");
  equal(confirm(a, nodeId("f")), false, "more than k change nothing");
});

Deno.test("Suspicions tells who is due, gives more time and ends", () => {
  const suspicions = new Suspicions();
  suspicions.start({ node: a, by: b, minUs: 1000, others: 0, now: 0 as Instant });
  suspicions.start({ node: c, by: b, minUs: 1000, others: 0, now: 500 as Instant });
  deepEqual([suspicions.firstDue(999 as Instant), suspicions.firstDue(1000 as Instant)], [null, a]);
  suspicions.extend(100);
  deepEqual([suspicions.firstDue(1000 as Instant), suspicions.firstDue(1100 as Instant)], [null, a]);
  suspicions.end(a);
  equal(suspicions.due, 1600);
  suspicions.end(c);
  equal(suspicions.due, NEVER);
});
