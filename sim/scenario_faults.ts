import { z } from "zod";
import { LIMITS } from "../core/base/limits.ts";
import { duration, none, ratio, seconds, type Span, span } from "./scenario_fields.ts";
import { formatDuration, formatRatio, type Ratio } from "./units.ts";

const timing = {
  /** Once, at this time after the start of the faults. */
  at: duration.optional(),
  /** Again and again. */
  every: duration.optional(),
  /** At random times, this far apart on average. */
  rate: duration.optional(),
  from: duration.default(0),
  until: duration.optional(),
};
/** Which nodes: by name, by zone, a number or a share of those that run; else one at random. */
const target = {
  node: z.string().optional(),
  zone: z.string().optional(),
  count: z.int().min(1).optional(),
  share: ratio.optional(),
  /** Only nodes that lead a partition. */
  leaders: z.boolean().default(false),
};
const lasting = {
  /** How long until it is undone; without it, until the faults end. */
  for: span.optional(),
};

/** Damage that nobody is told of. */
const silent = {
  /** So long after it the node crashes, and meets the damage when it starts again; if nothing stops it before. */
  crash: span.default(seconds(0, 5)),
  /** How long it is away then. */
  for: span.default(seconds(1, 3)),
};

export const faultSchema = z.discriminatedUnion("do", [
  z.strictObject({
    do: z.literal("crash"),
    ...timing,
    ...target,
    ...lasting,
    silent: ratio.default({ numerator: 1, denominator: 4 }),
    /** Never started again, not even when the faults end. */
    forever: z.boolean().default(false),
  }),
  z.strictObject({ do: z.literal("restart"), ...timing, ...target, ...lasting }),
  z.strictObject({
    do: z.literal("leave"),
    ...timing,
    ...target,
    ...lasting,
    forever: z.boolean().default(false),
  }),
  z.strictObject({ do: z.literal("drain"), ...timing, ...target }),
  z.strictObject({ do: z.literal("join"), ...timing, count: z.int().min(1).optional() }),
  z.strictObject({
    do: z.literal("partition"),
    ...timing,
    ...target,
    ...lasting,
    noticed: ratio.default(none),
  }),
  z.strictObject({
    do: z.literal("one-way"),
    ...timing,
    ...target,
    ...lasting,
    noticed: ratio.default(none),
  }),
  z.strictObject({ do: z.literal("loss"), ...timing, ...lasting, loss: ratio }),
  z.strictObject({ do: z.literal("latency"), ...timing, ...lasting, by: duration }),
  z.strictObject({ do: z.literal("slow"), ...timing, ...target, ...lasting, by: duration }),
  z.strictObject({ do: z.literal("jump"), ...timing, ...target, by: span }),
  z.strictObject({ do: z.literal("drift"), ...timing, ...target, ...lasting, ppm: z.int() }),
  z.strictObject({
    do: z.literal("rot"),
    ...timing,
    ...target,
    ...silent,
    /** Of the journal, or of the tables that it can rebuild. */
    of: z.enum(["journal", "tables"]).default("journal"),
  }),
  z.strictObject({ do: z.literal("misdirect"), ...timing, ...target, ...silent }),
  z.strictObject({ do: z.literal("lost-write"), ...timing, ...target, ...silent }),
  /** Everything on the disk is gone; another machine takes the place of this one. */
  z.strictObject({ do: z.literal("lose-disk"), ...timing, ...target }),
  z.strictObject({
    do: z.literal("full"),
    ...timing,
    ...target,
    ...lasting,
    /** Up to so many bytes of room are left for the journal. */
    room: z.int().min(1).default(65_536),
  }),
  /** Each sync takes so much longer. */
  z.strictObject({ do: z.literal("slow-disk"), ...timing, ...target, ...lasting, by: duration }),
  /** The next sync fails; the node is down for so long. */
  z.strictObject({ do: z.literal("sync-fails"), ...timing, ...target, for: span.default(seconds(1, 3)) }),
  // What follows is for networks with objects: what is done to the fragments on disks.
  /** Bits of fragments change; a fragment has the content of another; fragments are gone. */
  z.strictObject({
    do: z.literal(["fragment-rot", "fragment-stray", "fragment-gone"]),
    ...timing,
    ...target,
    /** Of each node that is struck. */
    fragments: z.int().min(1).default(1),
  }),
  /** All fragments of a node are gone. */
  z.strictObject({ do: z.literal("lose-fragments"), ...timing, ...target }),
  /** So many reads of fragments fail. */
  z.strictObject({
    do: z.literal("read-errors"),
    ...timing,
    ...target,
    ...lasting,
    errors: ratio.default({ numerator: 1, denominator: 2 }),
  }),
  // What follows is for private networks.
  z.strictObject({
    do: z.literal("evict"),
    ...timing,
    ...target,
    /** Only who leads the system partition. */
    system: z.boolean().default(false),
    /** The operator insists, whatever it costs. */
    force: ratio.default({ numerator: 1, denominator: 1 }),
    /** The share of evicted machines that are switched off, and when; the others run on with all they know. */
    stops: ratio.default(none),
    after: span.default(seconds(0, 5)),
  }),
  z.strictObject({ do: z.literal("rotate-keys"), ...timing }),
  /** Several spare nodes come in, all with one invite. */
  z.strictObject({
    do: z.literal("invite"),
    ...timing,
    joiners: z.int().min(1).default(1),
    uses: z.int().min(1).max(LIMITS.inviteUsesMax).default(1),
    ttl: duration.default(3_600_000_000),
  }),
  /** Somebody tries to come in who must not. */
  z.strictObject({ do: z.literal("intrude"), ...timing }),
  /** A client's access key gets other rights, or is revoked; then the client is given another. */
  z.strictObject({ do: z.literal("access-set"), ...timing }),
  z.strictObject({ do: z.literal("access-drop"), ...timing }),
]).superRefine((fault, context) => {
  const given = [fault.at, fault.every, fault.rate].filter((time) => time !== undefined);
  if (given.length !== 1) {
    context.addIssue({ code: "custom", message: "A fault says when with exactly one of at, every and rate" });
  }
  if (fault.every === 0 || fault.rate === 0) {
    context.addIssue({ code: "custom", message: "every and rate are longer than 0" });
  }
});
export type Fault = z.output<typeof faultSchema>;
export type FaultKind = Fault["do"];

