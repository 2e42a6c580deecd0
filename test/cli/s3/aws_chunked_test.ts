/** The chunked uploads of Amazon's documentation, and what may come in their place, cut in every way. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { AwsChunkedDecoder, type AwsChunkedOptions } from "../../../cli/s3/aws_chunked.ts";
import { S3Error } from "../../../cli/s3/errors.ts";
import { signingKey } from "../../../cli/s3/signature.ts";

const scope = { date: "20130524", region: "us-east-1", service: "s3" };
const signer = (seed: string) => ({
  key: signingKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", scope),
  amzDate: "20130524T000000Z",
  scope: "20130524/us-east-1/s3/aws4_request",
  seed,
});
const A64 = "a".repeat(65536), A1 = "a".repeat(1024);
/** "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks". */
const PLAIN = [
  `10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n${A64}\r\n`,
  `400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n${A1}\r\n`,
  "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
].join("");
const plainOptions: AwsChunkedOptions = {
  ...{ signed: true, trailers: null, bytes: 66560 },
  signer: signer("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
};
/** The same with a trailing checksum: "… Including trailing headers". */
const TRAILED = [
  `10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n${A64}\r\n`,
  `400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n${A1}\r\n`,
  "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n",
  "x-amz-checksum-crc32c:sOO8/Q==\r\n",
  "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
].join("");
const trailedOptions: AwsChunkedOptions = {
  ...{ signed: true, trailers: ["x-amz-checksum-crc32c"], bytes: 66560 },
  signer: signer("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"),
};

function decode(
  options: AwsChunkedOptions,
  pieces: readonly Uint8Array[],
): { text: string; trailers: string[] } {
  const decoder = new AwsChunkedDecoder(options), decoded: string[] = [];
  for (const piece of pieces) {
    for (const content of decoder.push(piece)) decoded.push(new TextDecoder("latin1").decode(content));
  }
  return { trailers: [...decoder.end()].map((pair) => pair.join("=")), text: decoded.join("") };
}

const whole = (text: string) => [new TextEncoder().encode(text)];

function refused(options: AwsChunkedOptions, text: string): string {
  try {
    decode(options, whole(text));
  } catch (error) {
    assert.ok(error instanceof S3Error, String(error));
    return error.code;
  }
  return "none";
}

Deno.test("AwsChunkedDecoder takes the chunked upload of Amazon's documentation", () => {
  assert.equal(decode(plainOptions, whole(PLAIN)).text, A64 + A1);
});

Deno.test("AwsChunkedDecoder takes the upload with a trailer of Amazon's documentation", () => {
  const decoded = decode(trailedOptions, whole(TRAILED));
  assert.deepEqual(decoded, { text: A64 + A1, trailers: ["x-amz-checksum-crc32c=sOO8/Q=="] });
});

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

Deno.test("AwsChunkedDecoder reads the same however a body is cut", () => {
  const places = fc.array(fc.nat(200_000), { maxLength: 40 });
  const body = new TextEncoder().encode(TRAILED);
  fc.assert(
    fc.property(places, (at) => {
      assert.equal(decode(trailedOptions, cut(body, at)).text.length, 66560);
    }),
    { numRuns: 100, seed: 5006 },
  );
  // Every cut of a short one, byte by byte.
  const short = new TextEncoder().encode(
    "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
  );
  const options = { signed: false, signer: null, trailers: ["x-amz-checksum-crc32"], bytes: 5 };
  for (let at = 0; at <= short.length; at++) assert.equal(decode(options, cut(short, [at])).text, "abcde");
  assert.equal(decode(options, Array.from(short, (byte) => Uint8Array.of(byte))).text, "abcde");
});

Deno.test("AwsChunkedDecoder refuses a body of which any byte is another, or that lacks its end", () => {
  const bytes = new TextEncoder().encode(TRAILED);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ change;
      // The hexadecimal digits of a length, and the name of a trailer, may be in either case.
      if ((changed[at] ?? 0) === ((bytes[at] ?? 0) ^ 0x20)) return;
      assert.throws(() => decode(trailedOptions, [changed]), S3Error, `Byte ${at} xor ${change}`);
    }),
    { numRuns: 300, seed: 5007 },
  );
  for (const length of [0, 10, 66000, bytes.length - 1, bytes.length - 2, bytes.length - 4]) {
    assert.throws(
      () => decode(trailedOptions, [bytes.subarray(0, length)]),
      { code: "IncompleteBody" },
      `${length}`,
    );
  }
});

Deno.test("AwsChunkedDecoder says what is wrong", () => {
  const options = { signed: false, signer: null, trailers: ["x-amz-checksum-crc32"], bytes: 3 };
  const trailer = "x-amz-checksum-crc32:AAAAAA==\r\n";
  assert.equal(refused(options, `3\r\nabc\r\n0\r\n${trailer}\r\n`), "none");
  assert.equal(refused(options, `4\r\nabcd\r\n0\r\n${trailer}\r\n`), "IncompleteBody");
  assert.equal(refused(options, `2\r\nab\r\n0\r\n${trailer}\r\n`), "IncompleteBody");
  assert.equal(refused(options, `2\r\nabc\r\n0\r\n${trailer}\r\n`), "InvalidRequest");
  assert.equal(refused(options, `3\r\nabc\r\n0\r\n\r\n`), "MalformedTrailerError");
  assert.equal(refused(options, `3\r\nabc\r\n0\r\n${trailer}${trailer}\r\n`), "MalformedTrailerError");
  assert.equal(
    refused(options, `3\r\nabc\r\n0\r\n${trailer}x-amz-meta-a:b\r\n\r\n`),
    "MalformedTrailerError",
  );
  assert.equal(refused(options, `3\r\nabc\r\n0\r\n${trailer}\r\nmore`), "InvalidRequest");
  assert.equal(refused(options, `3;${"x".repeat(600)}`), "InvalidRequest");
  assert.equal(refused(options, `3\r\nabc\r\n0\r\n${"x".repeat(9000)}`), "InvalidRequest");
  assert.equal(refused(options, `-3\r\nabc\r\n`), "InvalidRequest");
  assert.equal(refused(options, `fffffffffffff\r\n`), "InvalidRequest");
  assert.equal(refused(plainOptions, "400\r\n"), "InvalidRequest");
  assert.equal(refused(plainOptions, PLAIN.replace("ad80", "ad81")), "SignatureDoesNotMatch");
  assert.equal(refused(trailedOptions, TRAILED.replace("sOO8", "sOO9")), "SignatureDoesNotMatch");
  assert.equal(refused(trailedOptions, TRAILED.replace("d81f", "d81e")), "SignatureDoesNotMatch");
});

Deno.test("AwsChunkedDecoder checks each chunk by the one before, so none can be left out or put elsewhere", () => {
  const options = plainOptions;
  const [first = "", second = "", last = ""] = PLAIN.split(/(?<=a\r\n)/);
  assert.equal(refused({ ...options, bytes: 1024 }, second + last), "SignatureDoesNotMatch");
  assert.equal(refused(options, second + first + last), "SignatureDoesNotMatch");
});
