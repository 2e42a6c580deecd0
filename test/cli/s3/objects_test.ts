import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { checksummer, combineChecksums, toBase64 } from "../../../cli/s3/checksums.ts";
import { expectStatus, texts, withFace } from "./support.ts";

const md5 = (text: string | Uint8Array) => createHash("md5").update(text).digest("hex");
const crc32 = (bytes: Uint8Array) => {
  const sum = checksummer("crc32");
  sum.update(bytes);
  return sum.digest();
};

Deno.test("an object comes back with its headers, its metadata, and nothing else", async () => {
  await withFace({}, async ({ send, log }) => {
    expectStatus(await send("PUT", "/stars"), 200);
    const put = expectStatus(
      await send("PUT", "/stars/vega%20%2B%C3%A9", {
        body: "bright",
        headers: {
          ...{
            "content-type": "text/plain",
            "cache-control": "no-store",
            "content-encoding": "aws-chunked,x",
          },
          ...{
            "content-disposition": "inline",
            "content-language": "la",
            "expires": "Thu, 01 Jan 2037 00:00:00 GMT",
          },
          ...{ "x-amz-meta-colour": "blue", "x-amz-tagging": "a=1&b=%26", "x-amz-storage-class": "STANDARD" },
        },
      }),
      200,
    );
    assert.equal(put.headers.get("etag"), `"${md5("bright")}"`);
    const got = expectStatus(await send("GET", "/stars/vega%20%2B%C3%A9"), 200);
    assert.equal(got.text, "bright");
    const shown = [
      ...[
        "content-type",
        "cache-control",
        "content-encoding",
        "content-disposition",
        "content-language",
        "expires",
      ],
      ...["x-amz-meta-colour", "x-amz-tagging-count", "content-length", "accept-ranges", "etag"],
    ];
    assert.deepEqual(shown.map((name) => got.headers.get(name)), [
      ...["text/plain", "no-store", "x", "inline", "la", "Thu, 01 Jan 2037 00:00:00 GMT"],
      ...["blue", "2", "6", "bytes", `"${md5("bright")}"`],
    ]);
    const head = expectStatus(await send("HEAD", "/stars/vega%20%2B%C3%A9?response-content-type=a%2Fb"), 200);
    assert.deepEqual([head.text, head.headers.get("content-length"), head.headers.get("content-type")], [
      "",
      "6",
      "a/b",
    ]);
    assert.match(got.headers.get("x-amz-request-id") ?? "", /^[0-9A-F]{16}$/);
    expectStatus(await send("DELETE", "/stars/vega%20%2B%C3%A9"), 204);
    const gone = expectStatus(await send("GET", "/stars/vega%20%2B%C3%A9"), 404, "NoSuchKey");
    assert.equal(texts(gone, "RequestId")[0], gone.headers.get("x-amz-request-id"));
    assert.equal(expectStatus(await send("HEAD", "/stars/vega"), 404).text, "");
    assert.ok(log.every((entry) => entry.error === null && entry.who === "AKIDSTAR"));
  });
});

