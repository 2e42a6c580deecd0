import assert from "node:assert/strict";
import fc from "fast-check";
import { isNodeId } from "../../core/base/ids.ts";
import {
  angularDistance,
  parseSky,
  SKY_HEADER,
  type Star,
  starCapacity,
  starLatencyUs,
  starNodeName,
} from "../../sim/sky.ts";

const SKY = parseSky(await Deno.readTextFile(new URL("../../fixtures/sky/bright.csv", import.meta.url)));

function named(name: string): Star {
  const star = SKY.find((each) => each.name === name);
  assert.ok(star !== undefined, `No star is named ${name}`);
  return star;
}

Deno.test("bright.csv holds 5,044 stars in 88 constellations, sorted by number", () => {
  assert.equal(SKY.length, 5044);
  assert.equal(new Set(SKY.map((star) => star.constellation)).size, 88);
  assert.ok(SKY.every((star, i) => i === 0 || SKY[i - 1]!.hip < star.hip));
  assert.ok(Math.max(...SKY.map((star) => star.mag)) <= 6);
});

Deno.test("bright.csv knows Sirius, the brightest, and others by their names", () => {
  const brightest = [...SKY].sort((a, b) => a.mag - b.mag)[0]!;
  assert.deepEqual(brightest, {
    hip: 32349,
    name: "Sirius",
    constellation: "CMa",
    raDeg: 101.2872,
    decDeg: -16.7161,
    mag: -1.44,
    bv: 0.009,
  });
  for (
    const [name, hip, constellation] of [["Vega", 91262, "Lyr"], ["Polaris", 11767, "UMi"], [
      "tau Phe",
      88,
      "Phe",
    ]]
  ) {
    assert.deepEqual([named(String(name)).hip, named(String(name)).constellation], [hip, constellation]);
  }
  assert.equal(SKY.filter((star) => star.bv === null).length, 2);
});

Deno.test("starNodeName() names a node, uniquely", () => {
  const names = SKY.map(starNodeName);
  assert.deepEqual(names.filter((name) => !isNodeId(name)), []);
  assert.equal(new Set(names).size, SKY.length);
  assert.equal(starNodeName(named("Rigil Kentaurus")), "Rigil-Kentaurus");
});

Deno.test("angularDistance() is what the sky shows", () => {
  const degrees = (a: string, b: string) => angularDistance(named(a), named(b)) / 1e6;
  const near = (actual: number, expected: number) =>
    assert.ok(Math.abs(actual - expected) < 0.005, `${actual}`);
  near(degrees("Dubhe", "Merak"), 5.374);
  near(degrees("Mizar", "Alcor"), 0.196);
  near(degrees("Betelgeuse", "Rigel"), 18.601);
  near(degrees("Vega", "Deneb"), 23.846);
  assert.equal(degrees("Vega", "Vega"), 0);
});

const star: fc.Arbitrary<Star> = fc.record({
  hip: fc.constant(1),
  name: fc.constant("x"),
  constellation: fc.constant("Ori"),
  raDeg: fc.integer({ min: 0, max: 3_600_000 }).map((x) => x / 10_000),
  decDeg: fc.integer({ min: -900_000, max: 900_000 }).map((x) => x / 10_000),
  mag: fc.integer({ min: -200, max: 1400 }).map((x) => x / 100),
  bv: fc.constant(null),
});

/** The haversine formula with the engine's own functions. */
function naiveDistance(a: Star, b: Star): number {
  const radians = (degrees: number) => degrees * Math.PI / 180;
  const haversine = (x: number) => Math.sin(x / 2) ** 2;
  const h = haversine(radians(b.decDeg - a.decDeg)) +
    Math.cos(radians(a.decDeg)) * Math.cos(radians(b.decDeg)) * haversine(radians(b.raDeg - a.raDeg));
  return 2 * Math.asin(Math.min(1, Math.sqrt(h))) * 180e6 / Math.PI;
}

