/** Decoders of what S3 clients send: documents, headers, chunked bodies. Whole requests are in s3_requests.ts. */
import { concatBytes, equalBytes, utf8Encode } from "../../core/base/bytes.ts";
import { Random } from "../../core/base/random.ts";
import { AwsChunkedDecoder, type AwsChunkedOptions } from "../../cli/s3/aws_chunked.ts";
import { readConditions, readRange } from "../../cli/s3/conditions.ts";
import { readSource } from "../../cli/s3/copies.ts";
import { readRule as readCorsRule, writeRule as writeCorsRule } from "../../cli/s3/cors.ts";
import { parseAmzDate, parseHttpDate } from "../../cli/s3/encoding.ts";
import { S3Error } from "../../cli/s3/errors.ts";
import { readRule, writeRule } from "../../cli/s3/lifecycle.ts";
import { readMetadata, readTagHeader, readTagSet, tagSet } from "../../cli/s3/metadata.ts";
import { EMPTY_SHA256, sign, signingKey } from "../../cli/s3/signature.ts";
import { Element, parseXml, type Xml, xml, xmlDocument } from "../../cli/s3/xml.ts";
import { createHash } from "node:crypto";
import { type Decoder, decoder, someBytes } from "./decoder.ts";
import { DOCUMENTS } from "./s3_samples.ts";

/** Something was read that comes back otherwise. */
class Broken extends Error {}

const document = (root: string) => (random: Random) =>
  utf8Encode(random.pick(DOCUMENTS.filter((text) => text.includes(`<${root}`))));

export const S3: readonly Decoder[] = [
  decoder({
    name: "S3 XML",
    errors: [S3Error],
    sample: (random) => utf8Encode(random.pick(DOCUMENTS)),
    decode: (bytes) => {
      const found = parseXml(bytes, rootOf(bytes)), again = told(found);
      const read = parseXml(utf8Encode(xmlDocument(again)), found.name);
      if (JSON.stringify(told(read)) !== JSON.stringify(again)) throw new Broken("It is written as another");
      return found;
    },
  }),
  decoder({
    name: "S3 lifecycle",
    errors: [S3Error],
    sample: document("LifecycleConfiguration"),
    decode: (bytes) =>
      parseXml(bytes, "LifecycleConfiguration").allowing("Rule").all("Rule").map((element, at) => {
        const rule = readRule(element, at);
        return same(rule, readRule(reread(writeRule(rule)), at));
      }),
  }),
  decoder({
    name: "S3 CORS",
    errors: [S3Error],
    sample: document("CORSConfiguration"),
    decode: (bytes) =>
      parseXml(bytes, "CORSConfiguration").allowing("CORSRule").all("CORSRule").map((element) => {
        const rule = readCorsRule(element);
        return same(rule, readCorsRule(reread(writeCorsRule(rule))));
      }),
  }),
  decoder({
    name: "S3 tags",
    errors: [S3Error],
    sample: document("Tagging"),
    decode: (bytes) => {
      const tags = readTagSet(parseXml(bytes, "Tagging"), 10);
      return same(tags, readTagSet(reread(xml("Tagging", [tagSet(tags)])), 10));
    },
  }),
  decoder({
    name: "S3 headers",
    errors: [S3Error],
    sample: (random) => utf8Encode(random.pick(HEADERS)),
    decode: (bytes) => {
      const headers = headersOf(bytes), source = headers.get("x-amz-copy-source");
      const range = readRange(headers.get("range")), date = headers.get("date") ?? "";
      if (range?.kind === "from" && range.end !== null && range.end < range.start) {
        throw new Broken("A range ends before it begins");
      }
      const at = parseAmzDate(date) ?? parseHttpDate(date);
      if (at !== null && !Number.isFinite(at)) throw new Broken("A date is none");
      return [
        readConditions(headers),
        readConditions(headers, "x-amz-copy-source-"),
        readTagHeader(headers),
        readMetadata(headers),
        source === null ? null : readSource(source),
      ];
    },
  }),
  decoder({
    name: "S3 chunks",
    errors: [S3Error],
    sample: (random) => chunked(random, false),
    decode: (bytes) => unchunked(bytes, UNSIGNED),
  }),
  decoder({
    name: "S3 signed chunks",
    errors: [S3Error],
    sample: (random) => chunked(random, true),
    decode: (bytes) => unchunked(bytes, SIGNED),
  }),
];

// ---- documents

function rootOf(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes.subarray(0, 4096));
  return /<(?:[\w.-]+:)?([A-Za-z][\w.-]*)[\s/>]/.exec(text)?.[1] ?? "Root";
}

/** Text beside elements is nothing to anybody. */
function told({ name, text, children }: Element): Xml {
  return children.length > 0 ? xml(name, children.map(told)) : xml(name, text);
}