Deno.test("ranges and conditions are those of HTTP", async () => {
  await withFace({}, async ({ send }) => {
    await send("PUT", "/stars");
    const etag = (await send("PUT", "/stars/k", { body: "0123456789" })).headers.get("etag") ?? "";
    const get = (headers: Record<string, string>) => send("GET", "/stars/k", { headers });
    for (
      const [range, text, shown] of [
        ["bytes=2-4", "234", "bytes 2-4/10"],
        ["bytes=7-", "789", "bytes 7-9/10"],
        ["bytes=-3", "789", "bytes 7-9/10"],
        ["bytes=8-100", "89", "bytes 8-9/10"],
      ] as const
    ) {
      const got = expectStatus(await get({ range }), 206);
      assert.deepEqual([got.text, got.headers.get("content-range")], [text, shown]);
    }
    for (const range of ["bytes=4-2", "bytes=0-1,3-4", "chars=1-2", "bytes=-"]) {
      assert.equal(expectStatus(await get({ range }), 200).text, "0123456789", range);
    }
    const beyond = expectStatus(await get({ range: "bytes=10-" }), 416, "InvalidRange");
    assert.equal(beyond.headers.get("content-range"), "bytes */10");
    assert.equal(expectStatus(await get({ range: "bytes=1-1", "if-range": etag }), 206).text, "1");
    assert.equal(expectStatus(await get({ range: "bytes=1-1", "if-range": '"x"' }), 200).text, "0123456789");

    const past = "Thu, 01 Jan 2015 00:00:00 GMT", future = "Thu, 01 Jan 2037 00:00:00 GMT";
    expectStatus(await get({ "if-match": etag }), 200);
    expectStatus(await get({ "if-match": '"x"' }), 412, "PreconditionFailed");
    const same = expectStatus(await get({ "if-none-match": `"x", ${etag}` }), 304);
    assert.deepEqual([same.headers.get("etag"), same.text], [etag, ""]);
    expectStatus(await get({ "if-modified-since": future }), 304);
    expectStatus(await get({ "if-modified-since": past }), 200);
    expectStatus(await get({ "if-unmodified-since": past }), 412, "PreconditionFailed");
    expectStatus(await get({ "if-unmodified-since": past, "if-match": etag }), 200);
    expectStatus(await get({ "if-modified-since": future, "if-none-match": '"x"' }), 200);

    const put = (headers: Record<string, string>) => send("PUT", "/stars/k", { body: "new", headers });
    expectStatus(await put({ "if-none-match": "*" }), 412, "PreconditionFailed");
    expectStatus(await put({ "if-match": '"x"' }), 412, "PreconditionFailed");
    expectStatus(await put({ "if-match": etag }), 200);
    expectStatus(
      await send("DELETE", "/stars/k", { headers: { "if-match": etag } }),
      412,
      "PreconditionFailed",
    );
  });
});

Deno.test("a range of what is still the same is no range of what takes its place meanwhile", async () => {
  await withFace({}, async ({ send, store }) => {
    await send("PUT", "/stars");
    const etag = (await send("PUT", "/stars/k", { body: "0123456789" })).headers.get("etag") ?? "";
    const get = (headers: Record<string, string>) => send("GET", "/stars/k", { headers });
    const head = store.head;
    let count = 0;
    store.head = async (options) => {
      const found = await head(options);
      if (++count === 1) await send("PUT", "/stars/k", { body: "abcdefghij" });
      return found;
    };
    const whole = expectStatus(await get({ range: "bytes=5-", "if-range": etag }), 200);
    assert.equal(whole.text, "abcdefghij");
    count = 0;
    const now = whole.headers.get("etag") ?? "";
    expectStatus(
      await get({ range: "bytes=5-", "if-range": now, "if-match": etag }),
      412,
      "PreconditionFailed",
    );
    assert.equal(expectStatus(await get({ range: "bytes=5-", "if-range": now }), 206).text, "fghij");
  });
});

