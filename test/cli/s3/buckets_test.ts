import assert from "node:assert/strict";
import { type Answer, answered, expectStatus, ID, signed, texts, withFace } from "./support.ts";

Deno.test("lists page through every key once, in both versions, with and without a delimiter", async () => {
  await withFace({}, async ({ send }) => {
    await send("PUT", "/stars");
    const keys = ["a", "b/1", "b/2", "c/1", "c/x y&", "d", "é", "\u{1f31f}"];
    for (const key of keys) {
      expectStatus(await send("PUT", `/stars/${encodeURIComponent(key)}`, { body: key }), 200);
    }
    const page = async (query: string, token: string, next: string, element: string) => {
      const found: string[] = [];
      for (let after: string | null = ""; after !== null;) {
        const more: string = after === "" ? "" : `&${token}=${encodeURIComponent(after)}`;
        const answer: Answer = expectStatus(
          await send("GET", `/stars?max-keys=3&encoding-type=url${query}${more}`),
          200,
        );
        found.push(...texts(answer, element).map((text) => decodeURIComponent(text)));
        const given: string | undefined = texts(answer, next)[0];
        after = given === undefined ? null : decodeURIComponent(given);
        assert.equal(texts(answer, "IsTruncated")[0], String(after !== null));
      }
      return found;
    };
    assert.deepEqual(await page("", "marker", "NextMarker", "Key"), keys);
    assert.deepEqual(await page("&list-type=2", "continuation-token", "NextContinuationToken", "Key"), keys);
    for (
      const [query, token, next] of [
        ["&delimiter=/", "marker", "NextMarker"],
        ["&delimiter=/&list-type=2", "continuation-token", "NextContinuationToken"],
      ] as const
    ) {
      assert.deepEqual(await page(query, token, next, "Key"), ["a", "d", "é", "\u{1f31f}"]);
      assert.deepEqual((await page(query, token, next, "Prefix")).filter((prefix) => prefix !== ""), [
        "b/",
        "c/",
      ]);
    }
    const some = await send("GET", "/stars?list-type=2&prefix=c%2F&start-after=c%2F1&fetch-owner=true");
    assert.deepEqual([texts(some, "Key"), texts(some, "KeyCount"), texts(some, "ID")], [
      ["c/x y&amp;"],
      ["1"],
      [ID],
    ]);
    const none = await send("GET", "/stars?list-type=2&max-keys=0");
    assert.deepEqual([texts(none, "KeyCount"), texts(none, "IsTruncated")], [["0"], ["false"]]);
    expectStatus(await send("GET", "/stars?list-type=2&continuation-token=%2B"), 400, "InvalidArgument");
    expectStatus(await send("GET", "/none?list-type=2"), 404, "NoSuchBucket");
    const many = keys.map((key) => `<Object><Key>${key.replace("&", "&amp;")}</Key></Object>`).join("");
    const gone = expectStatus(
      await send("POST", "/stars?delete", { body: `<Delete>${many}<Quiet>true</Quiet></Delete>` }),
      200,
    );
    assert.deepEqual(texts(gone, "Key"), []);
    assert.deepEqual(texts(await send("GET", "/stars"), "Key"), []);
    expectStatus(await send("DELETE", "/stars"), 204);
    expectStatus(await send("HEAD", "/stars"), 404);
  });
});

