/** Requests and responses as one short line each, see describe.ts. */
import { unreachable } from "../base/invariant.ts";
import { describeBytes, describeChunkRequest } from "./describe_objects.ts";
import type { Configuration } from "./messages.ts";
import type {
  Expectation,
  KeyValue,
  Op,
  PutOptions,
  Request,
  Response,
  Session,
  TransactItem,
  Version,
} from "./requests.ts";
import { describePrincipal, type Right } from "./security.ts";

/** `put "alpha" 5B:3c9e1f02 session 0a1b2c3d/7` */
export function describeRequest(request: Request): string {
  const { op, session, by } = request;
  const whose = by === undefined ? "" : ` by ${describePrincipal(by)}`;
  return `${describeOp(op)}${session === undefined ? "" : ` ${describeSession(session)}`}${whose}`;
}

export function describeOp(op: Op): string {
  switch (op.kind) {
    case "put":
      return `put ${text(op.key)} ${describeBytes(op.value)}${optionsOf(op)}`;
    case "delete":
    case "history":
      return `${op.kind} ${text(op.key)}${op.kind === "history" ? ` ${op.read}` : ""}`;
    case "cas":
      return `cas ${text(op.key)} ${describeExpectation(op.expect)} to ${describeBytes(op.value)}${
        optionsOf(op)
      }`;
    case "transact": {
      const conditions = op.conditions.map((c) => `${text(c.key)} ${describeExpectation(c.expect)}`).join(
        ", ",
      );
      return `transact if [${conditions}] then [${items(op.then)}] else [${items(op.otherwise)}]`;
    }
    case "grant":
      return `grant ${text(op.lease)} ${op.ttlMs}ms`;
    case "keep-alive":
    case "revoke":
      return `${op.kind} ${text(op.lease)}`;
    case "get":
      return `get ${text(op.key)} ${op.read}${
        op.version === undefined ? "" : ` at ${describeVersion(op.version)}`
      }`;
    case "range": {
      const flags = `${op.reverse ? " reverse" : ""}${op.keysOnly ? " keys-only" : ""}`;
      const where = op.partition === undefined ? "" : ` p${op.partition}`;
      return `range ${interval(op.start, op.end)} limit ${op.limit}${flags} ${op.read}${where}`;
    }
    case "watch":
      return `watch ${interval(op.start, op.end)} from [${positions(op.from)}]`;
    case "unwatch":
      return `unwatch ${op.watch}`;
    case "join":
      return `join ${op.member.id} at ${op.member.address} network ${op.network ?? "any"}`;
    case "set-state":
      return `set-state ${op.node} ${op.state}${op.force ? " force" : ""}`;
    case "set-address":
      return `set-address ${op.node} ${op.address}`;
    case "evict":
      return `evict ${op.node}${op.force ? " force" : ""}`;
    case "invite-add":
      return `invite-add ${op.invite.id} uses ${op.invite.uses} until ${op.invite.expiresMs} now ${op.nowMs}`;
    case "access-set":
      return `access-set ${op.access.id} ${text(op.access.name)} [${
        op.access.rights.map(describeRight).join(", ")
      }]`;
    case "invite-drop":
    case "access-drop":
      return `${op.kind} ${op.id}`;
    case "key-made":
      return `key-made ${op.id}`;
    case "key-status":
      return `key-status ${op.node} holds ${op.holds} uses ${op.uses}`;
    case "audit":
      return `audit ${op.limit}`;
    case "chunk-put":
    case "chunk-get":
    case "segments-gone":
      return describeChunkRequest(op);
    case "keys-rotate":
    case "status":
    case "members":
    case "layout":
      return op.kind;
    default:
      return unreachable(op);
  }
}

