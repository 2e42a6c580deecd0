/**
 * The replicated state of partition 0: who belongs to the network, in which state, and which replicas every partition
 * has. Policy (who is declared gone, what the next layout is) belongs to the leader, in core/node/steward.ts; this
 * machine only checks and applies what was proposed, so every voter reaches the same view.
 *
 * S1. view.version is the log index of the command that changed the view last; it never falls.
 * S2. A layout command changes nothing unless it was computed from the very view it is applied to.
 * S3. A member's id appears once; members are sorted by id. The network always keeps one active member.
 * S4. A command at or below view.version is already in the view (the view was restored from the journal, which may be
 *     ahead of the tables) and is passed over.
 * S5. A member comes back under its id only with the data directory that the network knows it by: on another one its
 *     votes and acknowledgements are forgotten. "" stands for any, from before directories had names. A former member
 *     that has been forgotten here is safe too: a partition that still counts it as a voter sends it nothing before it
 *     has been taken out and in again (P6 in core/partition/replica.ts).
 */
import { type Epoch, type LogIndex, type NodeId, SYSTEM_PARTITION, type Term } from "../base/ids.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { hashBytes32 } from "../base/hash.ts";
import { invariant, unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Row, Tables } from "../base/ports.ts";
import type { SnapshotSource, StateMachine } from "../partition/contracts.ts";
import type { Entry, Member, MemberState, SystemView } from "../wire/messages.ts";
import type { Refused, Response } from "../wire/requests.ts";
import { decodeSystemCommand, type SystemCommand } from "./command.ts";
import { findMember, replaceMember } from "./members.ts";
import {
  addInvite,
  admit,
  dropAccess,
  dropInvite,
  evict,
  forgetKey,
  keyMade,
  keyStatus,
  rotateKeys,
  setAccess,
  useKey,
} from "./security.ts";
import { encode, WireError } from "../wire/cbor.ts";
import { isFormer, isWhole, sameNetwork } from "../wire/members.ts";
import type { Principal } from "../wire/security.ts";
import { refusal } from "../wire/ops.ts";
import { decodeView, decodeWith, encodeView } from "../wire/shared_codec.ts";

const key = (tag: number): Uint8Array => Uint8Array.of(SYSTEM_PARTITION >>> 8, SYSTEM_PARTITION & 255, tag);
const VIEW_KEY = key(1);
const POSITION_KEY = key(2);
const PREFIX = { start: key(0), end: Uint8Array.of(0, 1) };

export { findMember } from "./members.ts";

export interface SystemOptions {
  readonly tables: Tables;
  /** What the view is where the tables hold none: the genesis view, or the newest the journal knows. */
  readonly initial: SystemView | null;
}

export class System implements StateMachine {
  readonly #tables: Tables;
  #view: SystemView | null;
  #index = 0 as LogIndex;
  #term = 0 as Term;
  #digest = 0;
  #incoming: Row[] = [];

