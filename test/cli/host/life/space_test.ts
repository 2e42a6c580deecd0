import assert from "node:assert/strict";
import { sizeText } from "../../../../cli/host/life/space.ts";

Deno.test("sizeText() names a size in a unit of which there is one, so that none is 0.0", () => {
  const KiB = 1024, MiB = 1024 * KiB;
  const cases = [
    [0, "0 bytes"],
    [1, "1 bytes"],
    [1023, "1023 bytes"],
    [KiB, "1.0 KiB"],
    [1.5 * KiB, "1.5 KiB"],
    [51 * KiB, "51 KiB"],
    [MiB - KiB, "1023 KiB"],
    [MiB - 1, "1.0 MiB"],
    [MiB, "1.0 MiB"],
    [16 * MiB, "16 MiB"],
    [1.25 * 256 * MiB, "320 MiB"],
  ] as const;
  for (const [bytes, text] of cases) assert.equal(sizeText(bytes), text);
});
