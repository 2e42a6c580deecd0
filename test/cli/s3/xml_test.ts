import assert from "node:assert/strict";
import { LIMITS } from "../../../core/base/limits.ts";
import fc from "fast-check";
import { S3Error } from "../../../cli/s3/errors.ts";
import { parseXml, xml, xmlDocument } from "../../../cli/s3/xml.ts";

const parse = (text: string, root = "a") => parseXml(new TextEncoder().encode(text), root);

Deno.test("parseXml() gives back every text that xmlDocument() writes", () => {
  const unit = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("\r", "\n", "\t", "\u0001", "]]>", "&amp;", " "),
  );
  fc.assert(
    fc.property(fc.array(unit).map((parts) => parts.join("").toWellFormed()), (text) => {
      if (text.includes("\0")) return;
      assert.equal(parse(xmlDocument(xml("a", [xml("b", text)]))).textOf("b") ?? "", text);
    }),
    { numRuns: 300, seed: 5010 },
  );
});

Deno.test("parseXml() reads namespaces, references, CDATA and what may stand around the root", () => {
  const text =
    '\n<?xml version="1.0"?><!-- x --><s:a xmlns:s="u" y="z">\n<s:b>1&#x41;&#66;&lt;<![CDATA[&lt;]]></s:b><c/></s:a>\n';
  assert.equal(parse(text.trim()).textOf("b"), "1AB<&lt;");
  assert.equal(parse(text.trim()).textOf("c"), "");
  assert.equal(parse("<a/>").textOf("b"), null);
});

Deno.test("parseXml() refuses what is not well-formed, has a document type, or has another root", () => {
  const billion = '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><a>&z;</a>';
  const refused = [
    ...[
      "",
      " ",
      "x",
      "<a>",
      "<a></b>",
      "<a/><a/>",
      "<b/>",
      "<a>&x;</a>",
      "<a>&#xD800;</a>",
      "<a>&#x110000;</a>",
    ],
    ...["<a>& b</a>", "<a>&amp</a>", billion, "<a><__proto__/></a>", "<a>".repeat(200) + "</a>".repeat(200)],
  ];
  for (const text of refused) {
    assert.throws(
      () => parse(text),
      (error) => error instanceof S3Error && error.code === "MalformedXML",
      text,
    );
  }
  assert.throws(() => parseXml(Uint8Array.of(0x3c, 0x61, 0x3e, 0xff, 0x3c, 0x2f, 0x61, 0x3e), "a"), S3Error);
});

Deno.test("parseXml() takes as much as 10,000 parts have, and nothing that would keep the node from all else", () => {
  const part =
    "<Part><PartNumber>1</PartNumber><ETag>&quot;x==&quot;</ETag><ChecksumCRC32>A==</ChecksumCRC32></Part>";
  assert.equal(parse(`<a>${part.repeat(10_000)}</a>`).all("Part").length, 10_000);
  for (const much of ["<b/>", "&lt;", "="]) {
    const text = `<a>${much.repeat(LIMITS.s3XmlMarksMax + 1)}</a>`, start = performance.now();
    assert.throws(() => parse(text), /too many/);
    assert.ok(performance.now() - start < 500, "it is not read");
  }
});

Deno.test("Element.one() and allowing() refuse what is there twice or is not understood", () => {
  assert.throws(() => parse("<a><b/><b/></a>").one("b"), S3Error);
  assert.throws(() => parse("<a><b/><c/></a>").allowing("b"), S3Error);
  assert.equal(parse("<a><b/><c/></a>").allowing("b", "c").children.length, 2);
});