Deno.test("a body that is not what the client says it is changes nothing, empty ones included", async () => {
  await withFace({}, async ({ send }) => {
    await send("PUT", "/stars");
    const sha = (text: string) => createHash("sha256").update(text).digest("hex");
    const crc = (text: string) => toBase64(crc32(new TextEncoder().encode(text)));
    const trailed = (text: string, sum: string) =>
      `${
        text === "" ? "" : `${text.length.toString(16)}\r\n${text}\r\n`
      }0\r\nx-amz-checksum-crc32:${sum}\r\n\r\n`;
    const streamed = (text: string, sum: string, more: Record<string, string> = {}) => ({
      payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
      body: trailed(text, sum),
      headers: {
        ...{ "x-amz-decoded-content-length": String(text.length), "x-amz-trailer": "x-amz-checksum-crc32" },
        ...more,
      },
    });
    for (const body of ["", "bright"]) {
      const put = (init: Parameters<typeof send>[2]) => send("PUT", "/stars/k", { body, ...init });
      expectStatus(await put({ payload: sha("x") }), 400, "XAmzContentSHA256Mismatch");
      expectStatus(
        await put({ headers: { "content-md5": Buffer.from(md5("x"), "hex").toString("base64") } }),
        400,
        "BadDigest",
      );
      expectStatus(await put({ headers: { "content-md5": "eA==" } }), 400, "InvalidDigest");
      expectStatus(await put({ headers: { "x-amz-checksum-crc32": crc("x") } }), 400, "BadDigest");
      expectStatus(await put({ headers: { "x-amz-checksum-crc32": "x" } }), 400, "InvalidRequest");
      expectStatus(await put(streamed(body, crc("x"))), 400, "BadDigest");
      expectStatus(
        await put(streamed(body, crc(body), { "x-amz-decoded-content-length": "7" })),
        400,
        "IncompleteBody",
      );
      expectStatus(await put({ payload: "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" }), 501, "NotImplemented");
      expectStatus(await put({ payload: "nonsense" }), 400, "InvalidArgument");
      expectStatus(await send("HEAD", "/stars/k"), 404);

      const stored = expectStatus(await put(streamed(body, crc(body))), 200);
      assert.equal(stored.headers.get("x-amz-checksum-crc32"), crc(body));
      const got = expectStatus(
        await send("GET", "/stars/k", { headers: { "x-amz-checksum-mode": "ENABLED" } }),
        200,
      );
      assert.deepEqual(
        [got.text, got.headers.get("x-amz-checksum-crc32"), got.headers.get("x-amz-checksum-type")],
        [body, crc(body), "FULL_OBJECT"],
      );
      assert.equal((await send("GET", "/stars/k")).headers.get("x-amz-checksum-crc32"), null);
      expectStatus(await send("DELETE", "/stars/k"), 204);
    }
  });
});

Deno.test("what cannot be done is refused, and not taken for something else", async () => {
  await withFace({}, async ({ send }) => {
    await send("PUT", "/stars");
    const put = (headers: Record<string, string>) => send("PUT", "/stars/k", { body: "x", headers });
    expectStatus(await put({ "x-amz-acl": "public-read" }), 501, "NotImplemented");
    expectStatus(await put({ "x-amz-acl": "private" }), 200);
    expectStatus(await put({ "x-amz-grant-read": "id=1" }), 501, "NotImplemented");
    expectStatus(await put({ "x-amz-storage-class": "GLACIER" }), 400, "InvalidStorageClass");
    expectStatus(await put({ "x-amz-server-side-encryption": "aws:kms" }), 501, "NotImplemented");
    expectStatus(await put({ "x-amz-object-lock-mode": "GOVERNANCE" }), 501, "NotImplemented");
    expectStatus(await put({ "x-amz-meta-a": "x".repeat(2048) }), 400, "MetadataTooLarge");
    expectStatus(await put({ "x-amz-tagging": "a=1&a=2" }), 400, "InvalidTag");
    for (
      const [method, path] of [
        ["GET", "/stars/k?torrent"],
        ["POST", "/stars/k?select&select-type=2"],
        ["PUT", "/stars/k?retention"],
        ["PUT", "/stars?policy"],
        ["GET", "/stars?inventory"],
        ["POST", "/stars"],
        ["PATCH", "/stars/k"],
      ] as const
    ) {
      expectStatus(await send(method, path), 501, "NotImplemented");
    }
    expectStatus(await send("PUT", `/stars/${"k".repeat(1025)}`, { body: "" }), 400, "KeyTooLongError");
    expectStatus(await send("PUT", "/stars/%ff", { body: "" }), 400, "InvalidURI");
    expectStatus(await send("PUT", "/UPPER"), 400, "InvalidBucketName");
    expectStatus(await send("GET", "/stars?max-keys=x"), 400, "InvalidArgument");
    expectStatus(await send("GET", "/stars/k?versionId="), 400, "InvalidArgument");
    expectStatus(await send("DELETE", "/stars"), 409, "BucketNotEmpty");
    expectStatus(await send("PUT", "/stars"), 409, "BucketAlreadyOwnedByYou");
  });
});

