import fc from "fast-check";
import { nodeId } from "../../../core/base/ids.ts";
import type { Member, MemberState } from "../../../core/wire/messages.ts";
import type { PlacementSettings } from "../../../core/placement/assign.ts";

export function member(name: string, rest: Partial<Member> = {}): Member {
  return {
    id: nodeId(name),
    address: `${name}:7000`,
    zone: "",
    capacity: 1,
    state: "active",
    disk: "",
    ...rest,
  };
}

/** `count` active members, dealt to `zones` zones in turn. */
export function fleet(
  count: number,
  zones: number,
  capacityOf: (index: number) => number = () => 1,
): Member[] {
  return Array.from(
    { length: count },
    (_, i) => member(`n${i}`, { zone: `z${i % zones}`, capacity: capacityOf(i) }),
  );
}

const capacity = fc.oneof(
  { weight: 4, arbitrary: fc.constant(1) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 9 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 1_000_000 }) },
);
const state: fc.Arbitrary<MemberState> = fc.oneof(
  { weight: 6, arbitrary: fc.constant("active" as const) },
  { weight: 1, arbitrary: fc.constantFrom("joining" as const, "draining" as const, "gone" as const) },
);

/** Up to 12 members of up to 5 zones, any of them absent. The ids stay the same, so that lists drawn in a row are churn. */
export const members: fc.Arbitrary<Member[]> = fc.uniqueArray(
  fc.record({ name: fc.integer({ min: 0, max: 11 }), zone: fc.integer({ min: 0, max: 4 }), capacity, state }),
  { selector: ({ name }) => name, maxLength: 12 },
).map((drawn) => drawn.map(({ name, zone, ...rest }) => member(`n${name}`, { zone: `z${zone}`, ...rest })));

export const someActive: fc.Arbitrary<Member[]> = members.filter((list) =>
  list.some((m) => m.state === "active")
);

export const settings: fc.Arbitrary<PlacementSettings> = fc.record({
  partitions: fc.constantFrom(1, 2, 4, 8, 16),
  replicas: fc.integer({ min: 1, max: 5 }),
  systemReplicas: fc.integer({ min: 1, max: 6 }),
});
