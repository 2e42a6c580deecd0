/**
 * What hurts a torture run, and when: drawn from the seed alone, so that the same options give the same plan.
 *
 * P1. A node is in the hands of one fault at a time; faults of the network go on beside them, one at a time.
 * P2. A fault that takes from a node what it has promised (its journal) stands alone: it begins when the network is
 *     whole and ends when it is whole again. Two such at once may lose what was acknowledged, by nobody's fault.
 * P3. Full and failing disks hit a minority of the nodes at a time.
 */
import { unreachable } from "../../core/base/invariant.ts";
import { Random } from "../../core/base/random.ts";

/** Nodes by number from 0; times in milliseconds, `at` from the start of the run. */
export type Fault = { readonly at: number; readonly forMs: number } & FaultBody;

export type FaultBody =
  /** SIGKILL, away for `forMs`, started again. */
  | { readonly kind: "kill"; readonly nodes: readonly number[] }
  /** Killed again so long after each start, and so perhaps amid its recovery. */
  | { readonly kind: "crash-loop"; readonly node: number; readonly lives: readonly number[] }
  /** SIGTERM and a start. */
  | { readonly kind: "restart"; readonly node: number }
  /** SIGSTOP, later SIGCONT. */
  | { readonly kind: "stop"; readonly nodes: readonly number[] }
  /** Its file system, a small one of its own, has no byte left. `crash`: it is killed and started meanwhile. */
  | { readonly kind: "full"; readonly node: number; readonly crash: boolean }
  /** Killed, and started on a file system that can only be read. */
  | { readonly kind: "read-only"; readonly node: number }
  /** A system call on its files fails. */
  | { readonly kind: "io-error"; readonly node: number; readonly call: IoCall; readonly error: IoError }
  /** Each sync takes longer by so much. */
  | { readonly kind: "slow-disk"; readonly node: number; readonly delayMs: number }
  /** These nodes and the others do not hear each other; `clients`: nor do the clients and these. */
  | { readonly kind: "cut"; readonly nodes: readonly number[]; readonly clients: boolean }
  /** `to` do not hear `from`, which hears them. */
  | { readonly kind: "one-way"; readonly from: number; readonly to: readonly number[] }
  /** So many percent of what these nodes are sent never arrives. */
  | { readonly kind: "loss"; readonly nodes: readonly number[]; readonly percent: number }
  /** What this node sends leaves no faster than this. */
  | { readonly kind: "slow-link"; readonly node: number; readonly kbit: number }
  /** A byte of a stopped node's journal is changed. */
  | { readonly kind: "flip"; readonly node: number; readonly place: number }
  /** A stopped node's tables are deleted. */
  | { readonly kind: "lose-tables"; readonly node: number };

export type FaultKind = FaultBody["kind"];
export type IoCall = "sync" | "write";
export type IoError = "EIO" | "ENOSPC";

/** How often a kind is drawn, against the others. */
const WEIGHTS: Record<FaultKind, number> = {
  "kill": 8,
  "crash-loop": 3,
  "restart": 2,
  "stop": 5,
  "full": 3,
  "read-only": 1,
  "io-error": 3,
  "slow-disk": 2,
  "cut": 5,
  "one-way": 4,
  "loss": 4,
  "slow-link": 2,
  "flip": 2,
  "lose-tables": 1,
};
export const FAULT_KINDS = Object.keys(WEIGHTS) as FaultKind[];
/** P2. */
const ALONE: readonly FaultKind[] = ["flip", "lose-tables"];

export interface PlanOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Of the time in which faults begin. */
  readonly spanMs: number;
  readonly kinds: readonly FaultKind[];
  /** Nodes on a small file system of their own: the only ones that a full or read-only one can hit. */
  readonly small: readonly number[];
  /** Some faults outlast the time after which a node is declared gone. */
  readonly graceMs: number;
}

/** What comes first lets clients write something; what comes last leaves time for it. */
const QUIET_MS = 1000;
const ALONE_MARGIN_MS = 2000;

/** The faults of a run, by when they begin. */
export function planFaults(options: PlanOptions): Fault[] {
  const { nodes, spanMs } = options;
  const random = Random.fromSeed(options.seed).fork("faults");
  const kinds = options.kinds.filter((kind) => !NEEDS_SMALL.includes(kind) || options.small.length > 0);
  if (kinds.length === 0) return [];
  const busyUntil = new Array<number>(nodes + SHARED).fill(0);
  const faults: Fault[] = [];
  const untouched = [...kinds];
  for (let at = QUIET_MS;;) {
    // Every kind once, as far as there is time, before any comes again by weight.
    const kind = untouched.length > 0 ? take(untouched, random) : weighted(kinds, random);
    const body = drawFault(kind, options, random);
    const forMs = drawSpan(kind, options, random);
    const held = partsHeld(body, nodes);
    at = Math.max(at, ...held.map((part) => busyUntil[part]!));
    const margin = ALONE.includes(kind) ? ALONE_MARGIN_MS : 0;
    at += margin;
    if (at + forMs > spanMs) break;
    faults.push({ at, forMs, ...body });
    for (const part of held) busyUntil[part] = at + forMs + QUIET_MS + margin;
    // Faults overlap about half of the time.
    at += random.chance(1, 2) ? random.between(200, 1500) : forMs + random.between(200, 2000);
  }
  return faults;
}

const NEEDS_SMALL: readonly FaultKind[] = ["full", "read-only"];

