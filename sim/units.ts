/** What scenario files write for people and the simulator counts in integers: durations and ratios. */

/** `numerator` times in `denominator`. */
export interface Ratio {
  readonly numerator: number;
  readonly denominator: number;
}
export const ZERO_RATIO: Ratio = { numerator: 0, denominator: 1 };

const UNIT_US: Readonly<Record<string, number>> = {
  us: 1,
  ms: 1_000,
  s: 1_000_000,
  m: 60_000_000,
  h: 3_600_000_000,
};

/** Microseconds of "250ms", "1m30s", "2h" or "0"; null where `text` is no duration. */
export function parseDuration(text: string): number | null {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d+)?(us|ms|s|m|h))+$/.test(text)) return null;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(us|ms|s|m|h)/g)) {
    total += Number(amount) * UNIT_US[unit!]!;
  }
  const whole = Math.round(total);
  return Number.isSafeInteger(whole) ? whole : null;
}

/** "1.5s" of 1500000: the largest unit that keeps the figure short. */
export function formatDuration(us: number): string {
  if (us === 0) return "0";
  for (const unit of ["h", "m", "s", "ms"] as const) {
    const size = UNIT_US[unit]!;
    if (us >= size && (us % (size / (unit === "h" || unit === "m" ? 1 : 10)) === 0 || unit === "ms")) {
      return `${trimmed(us / size)}${unit}`;
    }
    if (us >= size && (unit === "s")) return `${trimmed(us / size)}s`;
  }
  return `${us}us`;
}

function trimmed(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}

/** The ratio of "1/200", "5%", "0.5%" or 0 or 1; null where it is none or not from 0 to 1. */
export function parseRatio(text: string): Ratio | null {
  const fraction = /^(\d+)\s*\/\s*(\d+)$/.exec(text);
  if (fraction) return checked(Number(fraction[1]), Number(fraction[2]));
  const percent = /^(\d+)(?:\.(\d{1,4}))?%$/.exec(text);
  if (percent) {
    const decimals = percent[2] ?? "";
    return checked(Number(percent[1] + decimals), 100 * 10 ** decimals.length);
  }
  if (text === "0") return ZERO_RATIO;
  if (text === "1") return { numerator: 1, denominator: 1 };
  return null;
}

function checked(numerator: number, denominator: number): Ratio | null {
  if (denominator < 1 || numerator > denominator || denominator > 0xffff_ffff) return null;
  return { numerator, denominator };
}

export function formatRatio({ numerator, denominator }: Ratio): string {
  return numerator === 0 || numerator === denominator
    ? String(numerator / denominator)
    : `${numerator}/${denominator}`;
}
