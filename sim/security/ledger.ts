/**
 * The checker's own history of a private network: every command that the system partition committed, applied to a model
 * of its own. It is told of commands by what nodes wrote and applied, not by what they say their view is, and holds each
 * view that a node shows against its own of the same version.
 */
import type { NodeId } from "../../core/base/ids.ts";
import { SYSTEM_PARTITION } from "../../core/base/ids.ts";
import { decodeSystemCommand, type SystemCommand } from "../../core/system/command.ts";
import type { Effects } from "../../core/wire/kernel.ts";
import type { Member, MemberState, SystemView } from "../../core/wire/messages.ts";
import type { AccessKey, Invite, NetworkKey, Principal, Right } from "../../core/wire/security.ts";
import { drawnFrom } from "./model_text.ts";
import { sha256Hex } from "./keyring.ts";

interface ModelMember {
  state: MemberState;
  readonly key: string;
  readonly disk: string;
  holds: number;
  uses: number;
}

export type LedgerEvent =
  | { readonly kind: "evicted"; readonly node: NodeId; readonly rotating: boolean }
  | { readonly kind: "admitted"; readonly node: NodeId; readonly rotating: boolean }
  | { readonly kind: "wanted" | "made" | "used" | "forgotten"; readonly generation: number };

export type LedgerReport = (check: "views follow from the log", detail: string) => void;

/** Rights of one access key from a log index on; null: it was revoked. */
interface Granted {
  readonly from: number;
  readonly rights: readonly Right[] | null;
}

export class Ledger {
  readonly #report: LedgerReport;
  /** Told of what was committed, as it is. */
  onEvent: ((event: LedgerEvent) => void) | null = null;
  /** Commands as they were written, by index and term. */
  readonly #written = new Map<string, Uint8Array | null>();
  #last = 0;
  #version = 0;
  readonly #members = new Map<NodeId, ModelMember>();
  readonly #invites = new Map<string, { hash: string; uses: number; expiresMs: number }>();
  #keys: { id: number; state: NetworkKey["state"]; wantedAt: number; authority: string }[] = [];
  readonly #access = new Map<string, Granted[]>();
  readonly #addresses = new Map<NodeId, string>();
  /** Log index of the eviction, by key. */
  readonly #evicted = new Map<string, number>();
  /** When each generation was first wanted, also of those forgotten or voided. */
  readonly #wantedAt = new Map<number, number>();
  /** What the model was at each version. */
  readonly #texts = new Map<number, string>();

  constructor(genesis: SystemView, report: LedgerReport) {
    this.#report = report;
    for (const member of genesis.members) {
      this.#members.set(member.id, modelOf(member, member.state));
      this.#addresses.set(member.id, member.address);
    }
    for (const { id, state, authority } of genesis.security?.keys ?? []) {
      this.#keys.push({ id, state, wantedAt: 0, authority: Uint8Array.from(authority).toHex() });
      this.#wantedAt.set(id, 0);
    }
    for (const { id, rights } of genesis.security?.access ?? []) this.#access.set(id, [{ from: 0, rights }]);
    this.#remember(0);
  }

  // ---- questions

