import assert from "node:assert/strict";
import fc from "fast-check";
import { compareUtf8 } from "../../../core/base/bytes.ts";
import { isRow, startPastRows } from "../../../core/wire/rows.ts";

const text = fc.string({
  unit: fc.constantFrom("\0", "\u0001", "\u0002", "a", "\uffff", "\u{10000}"),
  maxLength: 3,
});
const within = (key: string, start: string, end: string | null) =>
  compareUtf8(start, key) <= 0 && (end === null || compareUtf8(key, end) < 0);

Deno.test("startPastRows() lets nobody see rows who did not begin among them, and takes away no other key of letters", () => {
  let clamped = 0;
  fc.assert(
    fc.property(text, fc.option(text), text, (start, end, key) => {
      const from = startPastRows(start, end);
      if (from !== start) clamped++;
      if (isRow(start)) return assert.equal(from, start);
      if (isRow(key)) return assert.equal(within(key, from, end), false, JSON.stringify([start, end, key]));
      // What begins with U+0000 is shown by spans that end before the rows alone.
      const hidden = key.startsWith("\0") || key === "";
      if (!hidden) assert.equal(within(key, from, end), within(key, start, end));
      else if (end !== null && compareUtf8(end, "\u0001") <= 0) {
        assert.equal(within(key, from, end), within(key, start, end));
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(clamped > 100, `${clamped}`);
});
