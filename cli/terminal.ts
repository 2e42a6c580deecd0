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

const BAR_CELLS = 30;
const REDRAW_MS = 100;

/** What is counted, and how much of it is told in words. */
export type ProgressUnit = "items" | "bytes";

/** A bar with rate and time left on a terminal; elsewhere nothing but the last line. */
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
    this.#label = label;
    this.#total = total;
    this.#unit = unit;
  }

  /** `kept`: it was done before, and says nothing about the rate. */
  add(count = 1, kept = false): void {
    this.#done += count;
    if (kept) this.#kept += count;
    const now = performance.now();
    if (!this.#live || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#draw(now);
  }

  /** The last state stays; returns the seconds it took. */
  end(): number {
    const seconds = (performance.now() - this.#began) / 1000;
    const of = this.#total === null ? "" : ` of ${this.#amount(this.#total)}`;
    const kept = this.#kept === 0 ? "" : `, ${this.#amount(this.#kept)} there before`;
    const rate = this.#amount(this.#rate(seconds));
    const line = `${this.#label} ${this.#amount(this.#done)}${of} in ${
      seconds.toFixed(1)
    } s, ${rate}/s${kept}`;
    tell(this.#live ? `\r\u001b[K${line}` : line);
    return seconds;
  }

  #rate(seconds: number): number {
    return (this.#done - this.#kept) / Math.max(seconds, 0.001);
  }

  #draw(now: number): void {
    const rate = this.#rate((now - this.#began) / 1000);
    const amount = `${this.#amount(rate)}/s`;
    const text = this.#total === null
      ? `\r\u001b[K${this.#label} ${this.#amount(this.#done)}  ${amount}`
      : `\r\u001b[K${this.#label} ${this.#bar(this.#total)}  ${amount}  ${this.#left(this.#total, rate)}`;
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }

  #bar(total: number): string {
    const share = total === 0 ? 1 : Math.min(1, this.#done / total);
    const filled = Math.round(share * BAR_CELLS);
    return `${"█".repeat(filled)}${"░".repeat(BAR_CELLS - filled)} ${Math.floor(share * 100)} %`;
  }

  #left(total: number, rate: number): string {
    const seconds = rate > 0 ? Math.ceil(Math.max(0, total - this.#done) / rate) : 0;
    return seconds < 120 ? `${seconds} s left` : `${Math.ceil(seconds / 60)} min left`;
  }

  #amount(count: number): string {
    return this.#unit === "bytes" ? bytesText(count) : String(Math.round(count));
  }
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** A number of bytes for people: "5.0 MiB". */
export function bytesText(bytes: number): string {
  let unit = 0, rest = bytes;
  for (; rest >= 1024 && unit < UNITS.length - 1; unit++) rest /= 1024;
  return `${unit === 0 ? Math.round(rest) : rest.toFixed(1)} ${UNITS[unit]}`;
}
