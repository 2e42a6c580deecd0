/**
 * The examples of Amazon's documentation ("Signature Calculations for the Authorization Header", "Authenticating
 * Requests: Using Query Parameters"), and the signer of Amazon's own JavaScript SDK as a second opinion.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { SignatureV4 } from "@smithy/signature-v4";
import { authenticate, type SignedRequest } from "../../../cli/s3/authenticate.ts";
import {
  amzDate,
  parseAmzDate,
  percentDecode,
  percentDecodeText,
  uriEncode,
  utf8OrNull,
} from "../../../cli/s3/encoding.ts";
import { S3Error } from "../../../cli/s3/errors.ts";
import { EMPTY_SHA256, SigningKeys } from "../../../cli/s3/signature.ts";

const ID = "AKIAIOSFODNN7EXAMPLE", SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW = Date.UTC(2013, 4, 24, 0, 1);
const credentials = { secretOf: (id: string) => Promise.resolve(id === ID ? SECRET : null) };

function documented(
  method: string,
  path: string,
  query: SignedRequest["query"],
  signature: string,
  more: Record<string, string> = {},
): SignedRequest {
  const headers = new Headers({
    "x-amz-date": "20130524T000000Z",
    "x-amz-content-sha256": EMPTY_SHA256,
    ...more,
  });
  const signed = ["host", ...[...headers.keys()]].sort().join(";");
  headers.set(
    "authorization",
    `AWS4-HMAC-SHA256 Credential=${ID}/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signed},Signature=${signature}`,
  );
  return { method, path, query, headers, host: "examplebucket.s3.amazonaws.com" };
}

async function refusal(request: SignedRequest, now = NOW): Promise<string> {
  try {
    await authenticate(request, credentials, now);
  } catch (error) {
    assert.ok(error instanceof S3Error, String(error));
    return error.code;
  }
  return "none";
}

const getExample = () =>
  documented("GET", "/test.txt", [], "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", {
    range: "bytes=0-9",
  });

Deno.test("authenticate() takes the signed requests of Amazon's documentation", async () => {
  const examples = [
    getExample(),
    documented(
      "PUT",
      "/test$file.text",
      [],
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
      {
        date: "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
      },
    ),
    documented(
      "GET",
      "/",
      [["lifecycle", ""]],
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    documented(
      "GET",
      "/",
      [["prefix", "J"], ["max-keys", "2"]],
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
  ];
  for (const example of examples) {
    const identity = await authenticate(example, credentials, NOW);
    assert.equal(identity?.accessId, ID, `${example.method} ${example.path}`);
  }
});

const presigned = (signature: string, expires = "86400"): SignedRequest => ({
  method: "GET",
  path: "/test.txt",
  query: [
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
    ["X-Amz-Credential", `${ID}/20130524/us-east-1/s3/aws4_request`],
    ["X-Amz-Date", "20130524T000000Z"],
    ["X-Amz-Expires", expires],
    ["X-Amz-SignedHeaders", "host"],
    ["X-Amz-Signature", signature],
  ],
  headers: new Headers(),
  host: "examplebucket.s3.amazonaws.com",
});
const PRESIGNED = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

Deno.test("authenticate() takes the presigned URL of Amazon's documentation until it expires", async () => {
  const identity = await authenticate(presigned(PRESIGNED), credentials, NOW);
  assert.equal(identity?.payload, "UNSIGNED-PAYLOAD");
  assert.equal(await refusal(presigned(PRESIGNED), Date.UTC(2013, 4, 25)), "none");
  assert.equal(await refusal(presigned(PRESIGNED), Date.UTC(2013, 4, 25) + 1), "AccessDenied");
  assert.equal(await refusal(presigned(PRESIGNED), Date.UTC(2013, 4, 23, 23, 44)), "AccessDenied");
  assert.equal(await refusal(presigned(PRESIGNED.replace("a", "b"))), "SignatureDoesNotMatch");
  for (const expires of ["604801", "0", "-1", "x", ""]) {
    assert.equal(await refusal(presigned(PRESIGNED, expires)), "AuthorizationQueryParametersError", expires);
  }
});

Deno.test("authenticate() says what is wrong", async () => {
  const changed = (change: (headers: Headers) => void) => {
    const request = getExample();
    change(request.headers);
    return request;
  };
  const replaced = (from: string, to: string) =>
    changed((headers) =>
      headers.set("authorization", (headers.get("authorization") ?? "").replace(from, to))
    );
  assert.equal(await authenticate({ ...getExample(), headers: new Headers() }, credentials, NOW), null);
  assert.equal(await refusal(getExample(), NOW + 16 * 60_000), "RequestTimeTooSkewed");
  assert.equal(await refusal(getExample(), NOW - 17 * 60_000), "RequestTimeTooSkewed");
  assert.equal(await refusal(getExample(), NOW + 13 * 60_000), "none");
  assert.equal(await refusal(replaced(ID, "AKIAOTHER")), "InvalidAccessKeyId");
  assert.equal(await refusal(replaced("us-east-1", "mars-1")), "SignatureDoesNotMatch");
  assert.equal(await refusal(replaced("20130524/", "20130523/")), "SignatureDoesNotMatch");
  assert.equal(await refusal(replaced("/s3/", "/ec2/")), "AuthorizationHeaderMalformed");
  assert.equal(
    await refusal(replaced("SignedHeaders=host;", "SignedHeaders=")),
    "AuthorizationHeaderMalformed",
  );
  assert.equal(await refusal(replaced("Signature=f0", "Signature=0f")), "SignatureDoesNotMatch");
  assert.equal(await refusal(replaced("Signature=f0e8", "Signature=f0")), "AuthorizationHeaderMalformed");
  assert.equal(
    await refusal(changed((headers) => headers.set("range", "bytes=0-8"))),
    "SignatureDoesNotMatch",
  );
  assert.equal(await refusal(changed((headers) => headers.set("x-amz-acl", "private"))), "AccessDenied");
  assert.equal(await refusal(changed((headers) => headers.delete("x-amz-content-sha256"))), "InvalidRequest");
  assert.equal(await refusal(changed((headers) => headers.delete("x-amz-date"))), "AccessDenied");
  assert.equal(
    await refusal(changed((headers) => headers.set("authorization", "AWS a:b"))),
    "InvalidRequest",
  );
  assert.equal(
    await refusal(changed((headers) => headers.set("authorization", "Basic a"))),
    "InvalidArgument",
  );
  assert.equal(await refusal({ ...getExample(), path: "/test%2" }), "InvalidURI");
  assert.equal(await refusal({ ...getExample(), query: presigned(PRESIGNED).query }), "InvalidArgument");
});

class Sha256 {
  #hash;
  constructor(readonly secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()));
  }
  reset(): void {
    this.#hash = this.secret === undefined
      ? createHash("sha256")
      : createHmac("sha256", bytesOf(this.secret));
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === "string") return Buffer.from(data);
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}

Deno.test("authenticate() takes what Amazon's JavaScript SDK signs, in headers and in queries, and not another path", async () => {
  const seed = 5005;
  const signer = new SignatureV4({
    ...{ service: "s3", region: "mars-north-1", sha256: Sha256, uriEscapePath: false },
    credentials: { accessKeyId: ID, secretAccessKey: SECRET },
  });
  const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { minLength: 1, maxLength: 3 }),
      fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), text, { maxKeys: 3 }),
      fc.stringMatching(/^[!-~]( {0,3}[!-~]){0,6}$/),
      fc.constantFrom("GET", "PUT", "DELETE"),
      async (segments, query, meta, method) => {
        const encode = (part: string) =>
          encodeURIComponent(part).replace(
            /[!'()*]/g,
            (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
          );
        const path = `/bucket/${segments.map((part) => encode(part.toWellFormed())).join("/")}`;
        const wellFormed = Object.fromEntries(Object.entries(query).map(([k, v]) => [k, v.toWellFormed()]));
        const request = {
          ...{ method, protocol: "http:", hostname: "127.0.0.1", path, query: wellFormed },
          headers: { host: "127.0.0.1:9000", "x-amz-meta-a": meta },
        };
        const date = new Date(NOW);
        const asReceived = (
          signed: { headers: Record<string, string>; query?: Record<string, unknown> },
        ) => ({
          ...{ method, path, host: "127.0.0.1:9000", headers: new Headers(signed.headers) },
          query: Object.entries(signed.query ?? {}).map(([name, value]) => [name, String(value)] as const),
        });
        const signed = asReceived(await signer.sign(request, { signingDate: date }));
        assert.equal((await authenticate(signed, credentials, NOW))?.accessId, ID);
        assert.equal(await refusal({ ...signed, path: `${path}x` }), "SignatureDoesNotMatch");
        assert.equal(await refusal({ ...signed, method: "POST" }), "SignatureDoesNotMatch");
        assert.equal(
          await refusal({ ...signed, query: [...signed.query, ["more", ""]] }),
          "SignatureDoesNotMatch",
        );
        const unsigned = {
          ...request,
          headers: { ...request.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
        };
        const url = asReceived(await signer.presign(unsigned, { signingDate: date, expiresIn: 60 }));
        assert.equal((await authenticate(url, credentials, NOW))?.accessId, ID);
        assert.equal(await refusal(url, NOW + 61_000), "AccessDenied");
      },
    ),
    { numRuns: 60, seed },
  );
});

Deno.test("parseAmzDate() takes dates that are there, and no others", () => {
  assert.equal(parseAmzDate("20130524T000000Z"), Date.UTC(2013, 4, 24));
  assert.equal(amzDate(Date.UTC(2013, 4, 24)), "20130524T000000Z");
  for (
    const text of ["20130231T000000Z", "20130524T250000Z", "2013-05-24T00:00:00Z", "20130524T000000", ""]
  ) {
    assert.equal(parseAmzDate(text), null, text);
  }
});

Deno.test("a key that has signed is kept as long as its secret is the same, and no more of them than there is room for", async () => {
  const keys = new SigningKeys(2), scope = { date: "20130524", region: "us-east-1", service: "s3" };
  const made = keys.of(ID, SECRET, scope);
  assert.notEqual(keys.of(ID, SECRET, scope), made, "nothing is remembered of whoever has not signed");
  keys.remember(ID, SECRET, scope, made);
  assert.equal(keys.of(ID, SECRET, scope), made);
  assert.notDeepEqual(keys.of(ID, "another", scope), made);
  assert.notDeepEqual(keys.of(ID, SECRET, { ...scope, date: "20130525" }), made);
  for (const region of ["a", "b"]) keys.remember(ID, SECRET, { ...scope, region }, made);
  assert.notEqual(keys.of(ID, SECRET, scope), made, "the oldest has gone");

  // Whatever is remembered, the same requests are let in and refused.
  const kept = new SigningKeys();
  for (let round = 0; round < 2; round++) {
    await authenticate(getExample(), credentials, NOW, kept);
    const other = { secretOf: () => Promise.resolve("another") };
    await assert.rejects(authenticate(getExample(), other, NOW, kept), S3Error);
  }
});

Deno.test("texts are encoded and decoded as byte by byte", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom("%", "+", "2", "F", "e", "C", "0", "a", "/", "~", "\u00e9") }),
  );
  fc.assert(fc.property(texts, fc.boolean(), (text, flag) => {
    const bytes = new TextEncoder().encode(text);
    assert.equal(uriEncode(text, flag), uriEncode(bytes, flag));
    const decoded = percentDecode(text, flag);
    assert.equal(percentDecodeText(text, flag), decoded === null ? null : utf8OrNull(decoded));
  }));
});