function reread(written: Xml): Element {
  return parseXml(utf8Encode(xmlDocument(written)), written.name);
}

function same<T>(value: T, again: T): T {
  if (JSON.stringify(value) !== JSON.stringify(again)) throw new Broken("It is written as another");
  return value;
}

// ---- headers

const HEADERS = [
  'range: bytes=0-9\nif-match: "abc", W/"def"\nif-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT',
  "range: bytes=-5\nx-amz-copy-source: /bucket/key%20of%20mine?versionId=0011\nx-amz-copy-source-if-none-match: *",
  "range: bytes=5-\ndate: 20130524T000000Z\nif-modified-since: Sun Nov  6 08:49:37 1994",
  "x-amz-tagging: a=1&b=%C3%BC&c=\nx-amz-meta-a: bright\ncontent-type: text/plain\ncontent-encoding: aws-chunked,gzip",
  "x-amz-acl: private\nexpires: never\nx-amz-meta-b: ü\nx-amz-storage-class: STANDARD",
] as const;

/** As a server gives them: what cannot be a header does not come this far. @throws {S3Error} */
function headersOf(bytes: Uint8Array): Headers {
  const headers = new Headers();
  for (const line of String.fromCharCode(...bytes.subarray(0, 60_000)).split("\n")) {
    const at = line.indexOf(":");
    try {
      headers.append(line.slice(0, at), line.slice(at + 1).trim());
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new S3Error("InvalidRequest", "That is no header");
    }
  }
  return headers;
}

// ---- chunked bodies

const SCOPE = { date: "20130524", region: "us-east-1", service: "s3" };
const SIGNER = {
  key: signingKey("secret", SCOPE),
  amzDate: "20130524T000000Z",
  scope: "20130524/us-east-1/s3/aws4_request",
  seed: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
};
const TRAILER = "x-amz-checksum-crc32";
const UNSIGNED: Omit<AwsChunkedOptions, "bytes"> = { signed: false, signer: null, trailers: [TRAILER] };
const SIGNED: Omit<AwsChunkedOptions, "bytes"> = { signed: true, signer: SIGNER, trailers: null };

/** The first four bytes say how many bytes there are in all. */
function chunked(random: Random, signed: boolean): Uint8Array {
  const contents = Array.from({ length: random.below(5) }, () => someBytes(random));
  const parts: Uint8Array[] = [];
  let previous = SIGNER.seed, bytes = 0;
  for (const content of [...contents, new Uint8Array(0)]) {
    const size = content.length.toString(16);
    const hash = createHash("sha256").update(content).digest("hex");
    const text =
      `AWS4-HMAC-SHA256-PAYLOAD\n${SIGNER.amzDate}\n${SIGNER.scope}\n${previous}\n${EMPTY_SHA256}\n${hash}`;
    if (signed) previous = sign(SIGNER.key, text);
    parts.push(utf8Encode(signed ? `${size};chunk-signature=${previous}\r\n` : `${size}\r\n`), content);
    parts.push(utf8Encode(content.length > 0 || signed ? "\r\n" : `${TRAILER}:AAAAAA==\r\n\r\n`));
    bytes += content.length;
  }
  return concatBytes([Uint8Array.of(bytes >>> 24, bytes >>> 16, bytes >>> 8, bytes), ...parts]);
}

/** However it is cut, the same comes of it. */
function unchunked(bytes: Uint8Array, options: Omit<AwsChunkedOptions, "bytes">): Uint8Array {
  const length = ((bytes[0] ?? 0) << 24 | (bytes[1] ?? 0) << 16 | (bytes[2] ?? 0) << 8 | (bytes[3] ?? 0)) >>>
    0;
  const body = bytes.subarray(4), random = Random.fromSeed(bytes.length);
  const read = (pieceMax: number) => {
    const decoder = new AwsChunkedDecoder({ ...options, bytes: length }), content: Uint8Array[] = [];
    try {
      for (let at = 0; at < body.length;) {
        const end = Math.min(body.length, at + 1 + random.below(pieceMax));
        content.push(...decoder.push(body.subarray(at, end)));
        at = end;
      }
      decoder.end();
    } catch (error) {
      if (error instanceof S3Error) return error;
      throw error;
    }
    return concatBytes(content);
  };
  const once = read(64 * 1024), again = read(16);
  if (once instanceof S3Error) {
    if (!(again instanceof S3Error) || again.code !== once.code) {
      throw new Broken("Cut otherwise it is not refused");
    }
    throw once;
  }
  if (again instanceof S3Error || !equalBytes(once, again)) {
    throw new Broken("Cut otherwise it is another body");
  }
  if (once.length !== length) throw new Broken("It has not the bytes that it should");
  return once;
}
