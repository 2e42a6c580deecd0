/** The texts of HTTP: percent-encoding, header values, dates. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

const UNRESERVED = new Set(
  encoder.encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"),
);
const HEX = Array.from({ length: 256 }, (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`);

/** Most texts are the same encoded and decoded, and byte by byte it takes long. */
const PLAIN = /^[\w.~-]*$/, PLAIN_PATH = /^[\w.~/-]*$/;
const ASCII = /^[\0-\x7f]*$/;

/** RFC 3986, as signatures want it: everything but the unreserved characters, and "/" where that is kept. */
export function uriEncode(bytes: Uint8Array | string, keepSlash = false): string {
  if (typeof bytes === "string" && (keepSlash ? PLAIN_PATH : PLAIN).test(bytes)) return bytes;
  let text = "";
  for (const byte of typeof bytes === "string" ? encoder.encode(bytes) : bytes) {
    text += UNRESERVED.has(byte) || (keepSlash && byte === 0x2f) ? String.fromCharCode(byte) : HEX[byte];
  }
  return text;
}

/** The bytes that a percent-encoded text stands for; null: a "%" without two hexadecimal digits. */
export function percentDecode(text: string, plusIsSpace = false): Uint8Array | null {
  const bytes = encoder.encode(text);
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    let byte = bytes[at] ?? 0;
    if (byte === 0x25) {
      const high = digit(bytes[at + 1]), low = digit(bytes[at + 2]);
      if (high < 0 || low < 0) return null;
      byte = high * 16 + low;
      at += 2;
    } else if (byte === 0x2b && plusIsSpace) byte = 0x20;
    bytes[length++] = byte;
  }
  return bytes.subarray(0, length);
}

function digit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Percent-encoded UTF-8; null: it is not. */
export function percentDecodeText(text: string, plusIsSpace = false): string | null {
  if (ASCII.test(text)) {
    const spaced = plusIsSpace && text.includes("+") ? text.replaceAll("+", " ") : text;
    if (!spaced.includes("%")) return spaced;
    try {
      return decodeURIComponent(spaced);
    } catch {
      return null;
    }
  }
  const bytes = percentDecode(text, plusIsSpace);
  return bytes === null ? null : utf8OrNull(bytes);
}

export function utf8OrNull(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** Headers come as one character a byte. What is UTF-8 was meant as UTF-8. */
export function headerText(value: string): string {
  return utf8OrNull(Uint8Array.from(value, (character) => character.charCodeAt(0))) ?? value;
}

/** The other way, for an answer; null: it cannot stand in a header. */
export function headerValue(text: string): string | null {
  // deno-lint-ignore no-control-regex
  if (/[\0-\x08\x0a-\x1f\x7f]/.test(text)) return null;
  return String.fromCharCode(...encoder.encode(text));
}

/** "Sun, 06 Nov 1994 08:49:37 GMT", and what else an HTTP date may look like; null: it is none. */
export function parseHttpDate(text: string): number | null {
  if (!/^[A-Z][a-z]{2,8},? /.test(text)) return null;
  const ms = Date.parse(text.replace(/^([A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]+ \d{4})$/, "$1 GMT"));
  return Number.isFinite(ms) ? ms : null;
}

export function httpDate(ms: number): string {
  return new Date(ms).toUTCString();
}

export function isoDate(ms: number): string {
  return new Date(ms).toISOString();
}

/** "20130524T000000Z"; null: it is none. */
export function parseAmzDate(text: string): number | null {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second] = match;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const ms = Date.parse(iso);
  return Number.isFinite(ms) && isoDate(ms) === iso ? ms : null;
}

export function amzDate(ms: number): string {
  return isoDate(ms).replace(/[-:]|\.\d{3}/g, "");
}

/** A whole number from `min` to `max` in plain digits; null: it is none. */
export function parseWhole(text: string, min: number, max: number): number | null {
  if (!/^\d{1,16}$/.test(text)) return null;
  const value = Number(text);
  return value >= min && value <= max ? value : null;
}
