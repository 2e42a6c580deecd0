import { z } from "zod";
import { parseDuration, parseRatio, type Ratio } from "./units.ts";

/** From `min` to `max` microseconds, both included; drawn anew each time. */
export interface Span {
  readonly min: number;
  readonly max: number;
}

export const duration = z.union([z.string(), z.literal(0)]).transform((text, context) => {
  const us = parseDuration(String(text));
  if (us === null) {
    context.addIssue({
      code: "custom",
      message: `A duration is like "250ms", "10s" or "1m30s", not ${JSON.stringify(text)}`,
    });
    return z.NEVER;
  }
  return us;
});

export const span = z.string().transform((text, context): Span => {
  const [from, to, ...rest] = text.split("..");
  const min = parseDuration(from ?? ""), max = to === undefined ? min : parseDuration(to);
  if (min === null || max === null || max < min || rest.length > 0) {
    const message = `A span is a duration or two, shorter first, like "5s..30s", not ${JSON.stringify(text)}`;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  }
  return { min, max };
});

export const ratio = z.union([z.string(), z.literal(0), z.literal(1)]).transform((text, context): Ratio => {
  const value = parseRatio(String(text));
  if (value === null) {
    context.addIssue({
      code: "custom",
      message: `A ratio from 0 to 1 is like "1/200" or "0.5%", not ${JSON.stringify(text)}`,
    });
    return z.NEVER;
  }
  return value;
});

export function seconds(min: number, max: number): Span {
  return { min: min * 1_000_000, max: max * 1_000_000 };
}

export const count = z.int().min(0);
export const none: Ratio = { numerator: 0, denominator: 1 };