function drawFault(kind: FaultKind, { nodes, small }: PlanOptions, random: Random): FaultBody {
  const node = random.below(nodes);
  switch (kind) {
    case "kill":
      // One, some, or all at once.
      return { kind, nodes: some(random, nodes, random.pick([1, 1, 2, nodes])) };
    case "crash-loop":
      return {
        kind,
        node,
        lives: Array.from({ length: random.between(2, 4) }, () => random.between(150, 1200)),
      };
    case "restart":
      return { kind, node };
    case "stop":
      return { kind, nodes: some(random, nodes, random.pick([1, 1, 1, 2])) };
    case "full":
      return { kind, node: random.pick(small), crash: random.chance(1, 2) };
    case "read-only":
      return { kind, node: random.pick(small) };
    case "io-error":
      return {
        kind,
        node,
        call: random.pick<IoCall>(["sync", "write"]),
        error: random.pick<IoError>(["EIO", "ENOSPC"]),
      };
    case "slow-disk":
      return { kind, node, delayMs: random.between(5, 120) };
    case "cut":
      return {
        kind,
        nodes: some(random, nodes, random.between(1, Math.floor(nodes / 2))),
        clients: random.chance(1, 3),
      };
    case "one-way":
      return { kind, from: node, to: some(random, nodes, random.between(1, nodes - 1), node) };
    case "loss":
      return { kind, nodes: some(random, nodes, random.between(1, nodes)), percent: random.between(2, 30) };
    case "slow-link":
      return { kind, node, kbit: random.pick([256, 512, 2048]) };
    case "flip":
      return { kind, node, place: random.below(1000) };
    case "lose-tables":
      return { kind, node };
    default:
      return unreachable(kind);
  }
}

const ABOUT_AN_ELECTION: readonly FaultKind[] = ["stop", "cut", "one-way"];
const OUTLASTING_GRACE: readonly FaultKind[] = ["kill", "stop", "cut"];

function drawSpan(kind: FaultKind, { graceMs, spanMs }: PlanOptions, random: Random): number {
  if (kind === "restart" || kind === "crash-loop") return random.between(100, 500);
  if (kind === "flip" || kind === "lose-tables") return random.between(200, 1000);
  // About as long as an election: who comes back then may not have heard that others went on without it.
  if (ABOUT_AN_ELECTION.includes(kind) && random.chance(1, 2)) return random.between(300, 1300);
  const long = OUTLASTING_GRACE.includes(kind) && spanMs > 8 * graceMs && random.chance(1, 6);
  return long ? random.between(graceMs, 2 * graceMs) : random.between(300, Math.min(6000, spanMs / 4));
}

/** Behind the nodes' numbers: the network, and the right to harm disks (P3). */
const SHARED = 2;

/** P1 to P3: what no other fault may touch meanwhile. Nodes by number, then what they share. */
export function partsHeld(fault: FaultBody, nodes: number): readonly number[] {
  const network = nodes, disks = nodes + 1;
  switch (fault.kind) {
    case "kill":
    case "stop":
      return fault.nodes;
    case "crash-loop":
    case "restart":
    case "slow-disk":
      return [fault.node];
    case "full":
    case "read-only":
    case "io-error":
      return [fault.node, disks];
    case "cut":
    case "one-way":
    case "loss":
    case "slow-link":
      return [network];
    case "flip":
    case "lose-tables":
      return Array.from({ length: nodes + SHARED }, (_, part) => part);
    default:
      return unreachable(fault);
  }
}

function some(random: Random, nodes: number, count: number, except = -1): number[] {
  const all = Array.from({ length: nodes }, (_, node) => node).filter((node) => node !== except);
  random.shuffle(all);
  return all.slice(0, Math.min(count, all.length)).sort((a, b) => a - b);
}

function take<T>(items: T[], random: Random): T {
  return items.splice(random.below(items.length), 1)[0]!;
}

function weighted(kinds: readonly FaultKind[], random: Random): FaultKind {
  let draw = random.below(kinds.reduce((sum, kind) => sum + WEIGHTS[kind], 0));
  return kinds.find((kind) => (draw -= WEIGHTS[kind]) < 0)!;
}

/** One line for a person. Nodes are named by `name`. */
export function describeFault(fault: FaultBody, name: (node: number) => string): string {
  const names = (nodes: readonly number[]) => nodes.map(name).join(" ");
  switch (fault.kind) {
    case "kill":
    case "stop":
      return `${fault.kind} ${names(fault.nodes)}`;
    case "crash-loop":
      return `crash-loop ${name(fault.node)} after ${fault.lives.join(", ")} ms`;
    case "io-error":
      return `io-error ${name(fault.node)}: each ${fault.call} fails with ${fault.error}`;
    case "slow-disk":
      return `slow-disk ${name(fault.node)}: each sync takes ${fault.delayMs} ms more`;
    case "cut":
      return `cut ${names(fault.nodes)} from the others${fault.clients ? " and from the clients" : ""}`;
    case "one-way":
      return `one-way: ${names(fault.to)} do not hear ${name(fault.from)}`;
    case "loss":
      return `loss of ${fault.percent} % of what reaches ${names(fault.nodes)}`;
    case "slow-link":
      return `slow-link ${name(fault.node)}: ${fault.kbit} kbit/s`;
    case "full":
      return `full ${name(fault.node)}${fault.crash ? ", killed and started meanwhile" : ""}`;
    case "restart":
    case "read-only":
    case "flip":
    case "lose-tables":
      return `${fault.kind} ${name(fault.node)}`;
    default:
      return unreachable(fault);
  }
}
