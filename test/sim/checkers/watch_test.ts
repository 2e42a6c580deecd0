import assert from "node:assert/strict";
import type { LogIndex, PartitionId, Term } from "../../../core/base/ids.ts";
import type { KeyValue } from "../../../core/wire/requests.ts";
import type { Recorded } from "../../../sim/history.ts";
import { WatchChecker } from "../../../sim/checkers/watch.ts";

const P = 1 as PartitionId;
const bytes = (text: string) => new TextEncoder().encode(text);
const version = (index: number) => ({ term: 1 as Term, index: index as LogIndex });

function checker(
  ...told: { readonly upTo: number; readonly events: KeyValue[]; readonly gap?: boolean }[]
): WatchChecker {
  const checker = new WatchChecker(() => P);
  checker.told({ kind: "watching", from: [[P, 0 as LogIndex]] });
  for (const { upTo, events, gap } of told) {
    checker.told({ kind: "events", partition: P, upTo: upTo as LogIndex, events, gap: gap ?? false });
  }
  return checker;
}
const event = (index: number, text = `v${index}`): KeyValue => ({
  key: "k",
  value: bytes(text),
  version: version(index),
});
function put(index: number): Recorded {
  const response = { kind: "written", version: version(index), existed: false } as const;
  return {
    client: 1,
    op: { kind: "put", key: "k", value: bytes(`v${index}`) },
    invoke: 0,
    complete: 1,
    response,
  };
}

Deno.test("WatchChecker is content with every write told once in order", () => {
  const told = checker({ upTo: 1, events: [event(1)] }, { upTo: 4, events: [event(3), event(4)] });
  assert.deepEqual(told.compare([put(1), put(3), put(4)]), []);
});

Deno.test("WatchChecker finds what was told twice, out of order, not at all or wrongly", () => {
  const twice = checker({ upTo: 1, events: [event(1)] }, { upTo: 2, events: [event(1)] });
  assert.match(twice.compare([]).join(), /told twice/);
  assert.match(checker({ upTo: 3, events: [event(3), event(2)] }).compare([]).join(), /2 was told after 3/);
  assert.match(
    checker({ upTo: 3, events: [event(3)] }).compare([put(2)]).join(),
    /nothing was told of its version 2/,
  );
  assert.match(checker({ upTo: 2, events: [event(2, "x")] }).compare([put(2)]).join(), /another value/);
});

Deno.test("WatchChecker forgives what an announced gap covers, and nothing beside it", () => {
  const told = checker({ upTo: 1, events: [event(1)] }, { upTo: 5, events: [], gap: true }, {
    upTo: 6,
    events: [event(6)],
  });
  assert.deepEqual(told.compare([put(1), put(4), put(6)]), []);
  assert.match(told.compare([put(7)]).join(), /nothing was told of its version 7/);
});