Deno.test("rules, tags and defaults of a bucket are what was set, or what S3 says where nothing is", async () => {
  await withFace({ region: "mars-1" }, async ({ send }) => {
    await send("PUT", "/stars");
    const rules = [
      "<Rule><ID>a</ID><Filter><And><Prefix>x/</Prefix><Tag><Key>t</Key><Value>v</Value></Tag>",
      "<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status>",
      "<Expiration><Days>3</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays>",
      "<NewerNoncurrentVersions>4</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule>",
      "<Rule><ID>b</ID><Filter><Prefix></Prefix></Filter><Status>Disabled</Status><Expiration>",
      "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration><AbortIncompleteMultipartUpload>",
      "<DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>",
    ].join("");
    const lifecycle = (inner: string) => `<LifecycleConfiguration>${inner}</LifecycleConfiguration>`;
    expectStatus(await send("GET", "/stars?lifecycle"), 404, "NoSuchLifecycleConfiguration");
    expectStatus(await send("PUT", "/stars?lifecycle", { body: lifecycle(rules) }), 200);
    const kept = await send("GET", "/stars?lifecycle");
    assert.equal(
      kept.text.replace(/^.*<LifecycleConfiguration[^>]*>/s, "<x>").replace("<Prefix/>", "<Prefix></Prefix>"),
      `<x>${rules}</LifecycleConfiguration>`,
    );
    for (
      const [bad, code, status] of [
        [rules.replace("<Days>3", "<Days>0"), "InvalidArgument", 400],
        [rules.replace("<ID>b", "<ID>a"), "InvalidArgument", 400],
        [rules.replace("Enabled", "On"), "MalformedXML", 400],
        [rules.replace("<Days>3</Days>", "<Date>2030-01-01T01:00:00Z</Date>"), "InvalidArgument", 400],
        [rules.replace("<Expiration>", "<Transition/><Expiration>"), "NotImplemented", 501],
        // What would make a rule of all objects of one that was meant for some.
        [rules.replace("<And>", "<And><And>").replace("</And>", "</And></And>"), "MalformedXML", 400],
        [rules.replace(/<And>.*<\/And>/, "<And/>"), "MalformedXML", 400],
        [
          rules.replace(
            "<Filter><Prefix></Prefix></Filter>",
            "<Filter><Tag><Key>t</Key><Value>v</Value></Tag></Filter>",
          ),
          "InvalidRequest",
          400,
        ],
        ["", "MalformedXML", 400],
      ] as const
    ) expectStatus(await send("PUT", "/stars?lifecycle", { body: lifecycle(bad) }), status, code);
    expectStatus(await send("DELETE", "/stars?lifecycle"), 204);
    expectStatus(await send("GET", "/stars?lifecycle"), 404, "NoSuchLifecycleConfiguration");

    const tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    for (const path of ["/stars?tagging", "/stars/k?tagging"]) {
      await send("PUT", "/stars/k", { body: "" });
      expectStatus(await send("PUT", path, { body: tagging }), path === "/stars?tagging" ? 204 : 200);
      assert.deepEqual(texts(await send("GET", path), "Key"), ["a"]);
      expectStatus(await send("DELETE", path), 204);
    }
    expectStatus(await send("GET", "/stars?tagging"), 404, "NoSuchTagSet");
    expectStatus(await send("GET", "/stars?policy"), 404, "NoSuchBucketPolicy");
    expectStatus(
      await send("GET", "/stars?encryption"),
      404,
      "ServerSideEncryptionConfigurationNotFoundError",
    );
    expectStatus(await send("GET", "/none?policy"), 404, "NoSuchBucket");
    expectStatus(await send("DELETE", "/stars?policy"), 204);
    for (const name of ["notification", "logging", "accelerate", "requestPayment"]) {
      expectStatus(await send("GET", `/stars?${name}`), 200);
    }
    assert.deepEqual(texts(await send("GET", "/stars?location"), "LocationConstraint").length, 0);
    assert.match((await send("GET", "/stars?location")).text, />mars-1</);
    assert.equal((await send("HEAD", "/stars")).headers.get("x-amz-bucket-region"), "mars-1");
    assert.deepEqual(texts(await send("GET", "/stars/k?acl"), "Permission"), ["FULL_CONTROL"]);
    expectStatus(await send("PUT", "/stars?acl", { headers: { "x-amz-acl": "private" } }), 200);
    expectStatus(
      await send("PUT", "/stars?acl", { headers: { "x-amz-acl": "public-read" } }),
      501,
      "NotImplemented",
    );
    assert.deepEqual(texts(await send("GET", "/"), "Name"), ["stars"]);
    expectStatus(
      await send("GET", "/stars", { headers: { "x-amz-expected-bucket-owner": "another" } }),
      403,
      "AccessDenied",
    );
    expectStatus(await send("GET", "/stars", { headers: { "x-amz-expected-bucket-owner": ID } }), 200);
    const big = `<Tagging>${" ".repeat(1 << 20)}</Tagging>`;
    expectStatus(await send("PUT", "/stars?tagging", { body: big }), 400, "MaxMessageLengthExceeded");
  });
});