Deno.test("copies take content, and metadata and tags unless others are given", async () => {
  await withFace({}, async ({ send }) => {
    await send("PUT", "/stars");
    const headers = {
      "x-amz-meta-a": "1",
      "x-amz-tagging": "t=1",
      "x-amz-checksum-crc32": toBase64(crc32(new TextEncoder().encode("bright"))),
    };
    await send("PUT", "/stars/a%20b", { body: "bright", headers });
    const copy = (to: string, more: Record<string, string>) =>
      send("PUT", to, { headers: { "x-amz-copy-source": "/stars/a%20b", ...more } });
    const copied = expectStatus(await copy("/stars/c", {}), 200);
    assert.equal(texts(copied, "ETag")[0], `&quot;${md5("bright")}&quot;`);
    const plain = await send("GET", "/stars/c");
    assert.deepEqual([
      plain.text,
      plain.headers.get("x-amz-meta-a"),
      plain.headers.get("x-amz-tagging-count"),
    ], ["bright", "1", "1"]);
    expectStatus(
      await copy("/stars/d", {
        ...{ "x-amz-metadata-directive": "REPLACE", "x-amz-meta-b": "2" },
        ...{ "x-amz-tagging-directive": "REPLACE", "x-amz-tagging": "u=1&v=2" },
      }),
      200,
    );
    const replaced = await send("GET", "/stars/d", { headers: { "x-amz-checksum-mode": "ENABLED" } });
    assert.deepEqual(
      ["x-amz-meta-a", "x-amz-meta-b", "x-amz-tagging-count", "x-amz-checksum-crc32"].map((name) =>
        replaced.headers.get(name)
      ),
      [null, "2", "2", headers["x-amz-checksum-crc32"]],
    );
    expectStatus(await copy("/stars/a%20b", {}), 400, "InvalidRequest");
    expectStatus(
      await copy("/stars/e", { "x-amz-copy-source-if-none-match": "*" }),
      412,
      "PreconditionFailed",
    );
    expectStatus(await copy("/stars/e", { "x-amz-copy-source": "/stars/none" }), 404, "NoSuchKey");
    expectStatus(await copy("/stars/e", { "x-amz-copy-source": "stars" }), 400, "InvalidArgument");
  });
});

Deno.test("an upload in parts becomes an object with the checksum of the whole", async () => {
  await withFace({}, async ({ send }) => {
    await send("PUT", "/stars");
    const begun = await send("POST", "/stars/big?uploads", {
      headers: {
        "x-amz-checksum-algorithm": "CRC32",
        "x-amz-checksum-type": "FULL_OBJECT",
        "x-amz-meta-a": "1",
      },
    });
    const id = texts(begun, "UploadId")[0] ?? "";
    const parts = [
      new Uint8Array(5 << 20).fill(1),
      new Uint8Array(5 << 20).fill(2),
      new Uint8Array(3).fill(3),
    ];
    const named: string[] = [];
    for (const [at, body] of parts.entries()) {
      const put = expectStatus(
        await send("PUT", `/stars/big?partNumber=${at + 1}&uploadId=${id}`, {
          body,
          headers: { "x-amz-checksum-crc32": toBase64(crc32(body)) },
        }),
        200,
      );
      const etag = put.headers.get("etag") ?? "", sum = put.headers.get("x-amz-checksum-crc32") ?? "";
      named.push(
        `<Part><PartNumber>${
          at + 1
        }</PartNumber><ETag>${etag}</ETag><ChecksumCRC32>${sum}</ChecksumCRC32></Part>`,
      );
    }
    const listed = await send("GET", `/stars/big?uploadId=${id}&max-parts=2`);
    assert.deepEqual([texts(listed, "PartNumber"), texts(listed, "IsTruncated")], [["1", "2"], ["true"]]);
    assert.deepEqual(texts(await send("GET", "/stars?uploads"), "UploadId"), [id]);
    const complete = (xml: string[], headers: Record<string, string> = {}) =>
      send("POST", `/stars/big?uploadId=${id}`, {
        headers,
        body: `<CompleteMultipartUpload xmlns="x">${xml.join("")}</CompleteMultipartUpload>`,
      });
    expectStatus(await complete([]), 400, "MalformedXML");
    expectStatus(await complete(named.toReversed()), 400, "InvalidPartOrder");
    expectStatus(await complete(named, { "x-amz-checksum-crc32": "AAAAAA==" }), 400, "BadDigest");
    expectStatus(
      await complete(["<Part><PartNumber>7</PartNumber><ETag>x</ETag></Part>"]),
      400,
      "InvalidPart",
    );
    const done = expectStatus(await complete(named), 200);
    const whole = combineChecksums(
      "crc32",
      "FULL_OBJECT",
      parts.map((bytes) => ({ bytes: bytes.length, checksum: crc32(bytes) })),
    );
    assert.deepEqual(texts(done, "ChecksumCRC32"), [whole]);
    // Asked for again, as by who had no answer.
    const twice = expectStatus(await complete(named), 200);
    for (const name of ["ETag", "ChecksumCRC32"]) assert.deepEqual(texts(twice, name), texts(done, name));
    const second = expectStatus(await send("GET", "/stars/big?partNumber=2"), 206);
    assert.equal(second.headers.get("content-range"), `bytes 5242880-10485759/${10485763}`);
    assert.equal(second.headers.get("x-amz-mp-parts-count"), "3");
    expectStatus(await send("GET", "/stars/big?partNumber=4"), 416, "InvalidPartNumber");
    const attributes = await send("GET", "/stars/big?attributes", {
      headers: { "x-amz-object-attributes": "ObjectParts,Checksum,ObjectSize" },
    });
    assert.deepEqual([texts(attributes, "PartsCount"), texts(attributes, "ObjectSize")], [["3"], [
      "10485763",
    ]]);
    expectStatus(await send("DELETE", `/stars/big?uploadId=${id}`), 404, "NoSuchUpload");
    await send("PUT", "/stars/big", { body: "another" });
    expectStatus(await complete(named), 404, "NoSuchUpload");
  });
});

