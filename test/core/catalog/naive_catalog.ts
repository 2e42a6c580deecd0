/** The catalog's twin: plain maps, everything recomputed, no rows. What answers and state must be, not how. */
import type { LogIndex, Term } from "../../../core/base/ids.ts";
import { compareUtf8, equalBytes } from "../../../core/base/bytes.ts";
import type {
  Expectation,
  KeyValue,
  PutOptions,
  Response,
  Session,
  Version,
  WriteOp,
} from "../../../core/wire/requests.ts";

interface NaiveKey {
  /** Newest first; null: deleted. */
  versions: { value: Uint8Array | null; version: Version }[];
  limit: number;
  lease: string | null;
}
interface NaiveLease {
  own: boolean;
  ttlMs: number;
  generation: number;
}
interface NaiveSession {
  acknowledged: number;
  last: number;
  answers: Map<number, Response>;
}

/** A refusal is compared by its reason: messages are for people. */
export type Outcome = Response | { readonly kind: "refused"; readonly reason: string };

export class NaiveCatalog {
  keys = new Map<string, NaiveKey>();
  leases = new Map<string, NaiveLease>();
  sessions = new Map<string, NaiveSession>();
  events: { key: string; value: Uint8Array | null; term: Term; index: LogIndex }[] = [];

  write(op: WriteOp, session: Session | undefined, version: Version): Outcome {
    if (session === undefined) return this.#apply(op, version);
    const known = this.sessions.get(session.client);
    if (known === undefined && session.opened) return { kind: "refused", reason: "session-expired" };
    const kept = known?.answers.get(session.sequence);
    if (kept !== undefined) return kept;
    if (known !== undefined && session.sequence < known.acknowledged) {
      return { kind: "refused", reason: "session-expired" };
    }
    const answer = this.#apply(op, version);
    const now = known ?? { acknowledged: 0, last: 0, answers: new Map() };
    this.sessions.set(session.client, now);
    now.acknowledged = Math.max(now.acknowledged, session.acknowledged);
    now.last = version.index;
    now.answers.set(session.sequence, answer as Response);
    for (const sequence of [...now.answers.keys()]) {
      if (sequence < now.acknowledged) now.answers.delete(sequence);
    }
    return answer;
  }

  expire(leases: readonly { lease: string; generation: number }[], version: Version): void {
    for (const { lease, generation } of leases) {
      if (this.leases.get(lease)?.generation === generation) this.#end(lease, version);
    }
  }

  forget(sessions: readonly { client: string; lastIndex: number }[]): void {
    for (const { client, lastIndex } of sessions) {
      if (this.sessions.get(client)?.last === lastIndex) this.sessions.delete(client);
    }
  }

  find(key: string): KeyValue | null {
    const newest = this.keys.get(key)?.versions[0];
    return newest === undefined || newest.value === null ? null : { key, ...newest };
  }

  history(key: string): KeyValue[] {
    return (this.keys.get(key)?.versions ?? []).map((version) => ({ key, ...version }));
  }

  all(): KeyValue[] {
    return [...this.keys.keys()].sort(compareUtf8).flatMap((key) => this.find(key) ?? []);
  }

  #apply(op: WriteOp, version: Version): Outcome {
    switch (op.kind) {
      case "put":
        return this.#problem(op.key, op) ??
          { kind: "written", version, existed: this.#set(op.key, op.value, op, version) };
      case "delete":
        return { kind: "written", version, existed: this.#set(op.key, null, {}, version) };
      case "cas": {
        const found = this.find(op.key);
        if (!holds(found, op.expect)) return { kind: "cas", applied: false, version, found };
        const problem = op.value === null ? null : this.#problem(op.key, op);
        if (problem !== null) return problem;
        this.#set(op.key, op.value, op.value === null ? pickHistory(op) : op, version);
        return { kind: "cas", applied: true, version, found: null };
      }
      case "transact": {
        const held = op.conditions.every(({ key, expect }) => holds(this.find(key), expect));
        const branch = held ? op.then : op.otherwise;
        for (const item of branch) {
          const problem = item.kind === "put" ? this.#problem(item.key, item) : null;
          if (problem !== null) return problem;
        }
        const results = branch.map((item) => {
          if (item.kind === "get") return this.find(item.key);
          this.#set(
            item.key,
            item.kind === "put" ? item.value : null,
            item.kind === "put" ? item : {},
            version,
          );
          return null;
        });
        return { kind: "transacted", held, version, results };
      }
      case "grant": {
        const known = this.leases.get(op.lease);
        if (known?.own) return { kind: "refused", reason: "conflict" };
        this.leases.set(op.lease, { own: false, ttlMs: op.ttlMs, generation: version.index });
        return { kind: "written", version, existed: known !== undefined };
      }
      case "keep-alive": {
        const known = this.leases.get(op.lease);
        if (known === undefined) return { kind: "refused", reason: "not-found" };
        known.generation = version.index;
        return { kind: "written", version, existed: true };
      }
      case "revoke": {
        const existed = this.leases.has(op.lease);
        if (existed) this.#end(op.lease, version);
        return { kind: "written", version, existed };
      }
    }
  }

  #problem(key: string, options: PutOptions): Outcome | null {
    if (options.lease !== undefined && (this.leases.get(options.lease)?.own ?? true)) {
      return { kind: "refused", reason: "not-found" };
    }
    if (options.ttlMs !== undefined && this.leases.get(key)?.own === false) {
      return { kind: "refused", reason: "conflict" };
    }
    return null;
  }

  #set(key: string, value: Uint8Array | null, options: PutOptions, version: Version): boolean {
    const known = this.keys.get(key) ?? { versions: [], limit: 0, lease: null };
    const existed = this.find(key) !== null;
    if (value === null && !existed) return false;
    if (known.lease === key && this.leases.get(key)?.own && (value === null || options.ttlMs === undefined)) {
      this.leases.delete(key);
    }
    if (value !== null && options.ttlMs !== undefined) {
      this.leases.set(key, { own: true, ttlMs: options.ttlMs, generation: version.index });
    }
    known.lease = value === null ? null : options.lease ?? (options.ttlMs === undefined ? null : key);
    known.limit = options.history ?? known.limit;
    known.versions = [{ value, version }, ...known.versions].slice(0, known.limit + 1);
    this.keys.set(key, known);
    if (value === null && known.limit === 0) this.keys.delete(key);
    this.events.push({ key, value, term: version.term, index: version.index });
    return existed;
  }

  #end(lease: string, version: Version): void {
    const keys = [...this.keys].filter(([, known]) => known.lease === lease).map(([key]) => key).sort(
      compareUtf8,
    );
    for (const key of keys) this.#set(key, null, {}, version);
    this.leases.delete(lease);
  }
}

function holds(found: KeyValue | null, expect: Expectation): boolean {
  if (expect.kind === "absent") return found === null;
  if (found === null) return false;
  if (expect.kind === "present") return true;
  if (expect.kind === "value") return equalBytes(found.value!, expect.value);
  return found.version.index === expect.version.index && found.version.term === expect.version.term;
}

function pickHistory(options: PutOptions): PutOptions {
  return options.history === undefined ? {} : { history: options.history };
}
