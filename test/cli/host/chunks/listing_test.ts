/** Listings against a set of names that is sorted anew for each page: I1 and I2 of cli/host/chunks/listing.ts. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { partitionId } from "../../../../core/base/ids.ts";
import { Listings } from "../../../../cli/host/chunks/listing.ts";
import { fileName } from "../../../../cli/host/chunks/names.ts";

const nameOf = (number: number) =>
  fileName({
    partition: partitionId(1),
    segment: number.toString(16).padStart(32, "0"),
    chunk: 0,
    index: 0,
  });

const step = fc.oneof(
  fc.record({
    kind: fc.constant("write" as const),
    folder: fc.integer({ min: 1, max: 3 }),
    name: fc.nat(60),
  }),
  fc.record({
    kind: fc.constant("remove" as const),
    folder: fc.integer({ min: 1, max: 3 }),
    name: fc.nat(60),
  }),
  fc.record({
    kind: fc.constant("page" as const),
    folder: fc.integer({ min: 1, max: 3 }),
    after: fc.integer({ min: -1, max: 60 }),
    max: fc.integer({ min: 1, max: 9 }),
    /** Written while the folder is being read. */
    during: fc.option(fc.nat(60)),
    later: fc.boolean(),
  }),
);

Deno.test("I1: pages have what is there whatever is written and removed between, and I2: little is kept", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const folders = new Map([1, 2, 3].map((number) => [number, new Set<string>()]));
      let now = 0, during: (() => void) | null = null;
      const listings = new Listings({
        read: (partition) => {
          const entries = [...folders.get(partition)!].map((name) => ({ name, isFile: true }));
          during?.();
          during = null;
          return Promise.resolve(entries);
        },
        others: () => Promise.resolve(),
        isPending: () => false,
        clock: () => now,
        namesMax: 40,
        windowNamesMax: 10,
      });
      for (const each of steps) {
        const partition = partitionId(each.folder), folder = folders.get(each.folder)!;
        if (each.kind === "write") {
          folder.add(nameOf(each.name));
          listings.added(partition, nameOf(each.name));
        } else if (each.kind === "remove") folder.delete(nameOf(each.name));
        else {
          if (each.later) now += 5000;
          const before = new Set(folder), after = each.after < 0 ? "" : nameOf(each.after);
          const written = each.during;
          if (written !== null) {
            during = () => {
              folder.add(nameOf(written));
              listings.added(partition, nameOf(written));
            };
          }
          const { names, done } = await listings.page(partition, after, each.max);
          during = null;
          assert.deepEqual([...names], [...new Set(names)].sort(), "sorted, and each once");
          assert.ok(names.length <= each.max && names.every((name) => name > after));
          assert.ok(names.length > 0 || done, "who goes on comes to an end");
          const end = done ? "~" : names.at(-1)!;
          for (const name of before) {
            if (name > after && name <= end) assert.ok(names.includes(name), `${name} is missing`);
          }
          assert.ok(listings.names <= 40 + 2 * 10 + 60, `${listings.names} names are kept`);
        }
      }
    }),
    { seed: 815, numRuns: 300 },
  );
});