Deno.test("pages of other origins are told what the rules of the bucket allow", async () => {
  await withFace(
    { corsOf: (name) => Promise.resolve(name === "stars" ? rules : []) },
    async ({ send, url }) => {
      await send("PUT", "/stars");
      const xml =
        "<CORSConfiguration><CORSRule><AllowedOrigin>https://*.sky</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>";
      expectStatus(await send("GET", "/stars?cors"), 404, "NoSuchCORSConfiguration");
      expectStatus(await send("PUT", "/stars?cors", { body: xml }), 200);
      assert.deepEqual(texts(await send("GET", "/stars?cors"), "AllowedOrigin"), ["https://*.sky"]);
      expectStatus(
        await send("PUT", "/stars?cors", { body: xml.replace("GET", "PATCH") }),
        400,
        "InvalidRequest",
      );
      const exposed = xml.replace("</CORSRule>", "<ExposeHeader>no&#10;name</ExposeHeader></CORSRule>");
      expectStatus(await send("PUT", "/stars?cors", { body: exposed }), 400, "InvalidRequest");
      expectStatus(await send("DELETE", "/stars?cors"), 204);

      const ask = async (origin: string, method: string, headers = "", bucket = "stars") =>
        await answered(
          await fetch(`${url}/${bucket}/k`, {
            method: "OPTIONS",
            headers: {
              origin,
              "access-control-request-method": method,
              "access-control-request-headers": headers,
            },
          }),
        );
      const told = expectStatus(await ask("https://a.sky", "PUT", "X-Amz-Date, content-type"), 200);
      assert.equal(told.headers.get("access-control-allow-origin"), "https://a.sky");
      assert.equal(told.headers.get("access-control-allow-headers"), "x-amz-date, content-type");
      assert.equal(told.headers.get("access-control-max-age"), "60");
      expectStatus(await ask("https://a.sky", "DELETE"), 403, "AccessForbidden");
      expectStatus(await ask("https://a.sea", "PUT"), 403, "AccessForbidden");
      expectStatus(await ask("https://a.sky", "PUT", "x-other"), 403, "AccessForbidden");
      expectStatus(await ask("https://a.sky", "PUT", "", "none"), 403, "AccessForbidden");
      const simple = await send("GET", "/stars/none", { headers: { origin: "https://a.sky" } });
      assert.equal(
        expectStatus(simple, 404, "NoSuchKey").headers.get("access-control-allow-origin"),
        "https://a.sky",
      );
      assert.equal(simple.headers.get("access-control-expose-headers"), "etag");
      const other = await send("GET", "/stars/none", { headers: { origin: "https://a.sea" } });
      assert.equal(other.headers.get("access-control-allow-origin"), null);
    },
  );
});

const rules = [{
  ...{ id: "", origins: ["https://*.sky"], methods: ["GET", "PUT"], headers: ["x-amz-*", "content-type"] },
  // What cannot stand in a header is left out, however it came into the row.
  ...{ expose: ["etag", "no\nname"], maxAgeSeconds: 60 },
}];

Deno.test("a bucket may stand in the name of the host", async () => {
  await withFace({ domain: "s3.sky" }, async ({ server }) => {
    const send = async (method: string, host: string, path: string, body = "") => {
      const headers = signed(method, path, host, { body });
      const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
      const head =
        `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n`;
      using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
      await connection.write(new TextEncoder().encode(`${head}${lines}\r\n${body}`));
      return await new Response(connection.readable).text();
    };
    assert.match(await send("PUT", "stars.S3.sky:80", "/"), /^HTTP\/1.1 200/);
    assert.match(await send("PUT", "stars.s3.sky", "/a/b", "bright"), /^HTTP\/1.1 200/);
    assert.match(await send("GET", "stars.s3.sky", "/a/b"), /\r\n\r\nbright$/);
    assert.match(await send("GET", "s3.sky", "/stars/a/b"), /\r\n\r\nbright$/);
    assert.match(await send("GET", "stars.s3.sky", "/"), /<Key>a\/b<\/Key>/);
    // Dots and slashes are parts of keys, and no way to anywhere.
    assert.match(await send("PUT", "stars.s3.sky", "//x/../y/./", "odd"), /^HTTP\/1.1 200/);
    assert.match(await send("GET", "s3.sky", "/stars//x/../y/./"), /\r\n\r\nodd$/);
  });
});

Deno.test("a private network lets in who signs, an open one everybody", async () => {
  await withFace({}, async ({ send, url }) => {
    expectStatus(await answered(await fetch(`${url}/`)), 403, "AccessDenied");
    expectStatus(await send("GET", "/", { secret: "another" }), 403, "SignatureDoesNotMatch");
  });
  await withFace({ credentials: null }, async ({ send, url }) => {
    expectStatus(await answered(await fetch(`${url}/stars`, { method: "PUT" })), 200);
    expectStatus(await answered(await fetch(`${url}/stars/k`, { method: "PUT", body: "bright" })), 200);
    assert.equal(await (await fetch(`${url}/stars/k`)).text(), "bright");
    expectStatus(await send("GET", "/stars/k", { secret: "another" }), 200);
    // Signatures of chunks are not looked at, but the body is read for what it is.
    const body = `6;chunk-signature=${"0".repeat(64)}\r\nbright\r\n0;chunk-signature=${
      "0".repeat(64)
    }\r\n\r\n`;
    const headers = { "x-amz-decoded-content-length": "6" };
    expectStatus(
      await send("PUT", "/stars/s", { body, headers, payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" }),
      200,
    );
    assert.equal(await (await fetch(`${url}/stars/s`)).text(), "bright");
  });
});
