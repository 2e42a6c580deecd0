import assert from "node:assert/strict";
import { join } from "node:path";
import { nameOf, parseBucket, parseKey, parseLocation } from "../../../../cli/commands/objects/location.ts";
import { contentTypeOf, placeBelow } from "../../../../cli/commands/objects/files.ts";

Deno.test("parseLocation() tells objects, files and pipes apart", () => {
  assert.deepEqual(parseLocation("so://album/a/b"), { kind: "object", bucket: "album", key: "a/b" });
  assert.deepEqual(parseLocation("so://album"), { kind: "object", bucket: "album", key: "" });
  assert.deepEqual(parseLocation("so://album//x"), { kind: "object", bucket: "album", key: "/x" });
  assert.deepEqual(parseLocation("-"), { kind: "pipe" });
  assert.deepEqual(parseLocation("./so/file"), { kind: "file", path: "./so/file" });
  assert.equal(nameOf({ bucket: "album", key: "a/b" }), "so://album/a/b");
});

Deno.test("names that mean nothing are refused with what to write", () => {
  assert.throws(() => parseLocation("so:///key"), /names no bucket; write so:\/\/BUCKET\/KEY/);
  assert.throws(() => parseLocation("s3://album/a"), /is no place that is known here/);
  assert.throws(() => parseLocation(""), /is empty/);
  assert.throws(() => parseKey("so://album"), /names a bucket; name an object in it/);
  assert.throws(() => parseBucket("so://album/a"), /names an object; name its bucket alone/);
  assert.equal(parseBucket("album"), "album");
});

Deno.test("placeBelow() never leaves the folder", () => {
  const from = { kind: "object", bucket: "b", key: "k" } as const;
  assert.equal(placeBelow("here", "a/b", from), join("here", "a", "b"));
  for (const bad of ["../x", "a/../../x", "/etc/passwd", "a//b", ".", "a/", "a\0b"]) {
    assert.throws(() => placeBelow("here", bad, from), /cannot be a file below "here"/, bad);
  }
});

Deno.test("contentTypeOf() knows names by their end and is not confused by those of objects", () => {
  assert.equal(contentTypeOf("a/b.JPG"), "image/jpeg");
  assert.equal(contentTypeOf("noend"), "application/octet-stream");
  assert.equal(contentTypeOf("x.constructor"), "application/octet-stream");
});
