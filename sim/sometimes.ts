/**
 * Situations that a sweep must have been in at least once. A fault that is injected and a rule that is checked prove little
 * where what lies between them never happens; each name here is a place in the code that someone feared. Names are fired by
 * observers, clients and the faults themselves, never by the nodes.
 */
interface Situation {
  /** What it means, in one line. */
  readonly meaning: string;
  /** A sweep of this many seeds of a swarm fails if it was never so; in a smaller one it is only told. */
  readonly within: number;
}

const often = (meaning: string): Situation => ({ meaning, within: 200 });
/** In a third of a swarm's seeds there are objects. */
const objects = (meaning: string): Situation => ({ meaning, within: 600 });
const rarely = (meaning: string): Situation => ({ meaning, within: 2000 });

export const SOMETIMES = {
  // Reconfiguration
  "leader changed mid-reconfiguration": often("a leader was elected whose newest configuration was joint"),
  "leader crashed mid-reconfiguration": rarely("a leader crashed while its newest configuration was joint"),
  "joint configuration rolled back": rarely(
    "a joint configuration was cut off a log before it was committed",
  ),
  "learner promoted": often("a replica that had been a learner became a voter"),
  "leader left the configuration": rarely("a leader was not in the configuration that it had committed"),
  // Snapshots and compaction
  "log compacted": often("a log outgrew its limits and was cut down"),
  "snapshot installed": often("a replica took over a snapshot's state"),
  "snapshot of several chunks": often("a snapshot did not fit into one message"),
  "snapshot begun anew": often(
    "a leader began a snapshot again for a follower that had not installed the last",
  ),
  "crashed while a snapshot settled": rarely(
    "a node crashed after installing a snapshot, before a checkpoint had made it durable",
  ),
  // Replicas and members
  "hollow replica rebuilt": rarely("a replica that came back without a log got a snapshot"),
  "replica dropped and reopened": often("a node was given back a partition that it had dropped"),
  "member declared gone": often("a member was unreachable for longer than the grace period"),
  "member declared gone rejoined": often("a member that had been declared gone became active again"),
  "member drained": often("a member gave everything away and left"),
  "member joined": often("a member came that had not founded the network"),
  "system voter replaced": often("the system partition's voters changed"),
  "system leader crashed": often("the leader of the system partition crashed"),
  // Elections
  "quiet partition woken": often("a partition that was quiet began to beat again"),
  "pre-vote refused a candidate": often("a candidate lost a pre-vote, and so disturbed nobody"),
  "vote lost": often("a candidate lost a real vote"),
  "check-quorum made a leader step down": often("a leader that no quorum answered gave up"),
  "higher term deposed a leader": often("a leader learned of a higher term and stepped down"),
  "leadership transferred": often("the replica that leadership was handed to became leader"),
  "uncommitted entries cut off": often("a follower's log was truncated in favour of a new leader's"),
  "sole replica elected": often("a partition of one replica elected itself"),
  // Disks and restarts
  "torn tail cut": often("a crash tore a record, and recovery cut the journal there"),
  "crash kept everything": often("a crash lost nothing of what was not synced yet, and something was not"),
  "crash lost everything unsynced": often(
    "a crash lost all of what was not synced yet, and something was not",
  ),
  "recovery interrupted": often("a node was stopped again while it repaired its journal, and began anew"),
  "unsynced records survived": often("records that were not synced were found after a crash"),
  "checkpoint interrupted by a crash": often(
    "a node crashed between the beginning and the end of a checkpoint",
  ),
  "several checkpoints in one life": often("a node completed three checkpoints without a restart"),
  "journal damage detected": often("a node found its journal damaged, or gone, and had to be replaced"),
  "damage behind a seal detected": often(
    "a node found damage to what it had synced last, where only a seal told it from a torn end",
  ),
  "tables found damaged": often("a node found its tables damaged, or gone, and its journal whole"),
  "disk nearly full": often("a node was told that its disk is about to be full"),
  "disk nearly full and back": often("a node was told that its disk has room again"),
  "node down with disk trouble": often("a node halted because its disk failed or was full"),
  "crashed again before it caught up": often("a node crashed within half a second of its start"),
  // Clients
  "exactly-once duplicate dropped": often("a retried write came through the log twice and was applied once"),
  "retry answered from the session table": often("a leader answered a retry with the answer given before"),
  "lease expired": often("a lease's time was over, and its keys went"),
  "lease kept alive": often("a client kept a lease alive"),
  "lease revoked": often("a client ended a lease before its time"),
  "large value stored": rarely("a value near the limit was acknowledged"),
  "read waited for quorum": often("a read without lease was answered by a partition of several replicas"),
  "stale read served": often("a replica that does not lead answered a stale read"),
  "proposal forwarded": often("a node passed a client's write on to the leader"),
  "client was told busy": often("a leader refused a write because too many waited"),
  "client was left unsure": often("a write ended without the client's knowing whether it had happened"),
  "transaction took both branches": often(
    "transactions were answered whose condition held, and whose did not",
  ),
  "watch resumed after a reconnect": often("a watch went on at another connection and told more events"),
  "watch was told of a gap": often("a watcher was too far behind and was told that events are missing"),
  // Private networks
  "member evicted": often("a member was shut out for good"),
  "leader of the system partition evicted": often("who led the system partition was shut out"),
  "evicted amid a rotation": rarely("a member was shut out while a generation of keys was being introduced"),
  "generation of keys introduced": often("a new generation of keys was held by all and became current"),
  "generation of keys forgotten": often("nobody needed a former generation of keys any more"),
  "generation made by two hosts": rarely("two leaders' hosts made the same generation of keys"),
  "maker of a generation crashed before it was agreed on": rarely(
    "a host stopped that had made a generation of keys which the network had not agreed on yet",
  ),
  "member was away for a whole rotation": rarely(
    "a member came back to another current generation of keys than it had left",
  ),
  "joiner admitted amid a rotation": often(
    "a node was let in while a generation of keys was being introduced",
  ),
  "invite raced for": often("two wanted to come in with an invite for one, and one had to ask for another"),
  "stranger refused": often("somebody tried to come in without leave"),
  "evicted key refused": often("somebody tried to come in with the key of a member that was shut out"),
  "used invite refused": often("somebody tried to come in with an invite that had been used up"),
  "access key revoked under load": often("a client was denied that had worked with its key before"),
  "access beyond rights denied": often("a client asked for what its key does not cover"),
  "watch closed by revocation": often("a watch ended because its access key was revoked or changed"),
  // Objects
  "object client died amid an operation": objects("a process ended amid something that it did with objects"),
  "upload in parts broken off": objects("a process ended amid an upload of several parts"),
  "upkeep of objects broken off": objects("a node stopped amid its upkeep of a partition's objects"),
  "garbage of objects collected by another": objects("a node removed what a client had left half removed"),
  "conditional write of an object refused": objects(
    "an object was not written, for its condition did not hold",
  ),
  "object read while a node was away": objects("a body was read whole while a node was down"),
  "object written while a node was away": objects("an object was committed while a node was down"),
  "chunk stored with a quorum only": objects(
    "a chunk's write was answered before all its fragments were there",
  ),
  "holder did not take a fragment": objects("a holder was full, failed or refused, and another was asked"),
  "second holder asked before the first answered": objects(
    "a fragment was asked for twice, for the first was late",
  ),
  "hedged read won by the later": objects("who was asked later for a fragment answered first"),
  "fragment fetched again": objects("a fragment that was missing was fetched from another holder"),
  "fragment made again of others": objects(
    "a fragment that was missing was computed from others of its stripe",
  ),
  "rotten fragment found": objects("a holder found that what it kept was not what it was called"),
  "surplus fragment removed": objects("a holder removed what those who should hold it held"),
  "orphaned fragment collected": objects("a fragment was removed that no row had named for long"),
  "fragment of something deleted removed at once": objects(
    "a hint had a holder remove fragments of a deleted segment",
  ),
  "fragment beyond its segment removed": rarely(
    "a fragment was removed that its segment, which lives, has no use for",
  ),
  "node crashed amid a look": objects(
    "a node stopped while it compared what it held with what it should hold",
  ),
  "pending segment expired": objects("what a writer that died had registered went by itself"),
  "object was damaged for a while": rarely("too few fragments of a chunk could be had when it was read"),
  // The world
  "frame corrupted and refused": often("a frame was damaged on the way and not taken for a whole one"),
  "frame duplicated": often("a frame arrived twice"),
  "two nodes dead at once": often("two nodes were down at the same time"),
  "all nodes dead at once": often("no node ran"),
  "whole zone cut off": often("all nodes of a zone were cut off from all others"),
  "one-way cut": often("a node was heard and did not hear, or the reverse"),
  "clock jumped": often("a clock jumped"),
} as const satisfies Record<string, Situation>;