  constructor({ tables, initial }: SystemOptions) {
    this.#tables = tables;
    const stored = tables.get(VIEW_KEY);
    const position = tables.get(POSITION_KEY);
    this.#view = stored === null ? null : decodeView(stored);
    if (position !== null) {
      [this.#index, this.#term] = decodeWith(position, (r) => (r.tuple(2), [r.index(), r.term()] as const));
    }
    if (initial !== null && (this.#view === null || initial.version > this.#view.version)) {
      this.#setView(initial);
    } else if (stored !== null) this.#digest = hashBytes32(stored);
  }

  /** null on a replica that has not received its first snapshot or entry. */
  get view(): SystemView | null {
    return this.#view;
  }
  get appliedIndex(): LogIndex {
    return this.#index;
  }
  get appliedTerm(): Term {
    return this.#term;
  }

  /** 0 while the view is ahead of the applied position (S4), where replicas cannot be compared. */
  stateDigest(): number {
    return this.#view !== null && this.#view.version <= this.#index ? this.#digest : 0;
  }

  apply(
    entries: readonly Entry[],
    _now: number,
    answer: (index: LogIndex, response: Response) => void,
  ): void {
    for (const entry of entries) {
      invariant(entry.index === this.#index + 1, () => `Entry ${entry.index} follows applied ${this.#index}`);
      this.#index = entry.index;
      this.#term = entry.term;
      if (entry.kind === "command") answer(entry.index, this.#applyCommand(entry));
    }
    this.#tables.set(POSITION_KEY, encode([this.#index, this.#term]));
  }

  #applyCommand(entry: Entry): Response {
    const view = this.#view;
    invariant(view !== null, "The system partition starts with a view");
    if (entry.index <= view.version) return { kind: "done", version: view.version };
    const command = decoded(entry.data, decodeSystemCommand);
    if (typeof command === "string") {
      const message = `The log holds a command that this version cannot read: ${command}. Update this node`;
      return { kind: "refused", reason: "invalid", message };
    }
    const next = nextView(view, command, entry.index);
    if ("reason" in next) return next;
    if (next !== view) this.#setView(next);
    return command.kind === "join" ? { kind: "joined", view: next } : { kind: "done", version: next.version };
  }

  #setView(view: SystemView): void {
    const bytes = encodeView(view);
    this.#view = view;
    this.#digest = hashBytes32(bytes);
    this.#tables.set(VIEW_KEY, bytes);
  }

  snapshot(): SnapshotSource {
    const view = this.#view;
    let rows: readonly Row[] = view === null ? [] : [[VIEW_KEY, encodeView(view)]];
    return {
      index: this.#index,
      term: this.#term,
      next: () => {
        const page = rows;
        rows = [];
        return page;
      },
      close: () => {},
    };
  }

  beginInstall(): void {
    this.#incoming = [];
  }
  installRows(rows: readonly Row[]): string | null {
    // There is one row, whoever says otherwise.
    if (this.#incoming.length + rows.length > SNAPSHOT_ROWS_MAX) return "It has too many rows";
    this.#incoming.push(...rows);
    return null;
  }
  finishInstall(index: LogIndex, term: Term): string | null {
    const row = this.#incoming.find(([k]) => k[2] === VIEW_KEY[2]);
    this.#incoming = [];
    if (row === undefined) return "It holds no view";
    const view = decoded(row[1], decodeView);
    if (typeof view === "string") return view;
    if (!isWhole(view) || !sameNetwork(view, this.#view ?? view)) {
      return "The parts of its view do not fit together";
    }
    this.#setView(view);
    this.#index = index;
    this.#term = term;
    this.#tables.set(POSITION_KEY, encode([index, term]));
    return null;
  }

  drop(): void {
    this.#tables.deleteRange(PREFIX);
    this.#view = null;
    this.#index = 0 as LogIndex;
    this.#term = 0 as Term;
    this.#digest = hashBytes32(EMPTY_BYTES);
  }
}

const SNAPSHOT_ROWS_MAX = 16;

/** What `bytes` say, or what is wrong with them. */
function decoded<T extends object>(bytes: Uint8Array, decode: (bytes: Uint8Array) => T): T | string {
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof WireError) return error.message;
    throw error;
  }
}

/** The view after `command` at log position `index`, the same view where it changes nothing, or why it is refused. */
export function nextView(view: SystemView, command: SystemCommand, index: LogIndex): SystemView | Refused {
  switch (command.kind) {
    case "join":
      return join(view, command.member, command.by ?? null, index);
    case "set-state":
      return setState(view, command.node, command.state, index);
    case "set-address": {
      const member = findMember(view, command.node);
      if (member === null) return unknownMember(command.node);
      if (member.address === command.address) return view;
      return withMembers(view, replaceMember(view.members, { ...member, address: command.address }), index);
    }
    case "layout":
      return layout(view, command, index);
    case "evict":
      return evict(view, command.node, index);
    case "invite-add":
      return addInvite(view, command.invite, command.nowMs, index);
    case "invite-drop":
      return dropInvite(view, command.id, index);
    case "access-set":
      return setAccess(view, command.access, index);
    case "access-drop":
      return dropAccess(view, command.id, index);
    case "keys-rotate":
      return rotateKeys(view, index);
    case "key-made":
      return keyMade(view, command, index);
    case "key-status":
      return keyStatus(view, command, index);
    case "key-use":
      return useKey(view, command.id, index);
    case "key-forget":
      return forgetKey(view, command.id, index);
    default:
      return unreachable(command);
  }
}

function join(
  view: SystemView,
  member: Member,
  by: Principal | null,
  index: LogIndex,
): SystemView | Refused {
  const { capacity } = member;
  if (capacity < 1 || capacity > LIMITS.capacityMax) {
    return refusal("invalid", `A capacity is an integer from 1 to ${LIMITS.capacityMax}, not ${capacity}`);
  }
  const known = findMember(view, member.id);
  const refused = known === null ? null : vetReturn(known, member);
  if (refused !== null) return refused;
  if (known === null && view.members.length >= LIMITS.membersMax) {
    return refusal(
      "conflict",
      `The network has ${view.members.length} members, and ${LIMITS.membersMax} is the most`,
    );
  }
  const admitted = admit(view, member, by);
  if ("reason" in admitted) return admitted;
  const state = known === null || known.state === "gone" ? "joining" : known.state;
  // A build before disks had names may speak for a member whose disk is known: the name stays.
  const disk = member.disk === "" ? known?.disk ?? "" : member.disk;
  const zone = admitted.zone ?? member.zone;
  const joined = { ...withoutIdentity(member), ...admitted.identity, state, disk, zone };
  return { ...withMembers(view, replaceMember(view.members, joined), index), security: admitted.security };
}

/** Why `member` may not come back as the one that is known by its id (S5); null: it may. */
export function vetReturn(known: Member, member: Member): Refused | null {
  const { id } = known;
  if (known.disk !== "" && member.disk !== "" && known.disk !== member.disk) {
    return refusal(
      "conflict",
      `Node "${id}" is known with another data directory (disk ${known.disk}, not ${member.disk}): start it on that ` +
        `one, or choose another --id, for a disk that was lost took with it what the node had promised`,
    );
  }
  if (known.state === "evicted") {
    return refusal(
      "denied",
      `Node "${id}" was evicted from the network, and does not come back under this name`,
    );
  }
  if (known.state !== "removed") return null;
  return refusal(
    "conflict",
    `Node "${id}" was removed from the network: \`space-opera drain --cancel ${id}\` takes it back, or it joins as a ` +
      `new node, with another --id and an empty data directory`,
  );
}

function setState(view: SystemView, node: NodeId, state: MemberState, index: LogIndex): SystemView | Refused {
  const member = findMember(view, node);
  if (member === null) return unknownMember(node);
  if (state === "evicted") return refusal("invalid", "A member is evicted by `space-opera evict`");
  if (member.state === state) return view;
  const lastActive = member.state === "active" && state !== "active" &&
    !view.members.some((m) => m.state === "active" && m.id !== node);
  if (lastActive) return refusal("conflict", `Node "${node}" is the last active member and must stay`);
  // Whose data directory was kept may be taken back; where a dead one is given up for good, it shall stay out.
  const allowed = member.state === "evicted"
    ? false
    : member.state === "removed"
    ? state === "joining"
    : member.state !== "gone" || state === "removed";
  if (!allowed && member.state === "evicted") return vetReturn(member, member)!;
  if (!allowed) return refusal("conflict", `Node "${node}" is ${member.state}; it comes back by joining`);
  return withMembers(view, replaceMember(view.members, { ...member, state }), index);
}

function layout(
  view: SystemView,
  command: SystemCommand & { kind: "layout" },
  index: LogIndex,
): SystemView | Refused {
  if (command.base !== view.version) {
    return refusal(
      "conflict",
      `The layout was computed from version ${command.base}, and ${view.version} is current`,
    );
  }
  const states = new Map(command.states);
  const members = view.members.map((m) => {
    const state = states.get(m.id);
    return state === undefined || state === m.state ? m : { ...m, state };
  });
  if (command.states.some(([node, state]) => (state === "evicted") !== wasEvicted(view, node))) {
    return refusal("invalid", "A layout neither evicts a member nor brings one back that was evicted");
  }
  if (!members.some((m) => m.state === "active")) {
    return refusal("conflict", "A layout keeps an active member");
  }
  if (command.assignment.length !== view.settings.partitions + 1) {
    return refusal(
      "invalid",
      `A layout names ${view.settings.partitions + 1} partitions, not ${command.assignment.length}`,
    );
  }
  if (command.assignment.some((nodes) => new Set(nodes).size < nodes.length)) {
    return refusal("invalid", "A layout places the replicas of a partition on different nodes");
  }
  const epoch = (view.epoch + 1) as Epoch;
  return {
    ...view,
    version: index,
    epoch,
    members: forgetSurplus(members, view, command.assignment),
    assignment: command.assignment,
  };
}

function wasEvicted(view: SystemView, node: NodeId): boolean {
  return findMember(view, node)?.state === "evicted";
}

/**
 * Keeps as many former members as LIMITS.goneMembersKept, so that one that comes back learns its state, and those that
 * became former with this very command or that a layout names, this one or the last. Past that they are forgotten in the
 * order of their ids, see S5, and those that were evicted only when no other is left to forget: as long as their records
 * last, their keys are refused by name, and later as those of strangers.
 */
function forgetSurplus(
  members: readonly Member[],
  view: SystemView,
  assignment: SystemView["assignment"],
): readonly Member[] {
  const surplus = members.reduce((n, m) => n + (isFormer(m.state) ? 1 : 0), 0) - LIMITS.goneMembersKept;
  if (surplus <= 0) return members;
  const placed = new Set([...view.assignment, ...assignment].flat());
  const forgettable = members.filter((m) =>
    isFormer(m.state) && isFormer(findMember(view, m.id)?.state ?? "joining") && !placed.has(m.id)
  );
  const evicted = forgettable.filter((m) => m.state === "evicted");
  const others = forgettable.filter((m) => m.state !== "evicted");
  const forgotten = new Set([...others, ...evicted].slice(0, surplus));
  return members.filter((m) => !forgotten.has(m));
}

/** In an open network a member has none, whatever it says. */
function withoutIdentity(member: Member): Member {
  const { identity: _, ...rest } = member;
  return rest;
}

function withMembers(view: SystemView, members: readonly Member[], index: LogIndex): SystemView {
  return { ...view, version: index, members };
}

function unknownMember(node: NodeId): Refused {
  return refusal("not-found", `No member is called "${node}"; \`space-opera members\` lists them`);
}
