import { LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { DEFAULT_SETTINGS, LIMITS, type Settings } from "../core/base/limits.ts";
import { DEFAULT_TUNING, type Tuning, tuningOf } from "../core/base/tuning.ts";
import { CHECK_NAMES, type CheckName, LIVENESS, OBJECTS, PRIVATE } from "./checks.ts";
import { DEFAULT_DISK } from "./disk.ts";
import { DEFAULT_NETWORK } from "./network.ts";
import { faultSchema, OBJECT_FAULTS, PRIVATE_FAULTS, SWARM_FAULTS } from "./scenario_faults.ts";
import { objectsSchema } from "./objects/options.ts";
import { count, duration, none, ratio, span } from "./scenario_fields.ts";

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

// ---- the parts of a file

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

/** The checks that a run of the scenario makes. */
export function checksOf({ checks, budget, security, objects }: Scenario): readonly CheckName[] {
  return checks.filter((name) =>
    (budget !== "none" || !LIVENESS.includes(name)) && (security === "private" || !PRIVATE.includes(name)) &&
    (objects !== undefined || !OBJECTS.includes(name))
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
  /** Where left out, there are no objects. A swarm draws them itself. */
  objects: objectsSchema.optional(),
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
  const hasObjects = scenario.objects !== undefined || scenario.swarm !== undefined;
  for (const [i, fault] of scenario.faults.entries()) {
    if (hasObjects || !(OBJECT_FAULTS as readonly string[]).includes(fault.do)) continue;
    const message = `Only a network with objects can have the fault "${fault.do}": add "objects: {}"`;
    context.addIssue({ code: "custom", path: ["faults", i, "do"], message });
  }
  if (scenario.objects !== undefined && scenario.cluster.kernel === "membership") {
    context.addIssue({ code: "custom", path: ["objects"], message: "Objects need the full kernel" });
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
