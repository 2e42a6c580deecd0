import { equal } from "node:assert/strict";
import fc from "fast-check";
import { type Instant, NEVER } from "../../../core/base/ids.ts";
import { type Due, DueList } from "../../../core/membership/due_list.ts";

const at = fc.nat(20).map((us) => us as Instant);
const command = fc.oneof(
  fc.record({ add: at }),
  fc.record({ remove: fc.nat(30) }),
  fc.record({ sooner: fc.nat(30), by: fc.nat(5) }),
  fc.record({ later: fc.nat(30), by: fc.nat(5) }),
);

Deno.test("DueList knows its earliest time and finds what is due as a plain search does", () => {
  fc.assert(fc.property(fc.array(command), at, (commands, now) => {
    const list = new DueList<Due>();
    const added: Due[] = [];
    for (const c of commands) {
      if ("add" in c) {
        const item = { dueAt: c.add };
        list.add(item);
        added.push(item);
      } else if ("remove" in c) {
        const item = added[c.remove];
        if (item !== undefined) list.remove(item);
      } else {
        const item = list.items["sooner" in c ? c.sooner : c.later];
        if (item === undefined) continue;
        if ("sooner" in c) list.sooner(item, Math.max(0, item.dueAt - c.by) as Instant);
        else {
          item.dueAt = (item.dueAt + c.by) as Instant;
          list.refresh();
        }
      }
      equal(list.due, list.items.reduce((least, item) => Math.min(least, item.dueAt), NEVER as number));
      equal(list.firstDue(now), list.items.find((item) => item.dueAt <= now) ?? null);
    }
  }));
});
