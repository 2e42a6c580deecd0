/** The part of a scenario that is about objects. */
import { z } from "zod";
import { LIMITS } from "../../core/base/limits.ts";
import type { Scheme } from "../../core/wire/objects.ts";
import { count, duration, ratio, span } from "../scenario_fields.ts";
import { DEFAULT_CHUNK_DISK } from "./chunk_disk.ts";

/** "auto": up to three copies; "3": as many copies; "4+2": data and parity fragments. */
const scheme = z.string().transform((text, context): Scheme | null => {
  if (text === "auto") return null;
  const [, first, second] = /^([1-9]\d?)(?:\+([1-9]\d?))?$/.exec(text) ?? [];
  const data = Number(first ?? 0), parity = second === undefined ? null : Number(second);
  if (parity === null && data >= 1 && data <= LIMITS.copiesMax) return { kind: "replicated", copies: data };
  if (parity !== null && data >= 1 && data + parity <= LIMITS.stripeMax) {
    return { kind: "striped", data, parity };
  }
  const message = `A scheme is "auto", a number of copies like "3" or a stripe like "4+2", not ${
    JSON.stringify(text)
  }`;
  context.addIssue({ code: "custom", message });
  return z.NEVER;
});

const bucketSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, {
    error: "A bucket's name has 3 to 63 small letters, digits and hyphens",
  }),
  scheme: scheme.prefault("auto"),
  versioning: z.enum(["off", "enabled", "suspended"]).default("off"),
});

const DEFAULT_BUCKETS = [
  { name: "plain" },
  { name: "copies", scheme: "3", versioning: "enabled" as const },
];

const chunkDiskSchema = z.strictObject({
  write: span.default({ min: DEFAULT_CHUNK_DISK.writeUsMin, max: DEFAULT_CHUNK_DISK.writeUsMax }),
  read: span.default({ min: DEFAULT_CHUNK_DISK.readUsMin, max: DEFAULT_CHUNK_DISK.readUsMax }),
  /** Bytes a second, read and written together. */
  bandwidth: z.int().min(1).default(DEFAULT_CHUNK_DISK.bytesPerSecond),
}).transform((d) => ({
  writeUsMin: d.write.min,
  writeUsMax: d.write.max,
  readUsMin: d.read.min,
  readUsMax: d.read.max,
  bytesPerSecond: d.bandwidth,
}));

export const objectsSchema = z.strictObject({
  /** Clients that work on objects. */
  clients: count.default(0),
  /** Time between two operations of one client, on average. */
  every: duration.default(300_000),
  /** Each request of an operation is given up after this long. */
  patience: duration.default(10_000_000),
  buckets: z.array(bucketSchema).min(1).prefault(DEFAULT_BUCKETS),
  /** Keys of each bucket that the clients work on. */
  keys: z.int().min(1).default(6),
  /** Contents have up to so many bytes; a quarter of them are inline, and some have none. */
  bytes: z.int().min(1).max(1_000_000).default(6_000),
  /** What is otherwise large, made small. */
  chunk: z.int().min(16).max(LIMITS.chunkBytesMax).default(512),
  /** Chunks of a segment. */
  segment: z.int().min(1).default(6),
  inline: z.int().min(0).max(LIMITS.inlineBytesMax).default(64),
  /** Bodies of more chunks register their segments before they write them. */
  unregistered: z.int().min(0).default(3),
  /** Rows of one transaction, about; segments of a row and of a page. */
  rows: z.int().min(2).default(6),
  segmentsPerRow: z.int().min(1).default(2),
  /** Of a hundred operations. What is left are puts. */
  percent: z.strictObject({
    get: count.default(30),
    head: count.default(4),
    delete: count.default(8),
    /** One version, for good. */
    remove: count.default(4),
    copy: count.default(5),
    list: count.default(5),
    versions: count.default(4),
    multipart: count.default(8),
    /** Puts of what must not be there yet. */
    create: count.default(6),
    /** Puts in place of what was read. */
    replace: count.default(4),
  }).refine((p) => Object.values(p).reduce((a, b) => a + b, 0) <= 100, {
    message: "These shares add up to at most 100",
  }).prefault({}),
  /** This share of operations is cut short: the client's process ends amid it, and another begins. */
  crash: ratio.default({ numerator: 1, denominator: 20 }),
  /** What is registered before it is written lives so long unless it is kept alive. Fragments of nobody live longer. */
  expiry: duration.default(20_000_000),
  /** Every node collects garbage of the partitions that it leads so often. */
  collect: duration.default(2_000_000),
  /** Within which nothing is left over, and everything has all its fragments, after the faults. */
  quiet: duration.default(120_000_000),
  disk: chunkDiskSchema.prefault({}),
  /** Stored before the run begins, without the network: whole segments of chunks of zeros. */
  preload: z.strictObject({
    /** Of plaintext, in all. */
    bytes: z.int().min(1),
    chunk: z.int().min(1).max(LIMITS.chunkBytesMax).default(LIMITS.chunkBytesMax),
    segment: z.int().min(1).max(LIMITS.segmentBytesMax).default(LIMITS.segmentBytesMax),
    scheme: scheme.prefault("3"),
  }).optional(),
});
export type ObjectsOptions = z.output<typeof objectsSchema>;