export type SometimesName = keyof typeof SOMETIMES;

export const SOMETIMES_NAMES = Object.keys(SOMETIMES) as SometimesName[];

/** What was so in one run. */
export class Sometimes {
  readonly #fired = new Set<SometimesName>();

  fire(name: SometimesName): void {
    this.#fired.add(name);
  }
  has(name: SometimesName): boolean {
    return this.#fired.has(name);
  }
  /** In the order of the registry. */
  get fired(): readonly SometimesName[] {
    return SOMETIMES_NAMES.filter((name) => this.#fired.has(name));
  }
}

/** How many runs were in each situation. */
export function countFired(runs: Iterable<readonly SometimesName[]>): Map<SometimesName, number> {
  const counts = new Map<SometimesName, number>(SOMETIMES_NAMES.map((name) => [name, 0]));
  for (const fired of runs) for (const name of fired) counts.set(name, counts.get(name)! + 1);
  return counts;
}

/** The situations that none of so many seeds was in: those that a sweep this long must have met, and the others. */
export function neverFired(
  counts: ReadonlyMap<SometimesName, number>,
  seeds: number,
): { readonly missing: readonly SometimesName[]; readonly tolerated: readonly SometimesName[] } {
  const never = SOMETIMES_NAMES.filter((name) => (counts.get(name) ?? 0) === 0);
  return {
    missing: never.filter((name) => seeds >= SOMETIMES[name].within),
    tolerated: never.filter((name) => seeds < SOMETIMES[name].within),
  };
}
