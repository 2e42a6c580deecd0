import process from "node:process";
import { styleText } from "node:util";
import type { KeyValue } from "../core/wire/requests.ts";

/** One line of data to stdout. */
export function print(line: string): void {
  console.log(line);
}

/** One line for the person at the terminal, to stderr. */
export function tell(line: string): void {
  console.error(line);
}

/** Coloured where `stream` is a terminal and NO_COLOR is not set. */
export function styled(style: "bold" | "dim" | "green" | "red" | "yellow" | "cyan", text: string): string {
  return styleText(style, text, { stream: process.stderr, validateStream: true });
}

/** Columns padded to the widest of each; numbers to the right. No row may have more columns than `head`. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const widths = head.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => String(row[i] ?? "").length))
  );
  const line = (cells: readonly (string | number)[]) =>
    head.map((_, i) => {
      const cell = cells[i] ?? "";
      return typeof cell === "number" ? String(cell).padStart(widths[i]!) : cell.padEnd(widths[i]!);
    }).join("  ").trimEnd();
  return [line(head), ...rows.map(line)].join("\n");
}

const strict = new TextDecoder("utf-8", { fatal: true });

/** Text as it is; other bytes in base64 behind "base64:". */
export function textOf(value: Uint8Array): string {
  try {
    return strict.decode(value);
  } catch {
    return `base64:${value.toBase64()}`;
  }
}

/** A record for JSON: its value as text where it is UTF-8, else in base64. */
export function jsonOf({ key, value, version }: KeyValue): Record<string, unknown> {
  if (value === null) return { key, value: null, version };
  try {
    return { key, value: strict.decode(value), version };
  } catch {
    return { key, base64: value.toBase64(), version };
  }
}

/**
 * Text of others as it can be shown: what would steer the terminal, break the line or turn the order of signs stands there
 * as its number.
 */
export function shown(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (sign) => `\\u{${sign.codePointAt(0)!.toString(16)}}`,
  );
}

/** Cells that a terminal takes for a text, about: East Asian signs and pictures have two, marks none. */
function cellsOf(text: string): number {
  let cells = 0;
  for (const sign of text) {
    if (/\p{M}/u.test(sign)) continue;
    cells +=
      /[\u{1100}-\u{115f}\u{2e80}-\u{a4cf}\u{ac00}-\u{d7a3}\u{f900}-\u{faff}\u{fe30}-\u{fe6f}\u{ff00}-\u{ff60}\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u
          .test(sign)
        ? 2
        : 1;
  }
  return cells;
}

/** The text where it fits into so many cells, else its end behind "…": names differ there. */
export function fitted(text: string, cells: number): string {
  if (cellsOf(text) <= cells) return text;
  const signs = [...text];
  let from = signs.length;
  for (let left = cells - 1; from > 0; from--) {
    left -= cellsOf(signs[from - 1]!);
    if (left < 0) break;
  }
  return cells < 1 ? "" : `…${signs.slice(from).join("")}`;
}

const BAR_CELLS = 30;
const LABEL_CELLS_MIN = 12;
const REDRAW_MS = 100;

/** What is counted, and how much of it is told in words. */
export type ProgressUnit = "items" | "bytes";

/** A bar with rate and time left on a terminal, one line however narrow that is; elsewhere nothing but the last line. */
export class Progress {
  readonly #label: string;
  /** null: not known. */
  readonly #total: number | null;
  readonly #unit: ProgressUnit;
  readonly #began = performance.now();
  readonly #live = Deno.stderr.isTerminal();
  #drawnAt = -Infinity;
  #done = 0;
  #kept = 0;

  constructor(label: string, total: number | null, unit: ProgressUnit = "items") {
    this.#label = shown(label);
    this.#total = total;
    this.#unit = unit;
  }

  /** `kept`: it was done before, and says nothing about the rate. A negative count takes back what has to be done again. */
  add(count = 1, kept = false): void {
    this.#done += count;
    if (kept) this.#kept += count;
    const now = performance.now();
    if (!this.#live || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    Deno.stderr.writeSync(new TextEncoder().encode(`\r\u001b[K${this.#line(now, columns())}`));
  }

  /** The last state stays; returns the seconds it took. */
  end(): number {
    const seconds = (performance.now() - this.#began) / 1000;
    // What was counted once more than announced was done in vain, or has grown.
    const of = this.#total === null || this.#total === this.#done ? "" : ` of ${this.#amount(this.#total)}`;
    const kept = this.#kept === 0 ? "" : `, ${this.#amount(this.#kept)} there before`;
    const rate = this.#amount(this.#rate(seconds));
    this.clear();
    tell(`${this.#label} ${this.#amount(this.#done)}${of} in ${seconds.toFixed(1)} s, ${rate}/s${kept}`);
    return seconds;
  }

  /** Nothing of it stays. */
  clear(): void {
    if (this.#live) Deno.stderr.writeSync(new TextEncoder().encode("\r\u001b[K"));
  }

  #rate(seconds: number): number {
    return (this.#done - this.#kept) / Math.max(seconds, 0.001);
  }

  /** Fits into `cells`: first the label is made shorter, then the bar goes. */
  #line(now: number, cells: number): string {
    const rate = this.#rate((now - this.#began) / 1000);
    const amount = `${this.#amount(rate)}/s`;
    const told = this.#total === null
      ? [`${this.#amount(this.#done)}  ${amount}`]
      : this.#told(this.#total, `${amount}  ${this.#left(this.#total, rate)}`);
    const text = told.find((text) => text.length + 1 + LABEL_CELLS_MIN < cells) ?? told[told.length - 1]!;
    // The last column stays free: some terminals go to the next line when it is written to.
    const label = fitted(this.#label, cells - 2 - text.length);
    return fitted(label === "" ? text : `${label} ${text}`, cells - 1);
  }

  #told(total: number, rate: string): readonly string[] {
    const share = total === 0 ? 1 : Math.min(1, Math.max(0, this.#done / total));
    const filled = Math.round(share * BAR_CELLS);
    const text = `${Math.floor(share * 100)} %  ${rate}`;
    return [`${"█".repeat(filled)}${"░".repeat(BAR_CELLS - filled)} ${text}`, text];
  }

  #left(total: number, rate: number): string {
    const seconds = rate > 0 ? Math.ceil(Math.max(0, total - this.#done) / rate) : 0;
    if (seconds >= 7200) return `${Math.ceil(seconds / 3600)} h left`;
    return seconds < 120 ? `${seconds} s left` : `${Math.ceil(seconds / 60)} min left`;
  }

  #amount(count: number): string {
    return this.#unit === "bytes" ? bytesText(Math.max(0, count)) : String(Math.round(count));
  }
}

const COLUMNS = 80;

function columns(): number {
  try {
    return Deno.consoleSize().columns || COLUMNS;
  } catch {
    return COLUMNS;
  }
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** A number of bytes for people: "5.0 MiB". */
export function bytesText(bytes: number): string {
  let unit = 0, rest = bytes;
  for (; rest >= 1024 && unit < UNITS.length - 1; unit++) rest /= 1024;
  return `${unit === 0 ? Math.round(rest) : rest.toFixed(1)} ${UNITS[unit]}`;
}
