/** The XML of S3: written from a tree with every text escaped, read strictly and within bounds. */
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { LIMITS } from "../../core/base/limits.ts";
import { S3Error } from "./errors.ts";
import { utf8OrNull } from "./encoding.ts";

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

// ---- writing

export type XmlContent = string | number | boolean | readonly Xml[];
export interface Xml {
  readonly name: string;
  readonly content: XmlContent;
  readonly attributes: string;
}

export function xml(name: string, content: XmlContent = "", attributes = ""): Xml {
  return { name, content, attributes };
}

/** Nothing where the value is null or absent. */
export function optional(name: string, content: XmlContent | null | undefined): Xml[] {
  return content === null || content === undefined ? [] : [xml(name, content)];
}

export const XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** A document whose root is in S3's namespace, errors excepted: they are in none. */
export function xmlDocument(root: Xml): string {
  return XML_DECLARATION + xmlElement(root);
}

export function xmlElement(root: Xml): string {
  const space = root.name === "Error" ? "" : ` xmlns="${NAMESPACE}"`;
  return write({ ...root, attributes: `${space}${root.attributes}` });
}

function write(element: Xml): string {
  const { name, content, attributes } = element;
  const inner = typeof content === "string"
    ? escape(content)
    : typeof content === "object"
    ? content.map(write).join("")
    : String(content);
  return inner === "" ? `<${name}${attributes}/>` : `<${name}${attributes}>${inner}</${name}>`;
}

/**
 * Control characters go as references, as S3 has them, though XML 1.0 has no way to say them; "\r" would come back as
 * "\n" otherwise. Halves of surrogates cannot be said at all.
 */
function escape(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[&<>"\0-\x08\x0b-\x1f\x7f]|\ufffe|\uffff/g, (character) => {
    switch (character) {
      case "&":
        return "&amp;";
      case "<":
        return "&lt;";
      case ">":
        return "&gt;";
      case '"':
        return "&quot;";
      default:
        return `&#x${character.charCodeAt(0).toString(16).toUpperCase()};`;
    }
  });
}

// ---- reading

/** An element that was read: either its children or its text matter. */
export class Element {
  constructor(readonly name: string, readonly text: string, readonly children: readonly Element[]) {}

  /** @throws {S3Error} where there is more than one */
  one(name: string): Element | null {
    const found = this.all(name);
    if (found.length > 1) throw malformed(`More than one <${name}> in <${this.name}>`);
    return found[0] ?? null;
  }
  all(name: string): Element[] {
    return this.children.filter((child) => child.name === name);
  }
  textOf(name: string): string | null {
    return this.one(name)?.text ?? null;
  }
  /** @throws {S3Error} where a child is none of these: what is not understood is not ignored */
  allowing(...names: string[]): this {
    const other = this.children.find((child) => !names.includes(child.name));
    if (other !== undefined) throw malformed(`<${other.name}> is not understood in <${this.name}>`);
    return this;
  }
}

export function malformed(message?: string): S3Error {
  return new S3Error("MalformedXML", message);
}

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: true,
  removeNSPrefix: true,
  parseTagValue: false,
  trimValues: false,
  // Entities are read here, strictly: five names and numbers. None can be declared, since a DTD is refused.
  processEntities: false,
  cdataPropName: "#cdata",
  ignoreDeclaration: true,
  ignorePiTags: true,
});

/** @throws {S3Error} MalformedXML */
export function parseXml(bytes: Uint8Array, root: string): Element {
  const text = utf8OrNull(bytes);
  if (text === null) throw malformed("The XML is not UTF-8");
  for (const mark of "<&=") checkCount(bytes, mark.charCodeAt(0));
  if (/<!(DOCTYPE|ENTITY)/i.test(text)) throw malformed("The XML has a document type, which is not read");
  let parsed: unknown;
  try {
    if (XMLValidator.validate(text) !== true) throw malformed();
    parsed = parser.parse(text);
  } catch {
    throw malformed();
  }
  const elements = read(parsed, 0).children;
  const found = elements[0];
  if (found === undefined || elements.length > 1 || found.name !== root) {
    throw malformed(`The XML is no <${root}>`);
  }
  return found;
}

function checkCount(bytes: Uint8Array, mark: number): void {
  let count = 0;
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
    if (++count > LIMITS.s3XmlMarksMax) throw malformed("The XML has too many elements");
  }
}

function read(nodes: unknown, depth: number): { text: string; children: Element[] } {
  if (!Array.isArray(nodes) || depth > 16) throw malformed();
  let text = "";
  const children: Element[] = [];
  for (const node of nodes) {
    if (typeof node !== "object" || node === null) throw malformed();
    for (const [name, content] of Object.entries(node)) {
      if (name === ":@") continue;
      if (name === "#text") text += unescape(String(content));
      else if (name === "#cdata") {
        if (!Array.isArray(content)) throw malformed();
        for (const part of content) text += String(part["#text"] ?? "");
      } else {
        const inner = read(content, depth + 1);
        children.push(new Element(name, inner.text, inner.children));
      }
    }
  }
  return { text, children };
}

const ENTITIES = new Map([["amp", "&"], ["lt", "<"], ["gt", ">"], ["quot", '"'], ["apos", "'"]]);

function unescape(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(/&([^;&]{0,10};?)/g, (_, reference: string) => {
    const name = reference.slice(0, -1);
    const known = ENTITIES.get(name);
    if (known !== undefined) return known;
    const digits = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(name);
    const point = digits === null
      ? NaN
      : parseInt(digits[1] ?? digits[2] ?? "", digits[1] === undefined ? 10 : 16);
    if (!reference.endsWith(";") || !(point <= 0x10ffff) || (point >= 0xd800 && point < 0xe000)) {
      throw malformed("The XML has an entity that is none");
    }
    return String.fromCodePoint(point);
  });
}