Deno.test("angularDistance() agrees with its naive twin, and is the same both ways", () => {
  fc.assert(fc.property(star, star, (a, b) => {
    const distance = angularDistance(a, b);
    assert.ok(Math.abs(distance - naiveDistance(a, b)) <= 1, `${distance} for ${naiveDistance(a, b)}`);
    assert.equal(angularDistance(b, a), distance);
  }));
  const at = (raDeg: number, decDeg: number): Star => ({ ...named("Vega"), raDeg, decDeg });
  assert.equal(angularDistance(at(0, 90), at(77, -90)), 180_000_000);
  assert.equal(angularDistance(at(10, 0), at(190, 0)), 180_000_000);
  assert.equal(angularDistance(at(359, 0), at(2, 0)), 3_000_000);
});

Deno.test("starLatencyUs() goes from the least to the most in whole microseconds", () => {
  const range = { usMin: 500, usMax: 90_500 };
  assert.equal(starLatencyUs(named("Vega"), named("Vega"), range), 500);
  assert.equal(starLatencyUs(named("Dubhe"), named("Merak"), range), 500 + 2687);
  fc.assert(fc.property(star, star, (a, b) => {
    const us = starLatencyUs(a, b, range);
    assert.ok(Number.isInteger(us) && us >= 500 && us <= 90_500);
  }));
});

Deno.test("starCapacity() is one more for each magnitude, from 1 to 8", () => {
  const of = (mag: number) => starCapacity({ ...named("Vega"), mag });
  assert.deepEqual([-1.44, -1, 0, 0.03, 1.99, 5.2, 6, 11].map(of), [8, 8, 7, 7, 6, 2, 1, 1]);
});

Deno.test("parseSky() reads what was written, also with CR LF and without a last line end", () => {
  const row = (s: Star) => [s.hip, s.name, s.constellation, s.raDeg, s.decDeg, s.mag, s.bv ?? ""].join(",");
  fc.assert(
    fc.property(
      fc.subarray(SKY, { maxLength: 20 }),
      fc.constantFrom("\n", "\r\n"),
      fc.boolean(),
      (some, end, last) => {
        assert.deepEqual(parseSky([SKY_HEADER, ...some.map(row)].join(end) + (last ? end : "")), some);
      },
    ),
  );
});

Deno.test("parseSky() names the line and the value that is wrong", () => {
  const good = "32349,Sirius,CMa,101.2872,-16.7161,-1.44,0.009";
  const refused: [string, RegExp][] = [
    ["", /^Line 1: The header is "", not "hip,name/],
    [`${SKY_HEADER}\n${good},1`, /^Line 2: A star has 7 fields, not 8/],
    [`${SKY_HEADER}\n${good}\n\n`, /^Line 3: A star has 7 fields, not 1: ""/],
    [`${SKY_HEADER}\n${good}\n${good}`, /^Line 3: The hip 32349 was used on line 2/],
    [`${SKY_HEADER}\n${good}\n1,Sirius,CMa,0,0,1,`, /^Line 3: The name "Sirius" was used on line 2/],
    [`${SKY_HEADER}\n${good.replace("32349", "x")}`, /^Line 2: The hip is a whole number from 1, not "x"/],
    [`${SKY_HEADER}\n${good.replace("Sirius", "")}`, /^Line 2: The name is empty/],
    [`${SKY_HEADER}\n${good.replace("CMa", "dog")}`, /^Line 2: The constellation .* not "dog"/],
    [
      `${SKY_HEADER}\n${good.replace("101.2872", "361")}`,
      /^Line 2: The ra is a decimal number from 0 to 360, not "361"/,
    ],
    [`${SKY_HEADER}\n${good.replace("-16.7161", "1e1")}`, /^Line 2: The dec .* not "1e1"/],
    [`${SKY_HEADER}\n${good.replace("-1.44", "")}`, /^Line 2: The mag .* not ""/],
    [`${SKY_HEADER}\n"32349",Sirius`, /^Line 2: Fields have no quotes here/],
  ];
  for (const [text, message] of refused) {
    assert.throws(() => parseSky(text), { name: "SyntaxError", message });
  }
});