Deno.test("versions are listed, read and deleted by their ids", async () => {
  await withFace({}, async ({ send }) => {
    await send("PUT", "/stars");
    const body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    assert.match((await send("GET", "/stars?versioning")).text, /<VersioningConfiguration xmlns="[^"]*"\/>/);
    expectStatus(await send("PUT", "/stars?versioning", { body }), 200);
    const first = (await send("PUT", "/stars/k", { body: "1" })).headers.get("x-amz-version-id");
    const second = (await send("PUT", "/stars/k", { body: "2" })).headers.get("x-amz-version-id");
    // What can be no id is none, and stands in no header (--only s3 --seed 77).
    const strange = expectStatus(await send("DELETE", "/stars/k?versionId=%1B%00null"), 204).headers;
    assert.equal(strange.get("x-amz-version-id"), null);
    const marker = expectStatus(await send("DELETE", "/stars/k"), 204).headers;
    assert.equal(marker.get("x-amz-delete-marker"), "true");
    const hidden = expectStatus(await send("GET", "/stars/k"), 404, "NoSuchKey");
    assert.equal(hidden.headers.get("x-amz-delete-marker"), "true");
    const named = `/stars/k?versionId=${marker.get("x-amz-version-id")}`;
    expectStatus(await send("GET", named), 405, "MethodNotAllowed");
    assert.equal((await send("GET", `/stars/k?versionId=${first}`)).text, "1");
    expectStatus(await send("GET", "/stars/k?versionId=none"), 404, "NoSuchVersion");
    const listed = await send("GET", "/stars?versions");
    assert.deepEqual(texts(listed, "VersionId"), [marker.get("x-amz-version-id"), second, first]);
    assert.deepEqual(texts(listed, "IsLatest"), ["true", "false", "false"]);
    const page = await send("GET", "/stars?versions&max-keys=1");
    const next = `key-marker=${texts(page, "NextKeyMarker")[0]}&version-id-marker=${
      texts(page, "NextVersionIdMarker")[0]
    }`;
    assert.deepEqual(texts(await send("GET", `/stars?versions&max-keys=1&${next}`), "VersionId"), [second]);
    expectStatus(await send("DELETE", named), 204);
    assert.equal((await send("GET", "/stars/k")).text, "2");
    const many = await send("POST", "/stars?delete", {
      body:
        `<Delete><Object><Key>k</Key><VersionId>${first}</VersionId></Object><Object><Key>k</Key></Object></Delete>`,
    });
    assert.equal(texts(many, "DeleteMarkerVersionId").length, 1);
    assert.equal(texts(many, "Key").length, 2);
  });
});
