/**
 * What to do when a quorum is lost for good: computed from what the surviving nodes hold, all of them stopped. It breaks
 * the promise that what was acknowledged is never lost, in so far as only lost nodes had it, so nothing does it unasked.
 *
 * V1. Survivors form a network of a new name. A lost node that comes back after all belongs to another one, and can never
 *     again make up a quorum with those who went on without it.
 * V2. A partition that can still elect a leader among the survivors is left alone: ordinary replication goes on.
 * V3. In any other, the survivor whose log ends last, by (term, index), becomes the sole voter of a configuration at the
 *     end of its log. Of a hollow one that is where the state in its tables ends, and its log begins anew there. No entry that another survivor knows to be committed is missing there: the log that ends with an
 *     entry of term t has all that was committed up to it (leader completeness, Raft 5.4, and log matching, 5.3), and of
 *     two that end in the same term the longer contains the other. So what the others keep never contradicts it, and they
 *     come in as learners by ordinary appends.
 * V4. Nobody but the sole voter can be elected: had another survivor a configuration with a quorum of survivors that would
 *     vote for it, V2 would have left the partition alone; and everyone else of its configuration is foreign (V1).
 * V5. Replicas that V3 does not speak of, hollow ones and those of a partition that begins anew, are dropped, and filled
 *     again by snapshots. Term and vote stay, above all that were seen.
 * V6. The system partition always gets a sole voter and the others drop theirs: each node has the whole view in its
 *     journal, and all must go by the same one. Its version is an index that the sole voter's log is made to reach, so that
 *     the log up to there counts as contained in it (S4 in core/system/system.ts).
 * V7. A node's records end with the view. It proves that those before it are there, so an interrupted recovery is found
 *     out and completed; and until node.json bears the new name too, the node does not start.
 * V8. A private network keeps its keys, its access keys and who its members are: what encrypts the survivors' disks and
 *     stands in clients' profiles goes on. What was signed for the old name counts no more: members sign their statements
 *     anew. Invites are void, since what was lost may have used them up. The lost still know the keys: where they may be in
 *     wrong hands, the network is to be given new ones at once.
 */
