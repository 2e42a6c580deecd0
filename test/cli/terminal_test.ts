import assert from "node:assert/strict";
import { bytesText, fitted, shown } from "../../cli/terminal.ts";

Deno.test("shown() leaves what can be read and turns what would steer a terminal into numbers", () => {
  assert.equal(shown("so://a/é 星 👩‍🚀"), "so://a/é 星 👩‍🚀");
  assert.equal(shown("a\nb\u001b[2Jc\u202ed\u009be\u2028"), "a\\u{a}b\\u{1b}[2Jc\\u{202e}d\\u{9b}e\\u{2028}");
});

Deno.test("fitted() keeps the end of what is too long, in the cells that a terminal takes", () => {
  assert.equal(fitted("photo.jpg", 9), "photo.jpg");
  assert.equal(fitted("photo.jpg", 8), "…oto.jpg");
  assert.equal(fitted("星星星", 6), "星星星");
  assert.equal(fitted("星星星", 5), "…星星");
  assert.equal(fitted("星星星", 4), "…星");
  assert.equal(fitted("e\u0301e\u0301", 2), "e\u0301e\u0301");
  assert.equal(fitted("abc", 1), "…");
  assert.equal(fitted("abc", 0), "");
});

Deno.test("bytesText() says amounts as people do", () => {
  assert.deepEqual([0, 1023, 1024, 5 * 1024 ** 2, 2 ** 50].map(bytesText), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "5.0 MiB",
    "1024.0 TiB",
  ]);
});