  get commands(): number {
    return this.#last;
  }
  /** The log index at which this key was evicted. */
  evictedAt(key: string): number | undefined {
    return this.#evicted.get(key);
  }
  /** The log index at which a generation was first wanted. */
  wantedAt(generation: number): number | undefined {
    return this.#wantedAt.get(generation);
  }
  /** What the network agreed on as the authority of a generation, in hexadecimal digits; empty while none is. */
  authorityOf(generation: number): string {
    return this.#keys.find(({ id }) => id === generation)?.authority ?? "";
  }
  get rotating(): boolean {
    return this.#keys.some(({ state }) => state === "wanted" || state === "made");
  }
  usesLeft(invite: string): number {
    return this.#invites.get(invite)?.uses ?? 0;
  }
  openInvites(): readonly string[] {
    return [...this.#invites].filter(([, { uses }]) => uses > 0).map(([id]) => id).sort();
  }
  /** The rights of an access key in the view of a version; null: there is no such key. */
  rightsOf(access: string, version: number): readonly Right[] | null {
    let found: readonly Right[] | null = null;
    for (const { from, rights } of this.#access.get(access) ?? []) if (from <= version) found = rights;
    return found;
  }

  // ---- what nodes do

  /** A node wrote entries. */
  wrote({ persist }: Effects): void {
    for (const record of persist) {
      if (record.kind !== "entries" || record.partition !== SYSTEM_PARTITION) continue;
      for (const { index, term, kind, data } of record.entries) {
        if (index > this.#last) this.#written.set(`${index} ${term}`, kind === "command" ? data : null);
      }
    }
  }

  /** The first node has applied this entry of the system partition. */
  committed(index: number, term: number): void {
    if (index !== this.#last + 1) return;
    const data = this.#written.get(`${index} ${term}`);
    this.#last = index;
    if (data == null) return;
    if (this.#apply(decodeSystemCommand(data), index)) this.#version = index;
    this.#remember(this.#version);
    for (const name of this.#written.keys()) {
      if (Number(name.slice(0, name.indexOf(" "))) <= index) this.#written.delete(name);
    }
  }

  /** A node has this view: it must be what was committed, and what was committed must have been right. */
  compare(node: NodeId, view: SystemView): void {
    const own = this.#texts.get(view.version), theirs = drawnFrom(view);
    if (own === theirs) return;
    this.#report(
      "views follow from the log",
      own === undefined
        ? `${node} has view ${view.version}, and nothing that was committed makes one of this version`
        : `${node} has in view ${view.version} ${theirs}, and what was committed makes ${own}`,
    );
  }

  #remember(version: number): void {
    const members = [...this.#members].map(([id, { state, key, holds, uses }]) => ({
      id,
      state,
      identity: { key, holds, uses },
    }));
    const access = [...this.#access].flatMap(([id, granted]) => {
      const { rights } = granted.at(-1)!;
      return rights === null ? [] : [{ id, rights }];
    });
    const invites = [...this.#invites].map(([id, { uses }]) => ({ id, uses }));
    this.#texts.set(version, drawnFrom({ members, security: { keys: this.#keys, access, invites } }));
  }

  // ---- the model; each returns whether it changes anything

  #apply(command: SystemCommand, index: number): boolean {
    switch (command.kind) {
      case "join":
        return this.#join(command.member, command.by ?? null);
      case "set-state":
        return this.#setState(command.node, command.state);
      case "set-address":
        return this.#members.has(command.node) && this.#changesAddress(command);
      case "layout":
        if (command.base !== this.#version || !this.#mayChange(command.states)) return false;
        for (const [node, state] of command.states) this.#members.get(node)!.state = state;
        return true;
      case "evict":
        return this.#evict(command.node, index);
      case "invite-add":
        return this.#invite(command.invite, command.nowMs);
      case "invite-drop":
        return this.#invites.delete(command.id);
      case "access-set":
        return this.#grant(command.access, index);
      case "access-drop":
        return this.#revoke(command.id, index);
      case "keys-rotate":
        return this.#rotate(index);
      case "key-made": {
        const newest = this.#keys.at(-1)!;
        if (newest.id !== command.id || newest.state !== "wanted" || command.authority.length === 0) {
          return false;
        }
        newest.state = "made";
        newest.authority = Uint8Array.from(command.authority).toHex();
        this.onEvent?.({ kind: "made", generation: command.id });
        return true;
      }
      case "key-status":
        return this.#status(command);
      case "key-use":
        return this.#use(command.id);
      case "key-forget": {
        const key = this.#keys.find(({ id }) => id === command.id);
        const needed = [...this.#members.values()].some(({ state, uses }) =>
          state !== "evicted" && state !== "removed" && uses <= command.id
        );
        if (key?.state !== "former" || needed) return false;
        this.#keys = this.#keys.filter((each) => each !== key);
        this.onEvent?.({ kind: "forgotten", generation: command.id });
        return true;
      }
    }
  }

  #changesAddress({ node, address }: { node: NodeId; address: string }): boolean {
    const changes = this.#addresses.get(node) !== address;
    this.#addresses.set(node, address);
    return changes;
  }