import type { Epoch, LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import { SYSTEM_PARTITION } from "../base/ids.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import { NOWHERE } from "../partition/recovery.ts";
import { decodeSystemCommand } from "../system/command.ts";
import { nextView } from "../system/system.ts";
import { decodeConfiguration, encodeConfiguration, hasQuorum, isVoter } from "../wire/configuration.ts";
import type { JournalRecord, Recovered, RecoveredReplica } from "../wire/kernel.ts";
import { isFormer } from "../wire/members.ts";
import type { Configuration, Entry, Member, SystemView } from "../wire/messages.ts";

export interface Position {
  readonly index: LogIndex;
  readonly term: Term;
}

/** What a surviving node has of one partition. */
export interface Holding {
  readonly partition: PartitionId;
  readonly term: Term;
  /** False: only term and vote are known. */
  readonly exists: boolean;
  /** Its tables do not reach its log: it votes, and what state it has is an older one. */
  readonly hollow: boolean;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Where the state in its tables ends; 0 where there is none. */
  readonly applied: Position;
  /** The newest in its log. */
  readonly configuration: Configuration;
}

/** All that is asked of a surviving node. Plain data, as it goes into files. */
export interface Survivor {
  readonly node: NodeId;
  readonly network: string;
  /** The newest agreed view that it knows. */
  readonly view: SystemView;
  /** What that becomes with all that its system log holds, agreed or not: the view once that log is the one to go by. */
  readonly viewAtEnd: SystemView;
  readonly holdings: readonly Holding[];
}

/**
 * keep: it can go on by itself (V2). choose: `node` becomes its sole voter (V3). begin: no survivor has its state; it
 * begins empty at `node`.
 */
export interface PartitionRecovery {
  readonly partition: PartitionId;
  readonly kind: "keep" | "choose" | "begin";
  /** keep: one that can be elected. */
  readonly node: NodeId;
  /** Of the new entries and of every vote, above all that were seen. */
  readonly term: Term;
  /** Where the chosen log ends before anything is appended. */
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** The log begins anew there, for only the state before it is left. */
  readonly rebase: boolean;
  /** Who drops what it has of the partition (V5, V6). */
  readonly drop: readonly NodeId[];
  /** A hollow survivor's log is longer, or the layout does not place the partition there: something is lost for certain. */
  readonly knownLost: boolean;
}

export interface RecoveryPlan {
  readonly from: string;
  /** The name of the network to be. */
  readonly network: string;
  readonly survivors: readonly NodeId[];
  readonly lost: readonly NodeId[];
  readonly partitions: readonly PartitionRecovery[];
  readonly view: SystemView;
}

/**
 * Plans the recovery of a network from its survivors. Every node that is not among them is given up for good.
 * @param network 32 hexadecimal digits, drawn anew
 * @throws {TypeError} when the survivors are not different members of one network
 */
export function planRecovery(survivors: readonly Survivor[], network: string): RecoveryPlan {
  const [first] = survivors;
  if (first === undefined) throw new TypeError("A network is recovered from at least one surviving node");
  for (const { node, network: from } of survivors) {
    if (from === first.network) continue;
    throw new TypeError(
      `Nodes "${first.node}" and "${node}" are of different networks, ${first.network} and ${from}`,
    );
  }
  const nodes = survivors.map(({ node }) => node).sort();
  const twice = nodes.find((node, i) => node === nodes[i - 1]);
  if (twice !== undefined) throw new TypeError(`Node "${twice}" is named twice`);
  const known = survivors.reduce((best, { view }) => view.version > best.version ? view : best, first.view);
  const system = planPartition(SYSTEM_PARTITION, survivors, nodes, known);
  const ended = survivors.find(({ node }) => node === system.node)!.viewAtEnd;
  // A longer log contains what is known to be agreed; a shorter one is overtaken by it.
  const newest = system.kind !== "begin" && ended.version > known.version ? ended : known;
  const partitions = [system];
  for (let p = 1; p <= newest.settings.partitions; p++) {
    partitions.push(planPartition(p as PartitionId, survivors, nodes, newest));
  }
  const lost = newest.members.filter(({ id, state }) => !isFormer(state) && !nodes.includes(id)).map((
    { id },
  ) => id);
  const view = recoveredView(newest, { network, nodes, partitions, survivors });
  return { from: first.network, network, survivors: nodes, lost, partitions, view };
}

/** True where the survivors need no recovery: started, and with the lost ones removed, they go on. */
export function needsNothing({ partitions }: RecoveryPlan): boolean {
  return partitions.every(({ kind }) => kind === "keep");
}

interface Candidate extends Holding {
  readonly node: NodeId;
}

function planPartition(
  partition: PartitionId,
  survivors: readonly Survivor[],
  nodes: readonly NodeId[],
  view: SystemView,
): PartitionRecovery {
  const held: Candidate[] = [];
  for (const { node, holdings } of survivors) {
    const holding = holdings.find((h) => h.partition === partition);
    if (holding !== undefined) held.push({ ...holding, node });
  }
  const term = 1 + Math.max(0, ...held.map((h) => Math.max(h.term, h.lastTerm))) as Term;
  const here = held.filter(({ exists }) => exists);
  const electable = longestFirst(here).find((candidate) =>
    !candidate.hollow && canBeElected(candidate, here)
  );
  if (electable !== undefined) {
    const { node, lastIndex, lastTerm } = electable;
    return {
      partition,
      kind: "keep",
      node,
      term,
      lastIndex,
      lastTerm,
      rebase: false,
      drop: [],
      knownLost: false,
    };
  }
  const [chosen] = longestFirst(here.map(upToState)).filter((h) => h.lastIndex > 0 || !h.hollow);
  if (chosen === undefined) {
    const node = leastLoaded(partition, nodes, view);
    const drop = here.map((h) => h.node);
    return { partition, kind: "begin", node, term, ...NO_LOG, rebase: false, drop, knownLost: true };
  }
  const { node, lastIndex, lastTerm, hollow: rebase } = chosen;
  const drop = here.filter((h) => h.hollow && h.node !== node).map((h) => h.node);
  const placed = view.assignment[partition]?.includes(node) === true;
  const knownLost = !placed || here.some((h) => !endsBy(h, chosen));
  return { partition, kind: "choose", node, term, lastIndex, lastTerm, rebase, drop, knownLost };
}

const NO_LOG = { lastIndex: NOWHERE.index, lastTerm: NOWHERE.term };

/** Between equals the order of names, so that everyone plans the same. */
function longestFirst(candidates: readonly Candidate[]): Candidate[] {
  return [...candidates].sort((a, b) =>
    b.lastTerm - a.lastTerm || b.lastIndex - a.lastIndex || (a.node < b.node ? -1 : 1)
  );
}

/** What of it could be gone on from. */
function upToState(candidate: Candidate): Candidate {
  const { hollow, applied } = candidate;
  return hollow ? { ...candidate, lastIndex: applied.index, lastTerm: applied.term } : candidate;
}

/** The log of `one` ends where that of `other` does, or before. */
function endsBy(one: Holding, other: Holding): boolean {
  return one.lastTerm < other.lastTerm ||
    (one.lastTerm === other.lastTerm && one.lastIndex <= other.lastIndex);
}

/** V2. Voters vote for a log that ends where theirs does or later; who has no configuration does not vote. */
function canBeElected(candidate: Candidate, held: readonly Candidate[]): boolean {
  const { configuration } = candidate;
  return isVoter(configuration, candidate.node) &&
    hasQuorum(configuration, (node) => held.some((h) => h.node === node && endsBy(h, candidate)));
}

/** Whoever has a part of the fewest partitions, starting to count at another one for each. */
function leastLoaded(partition: PartitionId, nodes: readonly NodeId[], { assignment }: SystemView): NodeId {
  const load = (node: NodeId) => assignment.filter((replicas) => replicas.includes(node)).length;
  const turned = nodes.map((_, i) => nodes[(i + partition) % nodes.length]!);
  return turned.reduce((best, node) => load(node) < load(best) ? node : best);
}

interface ViewOptions {
  readonly network: string;
  readonly nodes: readonly NodeId[];
  readonly partitions: readonly PartitionRecovery[];
  readonly survivors: readonly Survivor[];
}

/** V6, V8. The lost are out, and each partition is where it was found; the leader to be places the rest. */
function recoveredView(
  newest: SystemView,
  { network, nodes, partitions, survivors }: ViewOptions,
): SystemView {
  const members = newest.members.map((member): Member => {
    const unsigned = withoutStatement(member);
    if (nodes.includes(member.id)) return unsigned;
    return isFormer(member.state) ? unsigned : { ...unsigned, state: "removed" };
  });
  const { replicas, systemReplicas } = newest.settings;
  const anyActive = members.some(({ state }) => state === "active");
  const assignment = partitions.map(({ partition, kind, node }) => {
    const others = survivors.filter((survivor) =>
      survivor.node !== node && kind !== "begin" &&
      survivor.holdings.some((h) => h.partition === partition && h.exists && !h.hollow)
    );
    return [node, ...others.map((survivor) => survivor.node)].slice(
      0,
      partition === SYSTEM_PARTITION ? systemReplicas : replicas,
    );
  });
  return {
    ...newest,
    network,
    version: Math.max(partitions[SYSTEM_PARTITION]!.lastIndex, newest.version) + 1,
    epoch: newest.epoch + 1 as Epoch,
    // A network without an active member could place nothing.
    members: anyActive ? members : members.map((m) => nodes.includes(m.id) ? { ...m, state: "active" } : m),
    assignment,
    security: newest.security === null ? null : { ...newest.security, invites: [] },
  };
}

function withoutStatement(member: Member): Member {
  const { identity } = member;
  return identity === undefined ? member : { ...member, identity: { ...identity, statement: EMPTY_BYTES } };
}

/**
 * What `node` has to append to its journal, in this order and durably, before its node.json is given the new name. Empty
 * where that has been done.
 * @throws {TypeError} when the journal is not the one that the plan was made for
 */
export function recoveryRecords(plan: RecoveryPlan, node: NodeId, recovered: Recovered): JournalRecord[] {
  const known = recovered.view?.network ?? "none";
  if (known === plan.network) return [];
  if (known !== plan.from) {
    throw new TypeError(`Node "${node}" is of network ${known}, and the plan for ${plan.from}`);
  }
  if (!plan.survivors.includes(node)) throw new TypeError(`Node "${node}" is not among the plan's survivors`);
  const records: JournalRecord[] = [];
  for (const recovery of plan.partitions) {
    const { partition, term } = recovery;
    const replica = recovered.replicas.get(partition) ?? null;
    if (drops(recovery, node)) {
      if (replica?.exists === true && replica.term < term) records.push({ kind: "drop", partition });
      if (replica !== null && replica.term < term) {
        records.push({ kind: "vote", partition, term, votedFor: recovery.node });
      }
    }
    if (recovery.node === node && leads(recovery)) records.push(...succession(plan, recovery, replica));
  }
  records.push({ kind: "view", view: plan.view });
  return records;
}

function leads({ partition, kind }: PartitionRecovery): boolean {
  return kind !== "keep" || partition === SYSTEM_PARTITION;
}

function drops({ partition, node: chosen, drop, kind }: PartitionRecovery, node: NodeId): boolean {
  if (node === chosen) return kind === "begin";
  return drop.includes(node) || partition === SYSTEM_PARTITION;
}

/** What makes a survivor the sole voter of a partition. */
function succession(
  plan: RecoveryPlan,
  { partition, kind, node, term, lastIndex, lastTerm, rebase }: PartitionRecovery,
  replica: RecoveredReplica | null,
): JournalRecord[] {
  const alone: Configuration = { voters: [node], outgoing: [], learners: [] };
  const end = replica?.entries[replica.entries.length - 1] ?? replica?.base ?? NOWHERE;
  const begun = replica !== null && replica.term === term;
  const anew = kind === "begin" || rebase;
  if (!begun && !anew && (end.index !== lastIndex || end.term !== lastTerm)) {
    throw new TypeError(
      `Partition ${partition} at node "${node}" ends at ${end.index} of term ${end.term}, and the plan says ` +
        `${lastIndex} of term ${lastTerm}: it ran since the plan was made. Make a new one`,
    );
  }
  const records: JournalRecord[] = [];
  if (!begun) records.push({ kind: "vote", partition, term, votedFor: node });
  if (anew && (!begun || !replica.exists || replica.base.index !== lastIndex)) {
    records.push({
      kind: "base",
      partition,
      index: lastIndex,
      term: lastTerm,
      configuration: alone,
      configurationIndex: lastIndex,
    });
  }
  const from = begun && end.term === term ? end.index + 1 : lastIndex + 1;
  const upTo = Math.max(lastIndex + 1, partition === SYSTEM_PARTITION ? plan.view.version : 0);
  let entries: Entry[] = [];
  for (let index = from; index <= upTo; index++) {
    const first = index === lastIndex + 1;
    const data = first ? encodeConfiguration(alone) : EMPTY_BYTES;
    entries.push({ term, index: index as LogIndex, kind: first ? "config" : "noop", data });
    if (entries.length < LIMITS.appendEntriesMax && index < upTo) continue;
    records.push({ kind: "entries", partition, entries });
    entries = [];
  }
  return records;
}

/** What a node's journal and tables say, for planRecovery(). `applied` tells how far the tables of a partition go. */
export function surveyed(
  node: NodeId,
  recovered: Recovered,
  applied: (partition: PartitionId) => Position,
): Survivor {
  if (recovered.view === null) throw new TypeError(`The journal of node "${node}" knows no network`);
  const holdings: Holding[] = [];
  for (const partition of [...recovered.replicas.keys()].sort((a, b) => a - b)) {
    holdings.push(holdingOf(partition, recovered.replicas.get(partition)!, applied(partition)));
  }
  const { view } = recovered;
  const system = recovered.replicas.get(SYSTEM_PARTITION);
  const atEnd = viewAfter(view, system?.entries ?? []);
  return { node, network: view.network, view, viewAtEnd: atEnd, holdings };
}

function holdingOf(partition: PartitionId, replica: RecoveredReplica, applied: Position): Holding {
  const { term, exists, base, entries } = replica;
  const configuration = newestConfiguration(replica);
  const { index, term: lastTerm } = entries[entries.length - 1] ?? base;
  // Tables ahead of the journal are not to be: what is wrong there is not known, so nothing is built on it.
  const hollow = exists && (applied.index < base.index || applied.index > index);
  return { partition, term, exists, hollow, lastIndex: index, lastTerm, applied, configuration };
}

/** The last in its log, committed or not. */
export function newestConfiguration(
  { configuration, configurationIndex, entries }: RecoveredReplica,
): Configuration {
  let newest = configuration;
  for (const { kind, index, data } of entries) {
    if (kind === "config" && index > configurationIndex) newest = decodeConfiguration(data) ?? newest;
  }
  return newest;
}

/** The view once all that the log holds is committed. */
function viewAfter(view: SystemView, entries: readonly Entry[]): SystemView {
  let last = view;
  for (const entry of entries) {
    if (entry.kind !== "command" || entry.index <= last.version) continue;
    const next = nextView(last, decodeSystemCommand(entry.data), entry.index);
    if (!("reason" in next)) last = next;
  }
  return last;
}