/** Faults that only a private network can have. */
export const PRIVATE_FAULTS = [
  "evict",
  "rotate-keys",
  "invite",
  "intrude",
  "access-set",
  "access-drop",
] as const;

/** Faults that only a network with objects can have. */
export const OBJECT_FAULTS = [
  "fragment-rot",
  "fragment-stray",
  "fragment-gone",
  "lose-fragments",
  "read-errors",
] as const;

/** What a swarm may draw: kinds of faults, and ways of using them. */
export const SWARM_FAULTS = [
  "crash",
  "lose",
  "restart",
  "leave",
  "drain",
  "join",
  "partition",
  "cut-zone",
  "one-way",
  "loss",
  "latency",
  "slow",
  "jump",
  "drift",
  "rot",
  "misdirect",
  "lost-write",
  "lose-disk",
  "full",
  "slow-disk",
  "sync-fails",
  ...PRIVATE_FAULTS,
  ...OBJECT_FAULTS,
] as const;
export type SwarmFault = typeof SWARM_FAULTS[number];

/** One line about a fault, as the header of a run shows it. */
export function describeFault(fault: Fault): string {
  const words: string[] = [fault.do];
  for (const [key, value] of Object.entries(fault)) {
    if (key === "do" || value === undefined || value === false) continue;
    if (key === "from" && value === 0) continue;
    words.push(`${key} ${describeValue(key, value)}`);
  }
  return words.join(", ");
}

const DURATIONS = new Set(["at", "every", "rate", "from", "until", "by", "ttl"]);

function describeValue(key: string, value: unknown): string {
  if (typeof value === "number") return DURATIONS.has(key) ? formatDuration(value) : String(value);
  if (typeof value !== "object" || value === null) return String(value);
  if ("numerator" in value) return formatRatio(value as Ratio);
  const { min, max } = value as Span;
  return min === max ? formatDuration(min) : `${formatDuration(min)}..${formatDuration(max)}`;
}
