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

/** A bar with rate and time left on a terminal; elsewhere nothing but the last line. */
export class Progress {
  readonly #label: string;
  readonly #total: number;
  readonly #began = performance.now();
  readonly #live = Deno.stderr.isTerminal();
  #drawnAt = -Infinity;
  #done = 0;

  constructor(label: string, total: number) {
    this.#label = label;
    this.#total = total;
  }

  add(count = 1): void {
    this.#done += count;
    const now = performance.now();
    if (!this.#live || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#draw(now);
  }

  /** The last state stays; returns the seconds it took. */
  end(): number {
    const seconds = (performance.now() - this.#began) / 1000;
    const rate = Math.round(this.#done / Math.max(seconds, 0.001));
    const line = `${this.#label} ${this.#done} of ${this.#total} in ${seconds.toFixed(1)} s, ${rate}/s`;
    tell(this.#live ? `\r\u001b[K${line}` : line);
    return seconds;
  }

  #draw(now: number): void {
    const share = this.#total === 0 ? 1 : this.#done / this.#total;
    const filled = Math.round(share * BAR_CELLS);
    const bar = "█".repeat(filled) + "░".repeat(BAR_CELLS - filled);
    const seconds = (now - this.#began) / 1000;
    const rate = this.#done / Math.max(seconds, 0.001);
    const left = rate > 0 ? Math.ceil((this.#total - this.#done) / rate) : 0;
    const text = `\r\u001b[K${this.#label} ${bar} ${Math.floor(share * 100)} %  ${
      Math.round(rate)
    }/s  ${left} s left`;
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }
}
