import { LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { DEFAULT_SETTINGS, LIMITS, type Settings } from "../core/base/limits.ts";
import { DEFAULT_TUNING, type Tuning, tuningOf } from "../core/base/tuning.ts";
import { DEFAULT_DISK } from "./disk.ts";
import { DEFAULT_NETWORK } from "./network.ts";
import { formatDuration, formatRatio, parseDuration, parseRatio, type Ratio } from "./units.ts";

/** A scenario file that is not as it should be. Lines and columns count from 1. */
export class ScenarioError extends Error {
  override readonly name = "ScenarioError";
  constructor(readonly file: string, readonly problems: readonly ScenarioProblem[]) {
    super(problems.map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`).join("\n"));
  }
}
export interface ScenarioProblem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** From `min` to `max` microseconds, both included; drawn anew each time. */
export interface Span {
  readonly min: number;
  readonly max: number;
}

// ---- the parts of a file

const duration = z.union([z.string(), z.literal(0)]).transform((text, context) => {
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

const span = z.string().transform((text, context): Span => {
  const [from, to, ...rest] = text.split("..");
  const min = parseDuration(from ?? ""), max = to === undefined ? min : parseDuration(to);
  if (min === null || max === null || max < min || rest.length > 0) {
    const message = `A span is a duration or two, shorter first, like "5s..30s", not ${JSON.stringify(text)}`;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  }
  return { min, max };
});

const ratio = z.union([z.string(), z.literal(0), z.literal(1)]).transform((text, context): Ratio => {
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

function seconds(min: number, max: number): Span {
  return { min: min * 1_000_000, max: max * 1_000_000 };
}

const count = z.int().min(0);
const none: Ratio = { numerator: 0, denominator: 1 };

const skySchema = z.strictObject({
  catalogue: z.string().default("bright.csv"),
  /** Stars that are nodes: the brightest. Those that do not run from the start may join. */
  nodes: z.int().min(1).max(10_000),
  /** Zones that the nodes are dealt to in turn; a star's constellation is its zone if left out. */
  zones: z.int().min(1).optional(),
  /** Rows of the catalogue that are stored before the faults begin. */
  records: count.default(0),
});

const settingsSchema = z.strictObject({
  partitions: z.int().default(DEFAULT_SETTINGS.partitions),
  replicas: z.int().default(DEFAULT_SETTINGS.replicas),
  systemReplicas: z.int().default(DEFAULT_SETTINGS.systemReplicas),
  heartbeat: duration.default(DEFAULT_SETTINGS.heartbeatUs),
  electionTimeoutMin: duration.default(DEFAULT_SETTINGS.electionTimeoutUsMin),
  electionTimeoutMax: duration.default(DEFAULT_SETTINGS.electionTimeoutUsMax),
  probeInterval: duration.default(DEFAULT_SETTINGS.probeIntervalUs),
  probeTimeout: duration.default(DEFAULT_SETTINGS.probeTimeoutUs),
  suspicionMultiplier: z.int().default(DEFAULT_SETTINGS.suspicionMultiplier),
  pushPull: duration.default(DEFAULT_SETTINGS.pushPullUs),
  grace: duration.default(DEFAULT_SETTINGS.graceUs),
  quietAfter: duration.default(DEFAULT_SETTINGS.quietAfterUs),
  leaseReads: z.boolean().default(DEFAULT_SETTINGS.leaseReads),
}).transform((s): Settings => ({
  partitions: s.partitions,
  replicas: s.replicas,
  systemReplicas: s.systemReplicas,
  heartbeatUs: s.heartbeat,
  electionTimeoutUsMin: s.electionTimeoutMin,
  electionTimeoutUsMax: s.electionTimeoutMax,
  probeIntervalUs: s.probeInterval,
  probeTimeoutUs: s.probeTimeout,
  suspicionMultiplier: s.suspicionMultiplier,
  pushPullUs: s.pushPull,
  graceUs: s.grace,
  quietAfterUs: s.quietAfter,
  leaseReads: s.leaseReads,
}));

const tuningSchema = z.partialRecord(z.enum(Object.keys(DEFAULT_TUNING) as (keyof Tuning)[]), z.int())
  .transform((given, context): Tuning => {
    try {
      return tuningOf(given);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });

const clusterSchema = z.strictObject({
  /** full: the whole node. membership: SWIM alone. */
  kernel: z.enum(["full", "membership"]).default("full"),
  /** genesis: all that run from the start found the network together. grow: one founds it, the others join it. */
  form: z.enum(["genesis", "grow"]).default("genesis"),
  /** How many run from the start; all if left out. */
  start: z.int().min(1).optional(),
  settings: settingsSchema.prefault({}),
  /** Limits that are each node's own affair, made small so that what they bound happens often. */
  tuning: tuningSchema.prefault({}),
});

const networkSchema = z.strictObject({
  latency: duration.default(DEFAULT_NETWORK.latencyUs),
  perDegree: duration.default(DEFAULT_NETWORK.perDegreeUs),
  jitter: duration.default(DEFAULT_NETWORK.jitterUs),
  loss: ratio.default(none),
  duplicate: ratio.default(none),
  reorder: ratio.default(none),
  reorderBy: duration.default(DEFAULT_NETWORK.reorderUs),
  corrupt: ratio.default(none),
  codec: ratio.default({ numerator: 1, denominator: 100 }),
  clientLatency: duration.default(DEFAULT_NETWORK.clientLatencyUs),
}).transform((n) => ({
  latencyUs: n.latency,
  perDegreeUs: n.perDegree,
  jitterUs: n.jitter,
  loss: n.loss,
  duplicate: n.duplicate,
  reorder: n.reorder,
  reorderUs: n.reorderBy,
  corrupt: n.corrupt,
  codec: n.codec,
  clientLatencyUs: n.clientLatency,
}));

const diskSchema = z.strictObject({
  sync: span.default({ min: DEFAULT_DISK.syncUsMin, max: DEFAULT_DISK.syncUsMax }),
  checkpoint: span.default({ min: DEFAULT_DISK.checkpointUsMin, max: DEFAULT_DISK.checkpointUsMax }),
  /** Files are encrypted, as in a network with keys. */
  encrypted: z.boolean().default(false),
  /** memory: a tree that goes back to an earlier state. files: those that real nodes have, on a simulated disk. */
  tables: z.enum(["memory", "files"]).default("memory"),
}).transform((d) => ({
  syncUsMin: d.sync.min,
  syncUsMax: d.sync.max,
  checkpointUsMin: d.checkpoint.min,
  checkpointUsMax: d.checkpoint.max,
  encrypted: d.encrypted,
  tables: d.tables,
}));

const clockSchema = z.strictObject({
  /** Clocks are ahead by up to this much at the start. */
  offset: duration.default(0),
  /** Parts per million by which clocks run too fast or too slow, up to. */
  driftPpm: z.int().min(0).max(100_000).default(0),
});

const workloadSchema = z.strictObject({
  clients: count.default(0),
  /** Time between two operations of one client, on average. */
  every: duration.default(100_000),
  /** Of a hundred operations. What is left are puts. */
  percent: z.strictObject({
    get: count.default(50),
    cas: count.default(5),
    delete: count.default(5),
    range: count.default(1),
    transact: count.default(5),
    ttl: count.default(0),
    history: count.default(0),
    /** Gets that any replica may answer, saying how old the answer may be. */
    stale: count.default(0),
    /** Leases granted, kept alive and revoked, and keys put under them. */
    lease: count.default(0),
  }).refine((p) => Object.values(p).reduce((a, b) => a + b, 0) <= 100, {
    message: "These shares add up to at most 100",
  })
    .prefault({}),
  /** A client gives an operation up after this long. */
  patience: duration.default(10_000_000),
  /** Records that the clients work on; fewer make more conflicts. */
  keys: z.int().min(1).default(200),
  /** This share of all operations goes to a tenth of the keys. */
  skew: ratio.default({ numerator: 1, denominator: 2 }),
  ttl: duration.default(5_000_000),
  /** Clients that watch all keys. */
  watchers: count.default(0),
  /** Values are longer than their unique part by up to this many bytes. */
  valueBytes: count.max(LIMITS.valueBytesMax / 2).default(0),
  /** This share of all values is as long as largeBytes. */
  large: ratio.default(none),
  largeBytes: count.max(LIMITS.valueBytesMax).default(LIMITS.valueBytesMax),
});

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

const faultSchema = z.discriminatedUnion("do", [
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
] as const;
export type SwarmFault = typeof SWARM_FAULTS[number];

/** Every seed draws its own network, load and faults; see swarm.ts. What is drawn takes the place of those sections. */
const swarmSchema = z.strictObject({
  faults: z.array(z.enum(SWARM_FAULTS)).default([...SWARM_FAULTS]),
});

/**
 * What may be hurt for good: disks damaged or lost, nodes that never come back. quorum: never so much that a partition
 * could not be repaired from what is left. none: anything, and then a run checks only that no answer is wrong; there
 * may be none.
 */
export type BudgetMode = Scenario["budget"];

/** Everything a run may be asked to check. */
export const CHECK_NAMES = [
  "no node stops by itself",
  "recovery",
  "damage is detected",
  "one leader a term",
  "log matching",
  "leader completeness",
  "state machine safety",
  "equal state at equal index",
  "linearizability",
  "no acknowledged write lost",
  "answers fit their questions",
  "stale reads are as old as they say",
  "watches tell all in order",
  "placement as the epoch says",
  "secrets stay inside",
  "only the invited get in",
  "views follow from the log",
  "rights are kept",
  "the evicted stay out",
  "one generation of keys is left",
  "converged",
] as const;
export type CheckName = typeof CHECK_NAMES[number];

/** What is checked only where enough is left for the network to become well again. */
const LIVENESS: readonly CheckName[] = [
  "the evicted stay out",
  "one generation of keys is left",
  "watches tell all in order",
  "placement as the epoch says",
  "converged",
];

/** What is checked only in private networks. */
const PRIVATE: readonly CheckName[] = [
  "secrets stay inside",
  "only the invited get in",
  "views follow from the log",
  "rights are kept",
  "the evicted stay out",
  "one generation of keys is left",
];

/** The checks that a run of the scenario makes. */
export function checksOf({ checks, budget, security }: Scenario): readonly CheckName[] {
  return checks.filter((name) =>
    (budget !== "none" || !LIVENESS.includes(name)) && (security === "private" || !PRIVATE.includes(name))
  );
}

const scenarioSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]+$/, {
    error: "A scenario's name has small letters, digits and hyphens",
  }),
  about: z.string().default(""),
  seed: z.int().min(0).default(1),
  /** How long the faults go on. */
  duration,
  /** Time for founding, or growing, and for storing the records before the faults begin, at most. */
  settle: duration.default(60_000_000),
  /** Time within which all must be well again after the faults. */
  converge: duration.default(60_000_000),
  sky: skySchema,
  cluster: clusterSchema.prefault({}),
  network: networkSchema.prefault({}),
  disk: diskSchema.prefault({}),
  clock: clockSchema.prefault({}),
  workload: workloadSchema.prefault({}),
  faults: z.array(faultSchema).default([]),
  swarm: swarmSchema.optional(),
  /**
   * open, where left out: nobody is asked who he is. private: nodes come in with invites, clients have access keys, and the
   * network has keys that rotate. Left out of a swarm, each seed draws it.
   */
  security: z.enum(["open", "private"]).optional(),
  budget: z.enum(["quorum", "none"]).default("quorum"),
  checks: z.array(z.enum(CHECK_NAMES)).default([...CHECK_NAMES]),
}).superRefine((scenario, context) => {
  if ((scenario.cluster.start ?? 1) > scenario.sky.nodes) {
    const message = `The network starts with at most the ${scenario.sky.nodes} nodes the sky gives`;
    context.addIssue({ code: "custom", path: ["cluster", "start"], message });
  }
  const isPrivate = scenario.security === "private" || scenario.swarm !== undefined;
  for (const [i, fault] of scenario.faults.entries()) {
    if (isPrivate || !(PRIVATE_FAULTS as readonly string[]).includes(fault.do)) continue;
    const message = `Only a private network can have the fault "${fault.do}": add "security: private"`;
    context.addIssue({ code: "custom", path: ["faults", i, "do"], message });
  }
  if (scenario.security === "private" && scenario.cluster.kernel === "membership") {
    const message = "A private network needs the full kernel";
    context.addIssue({ code: "custom", path: ["security"], message });
  }
});
export type Scenario = z.output<typeof scenarioSchema>;

/** What a scenario file holds, before durations are parsed and what is left out is filled in. */
export type ScenarioInput = z.input<typeof scenarioSchema>;

/** A scenario written in code. @throws {ZodError} when it is not as it should be */
export function scenarioOf(input: ScenarioInput): Scenario {
  return scenarioSchema.parse(input);
}

/**
 * Reads a scenario file's text. `file` is for messages.
 * @throws {ScenarioError} naming each problem with its line and column
 */
export function parseScenario(text: string, file: string): Scenario {
  const lines = new LineCounter();
  const { document, value } = readYaml(text, file, lines);
  if (document.errors.length > 0) {
    throw new ScenarioError(
      file,
      document.errors.map(({ pos, message }) => {
        const { line, col } = lines.linePos(pos[0]);
        return { line, column: col, message };
      }),
    );
  }
  const parsed = scenarioSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const place = (path: readonly PropertyKey[]): { line: number; column: number } => {
    for (let depth = path.length; depth >= 0; depth--) {
      const node = document.getIn(path.slice(0, depth), true) as { range?: readonly number[] } | undefined;
      if (node?.range) {
        const { line, col } = lines.linePos(node.range[0]!);
        return { line, column: col };
      }
    }
    return { line: 1, column: 1 };
  };
  throw new ScenarioError(
    file,
    parsed.error.issues.map((issue) => {
      const path = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0]!] : issue.path;
      const name = issue.path.length === 0 ? "" : `${issue.path.map(String).join(".")}: `;
      return { ...place(path), message: `${name}${issue.message}` };
    }),
  );
}

const TEXT_CHARS_MAX = 64 * 1024;

/** @throws {ScenarioError} for what the parser has no error for: too long, nested too deeply, an alias of nothing */
function readYaml(text: string, file: string, lineCounter: LineCounter) {
  const refuse = (message: string) => new ScenarioError(file, [{ line: 1, column: 1, message }]);
  if (text.length > TEXT_CHARS_MAX) {
    throw refuse(`A scenario has up to ${TEXT_CHARS_MAX} characters, not ${text.length}`);
  }
  try {
    const document = parseDocument(text, { lineCounter, prettyErrors: false });
    return { document, value: document.errors.length > 0 ? null : document.toJS() as unknown };
  } catch (error) {
    // The parser recurses as deeply as the text nests.
    if (error instanceof RangeError) throw refuse("It nests too deeply");
    if (error instanceof ReferenceError) throw refuse(error.message);
    throw error;
  }
}

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