  /** A layout says nothing new of who is evicted, and keeps somebody active. */
  #mayChange(states: readonly (readonly [NodeId, MemberState])[]): boolean {
    const next = new Map(states);
    return [...this.#members].some(([id, { state }]) => (next.get(id) ?? state) === "active") &&
      states.every(([id, state]) => (state === "evicted") === (this.#members.get(id)?.state === "evicted"));
  }

  #rotate(index: number): boolean {
    const newest = this.#keys.at(-1)!;
    // What was made and is held by nobody who belongs to the network gives way.
    const orphaned = newest.state === "made" && !this.#present().some(({ holds }) => holds >= newest.id);
    if (this.rotating && !orphaned) return false;
    if (orphaned) this.#keys.pop();
    else if (this.#keys.length >= KEYS_MAX) return false;
    this.#want(index);
    return true;
  }

  #present(): ModelMember[] {
    return [...this.#members.values()].filter(({ state }) =>
      state === "joining" || state === "active" || state === "draining"
    );
  }

  #join(member: Member, by: Principal | null): boolean {
    const known = this.#members.get(member.id), key = member.identity?.key ?? null;
    const isOut = known?.state === "evicted" || known?.state === "removed";
    const otherDisk = known !== undefined && known.disk !== "" && member.disk !== "" &&
      known.disk !== member.disk;
    if (key === null || this.#evicted.has(key) || isOut || otherDisk) return false;
    if (known !== undefined && known.key !== key) return false;
    if (!this.#vouched(by, known !== undefined)) return false;
    this.#addresses.set(member.id, member.address);
    if (known !== undefined) {
      if (known.state === "gone") known.state = "joining";
      return true;
    }
    const fresh = { ...member, identity: { key, holds: 0, uses: 0, statement: new Uint8Array(0) } };
    this.#members.set(member.id, modelOf(fresh, "joining"));
    this.onEvent?.({ kind: "admitted", node: member.id, rotating: this.rotating });
    return true;
  }

  #vouched(by: Principal | null, isKnown: boolean): boolean {
    if (by?.kind === "member") {
      const state = this.#members.get(by.node)?.state ?? "removed";
      return state !== "evicted" && state !== "removed";
    }
    if (by?.kind !== "invite") return false;
    if (isKnown) return true;
    const invite = this.#invites.get(by.id);
    if (invite === undefined || invite.uses === 0 || sha256Hex(by.proof) !== invite.hash) return false;
    if (by.nowMs !== undefined && invite.expiresMs <= by.nowMs) return false;
    invite.uses--;
    return true;
  }

  #setState(node: NodeId, state: MemberState): boolean {
    const member = this.#members.get(node);
    if (member === undefined || member.state === state || member.state === "evicted" || state === "evicted") {
      return false;
    }
    const others = [...this.#members].some(([id, m]) => m.state === "active" && id !== node);
    if (member.state === "active" && !others) return false;
    if (member.state === "removed" && state !== "joining") return false;
    if (member.state === "gone" && state !== "removed") return false;
    member.state = state;
    return true;
  }

  #evict(node: NodeId, index: number): boolean {
    const member = this.#members.get(node);
    if (member === undefined || member.state === "evicted") return false;
    const twins = [...this.#members.values()].filter(({ key }) => key === member.key);
    if (![...this.#members.values()].some((m) => m.state === "active" && !twins.includes(m))) return false;
    const { rotating } = this;
    for (const twin of twins) twin.state = "evicted";
    this.#evicted.set(member.key, index);
    this.#invites.clear();
    if (rotating) this.#keys.pop();
    else if (this.#keys.length >= KEYS_MAX) this.#keys.shift();
    this.#want(index);
    this.onEvent?.({ kind: "evicted", node, rotating });
    return true;
  }

  /** The next number, though the last may have been voided. */
  #want(index: number): void {
    const id = Math.max(...this.#wantedAt.keys()) + 1;
    this.#keys.push({ id, state: "wanted", wantedAt: index, authority: "" });
    this.#wantedAt.set(id, index);
    this.onEvent?.({ kind: "wanted", generation: id });
  }

  #use(id: number): boolean {
    const key = this.#keys.find((each) => each.id === id);
    if (key?.state !== "made" || this.#present().some(({ holds }) => holds < id)) return false;
    for (const each of this.#keys) if (each.state === "current") each.state = "former";
    key.state = "current";
    this.onEvent?.({ kind: "used", generation: id });
    return true;
  }

  #status({ node, holds, uses }: { node: NodeId; holds: number; uses: number }): boolean {
    const member = this.#members.get(node);
    const unfit = uses > holds || holds > this.#keys.at(-1)!.id;
    if (member === undefined || unfit || member.state === "evicted") return false;
    const changes = member.holds !== holds || member.uses !== uses;
    member.holds = holds;
    member.uses = uses;
    return changes;
  }

  #invite({ id, hash, uses, expiresMs }: Invite, nowMs: number): boolean {
    if (uses < 1 || expiresMs <= nowMs || this.#invites.has(id)) return false;
    this.#invites.set(id, { hash, uses, expiresMs });
    return true;
  }

  #grant({ id, rights }: AccessKey, index: number): boolean {
    if (rights.length === 0) return false;
    const granted = this.#access.get(id) ?? [];
    this.#access.set(id, [...granted, { from: index, rights }]);
    return true;
  }

  #revoke(id: string, index: number): boolean {
    const granted = this.#access.get(id);
    if (granted === undefined || granted.at(-1)!.rights === null) return false;
    granted.push({ from: index, rights: null });
    return true;
  }
}

/** LIMITS.networkKeysMax, which a run does not come near: a view with more would be found to differ. */
const KEYS_MAX = 16;

function modelOf({ identity, disk }: Member, state: MemberState): ModelMember {
  return { state, disk, key: identity?.key ?? "", holds: identity?.holds ?? 0, uses: identity?.uses ?? 0 };
}