/** `written 4@2 existed` */
export function describeResponse(response: Response): string {
  switch (response.kind) {
    case "written":
      return `written ${describeVersion(response.version)}${response.existed ? " existed" : ""}`;
    case "cas": {
      const outcome = response.applied ? "applied" : "failed";
      return `cas ${outcome} ${describeVersion(response.version)} found ${describeFound(response.found)}`;
    }
    case "transacted": {
      const results = response.results.map(describeFound).join(", ");
      const branch = response.held ? "then" : "else";
      return `transacted ${branch} ${describeVersion(response.version)} [${results}]`;
    }
    case "value":
      return `value ${describeFound(response.found)}${age(response.ageUs)}`;
    case "values": {
      const next = response.next === null ? "" : ` next ${text(response.next)}`;
      return `values [${response.items.map(describeFound).join(", ")}]${next}${age(response.ageUs)}`;
    }
    case "watching":
      return `watching from [${positions(response.from)}]`;
    case "events": {
      const events = response.events.map(describeFound).join(", ");
      return `events p${response.partition} to ${response.upTo} [${events}]${response.gap ? " gap" : ""}`;
    }
    case "done":
      return `done ${response.version}`;
    case "joined":
      return `joined v${response.view.version} e${response.view.epoch}`;
    case "status": {
      const { node, state, replicas, view } = response.status;
      return `status ${node} ${state} v${view} ${replicas.length} replicas`;
    }
    case "layout":
      return `layout v${response.view.version} e${response.view.epoch} ${response.leaders.length} leaders`;
    case "members":
      return `members ${response.members.map((m) => `${m.id} ${m.state} ${m.liveness}`).join(", ")}`;
    case "audit":
      return `audit ${response.events.length} events`;
    case "stored":
      return `stored ${response.fragments} of ${response.wanted}`;
    case "chunk":
      return `chunk ${describeBytes(response.bytes)}`;
    case "refused": {
      const leader = response.leader === undefined ? "" : ` leader ${response.leader}`;
      const retry = response.retryAfterMs === undefined ? "" : ` retry after ${response.retryAfterMs}ms`;
      return `refused ${response.reason}${leader}${retry}: ${text(response.message)}`;
    }
    default:
      return unreachable(response);
  }
}

/** index@term, as everywhere in traces. */
export function describeVersion(version: Version): string {
  return `${version.index}@${version.term}`;
}

/** `a b c`, `a b c from a b d` while joint, with learners after a plus. */
export function describeConfiguration({ voters, outgoing, learners }: Configuration): string {
  const joint = outgoing.length === 0 ? "" : ` from ${outgoing.join(" ")}`;
  return `[${voters.join(" ")}${joint}${learners.length === 0 ? "" : ` + ${learners.join(" ")}`}]`;
}

/** `"a/" rw` */
export function describeRight({ prefix, read, write, admin }: Right): string {
  return `${text(prefix)} ${read ? "r" : ""}${write ? "w" : ""}${admin ? "a" : ""}`;
}

/** From start to end, as a half-open interval. */
export function interval(start: string, end: string | null): string {
  return `${text(start)}..${end === null ? "" : text(end)}`;
}

/** Quoted, so that a line stays one line. */
export function text(value: string): string {
  return JSON.stringify(value);
}

function describeSession({ client, sequence, acknowledged, opened }: Session): string {
  return `session ${client.slice(0, 8)}/${sequence} acknowledged ${acknowledged}${opened ? " opened" : ""}`;
}

function describeExpectation(expect: Expectation): string {
  switch (expect.kind) {
    case "absent":
    case "present":
      return expect.kind;
    case "version":
      return `version ${describeVersion(expect.version)}`;
    case "value":
      return `value ${describeBytes(expect.value)}`;
    default:
      return unreachable(expect);
  }
}

function describeFound(found: KeyValue | null): string {
  if (found === null) return "none";
  return `${text(found.key)} ${describeBytes(found.value)} ${describeVersion(found.version)}`;
}

function optionsOf({ lease, ttlMs, history }: PutOptions): string {
  const named = lease === undefined ? "" : ` lease ${text(lease)}`;
  const own = ttlMs === undefined ? "" : ` ttl ${ttlMs}ms`;
  return `${named}${own}${history === undefined ? "" : ` history ${history}`}`;
}

function items(list: readonly TransactItem[]): string {
  return list.map((item) => item.kind === "get" ? `get ${text(item.key)}` : describeOp(item)).join(", ");
}

function positions(list: readonly (readonly [number, number])[]): string {
  return list.map(([partition, index]) => `p${partition}:${index}`).join(" ");
}

function age(us: number): string {
  return us === 0 ? "" : ` age ${us}us`;
}
