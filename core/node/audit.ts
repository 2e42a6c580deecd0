/**
 * Notes for the audit log: who had something done that matters to the network's safety, and who was kept from what.
 * Every change of the network's own state that a client asks for is noted with its outcome, and so is every denial; of
 * one principal's denials at most one a second, on however many connections, which counts those between.
 */
import type { Instant } from "../base/ids.ts";
import { describeOp, interval, text } from "../wire/describe_request.ts";
import type { Effects } from "../wire/kernel.ts";
import { isSystemOp } from "../wire/ops.ts";
import type { Op, Response } from "../wire/requests.ts";
import { describePrincipal, type Principal } from "../wire/security.ts";

const DENIALS_US = 1_000_000;
/** Principals whose denials are counted: those denied last. */
const DENIED_MAX = 1024;

interface Asked {
  readonly client: number;
  readonly id: number;
  readonly who: string;
  readonly what: string;
}
interface Denials {
  readonly notedAt: Instant;
  /** Since then, without a note. */
  more: number;
}

export class Audit {
  readonly #effects: Effects;
  /** Waiting for their outcome. */
  readonly #asked: Asked[] = [];
  readonly #denials = new Map<string, Denials>();

  constructor(effects: Effects) {
    this.#effects = effects;
  }

  asked(client: number, id: number, who: Principal | null, op: Op): void {
    if (isSystemOp(op)) {
      this.#asked.push({ client, id, who: describePrincipal(who), what: describeAsked(op) });
    }
  }

  denied(client: number, who: Principal | null, asked: { op: Op; outcome: string }, now: Instant): void {
    const name = describePrincipal(who), before = this.#denials.get(name);
    if (before !== undefined && now < before.notedAt + DENIALS_US) {
      before.more++;
      return;
    }
    this.#denials.delete(name);
    this.#denials.set(name, { notedAt: now, more: 0 });
    const [longestAgo] = this.#denials.keys();
    if (this.#denials.size > DENIED_MAX) this.#denials.delete(longestAgo!);
    const more = before === undefined || before.more === 0 ? "" : ` (after ${before.more} more denials)`;
    this.#note(client, name, describeAsked(asked.op), asked.outcome + more);
  }

  clientGone(client: number): void {
    this.#settle((a) => a.client === client ? "the client left before it was answered" : null);
  }

  /** Called as a step ends, when all its answers are there. */
  finish(): void {
    const { replies } = this.#effects;
    if (this.#asked.length === 0 || replies.length === 0) return;
    this.#settle(({ client, id }) => {
      const reply = replies.find((r) => r.client === client && r.id === id);
      return reply === undefined ? null : outcomeOf(reply.response);
    });
  }

  /** Notes, and forgets, those that have an outcome. */
  #settle(outcome: (asked: Asked) => string | null): void {
    for (let i = 0; i < this.#asked.length;) {
      const asked = this.#asked[i]!;
      const known = outcome(asked);
      if (known === null) i++;
      else {
        this.#asked.splice(i, 1);
        this.#note(asked.client, asked.who, asked.what, known);
      }
    }
  }

  #note(client: number, who: string, what: string, outcome: string): void {
    this.#effects.note({ kind: "audit", client, who, what, outcome });
  }
}

/** What was asked for, without the values. */
function describeAsked(op: Op): string {
  switch (op.kind) {
    case "put":
    case "get":
    case "delete":
    case "cas":
    case "history":
      return `${op.kind} ${text(op.key)}`;
    case "transact": {
      const keys = [...op.conditions, ...op.then, ...op.otherwise].map(({ key }) => text(key));
      return `transact ${keys.slice(0, 4).join(" ")}${keys.length > 4 ? " …" : ""}`;
    }
    case "range":
    case "watch":
      return `${op.kind} ${op.end === `${op.start}\0` ? text(op.start) : interval(op.start, op.end)}`;
    case "join":
      return `join ${op.member.id} at ${op.member.address}`;
    case "invite-add": // The command makes a date of the number.
      return `invite-add ${op.invite.id} uses ${op.invite.uses} until ${op.invite.expiresMs}`;
    default:
      return describeOp(op);
  }
}

function outcomeOf(response: Response): string {
  return response.kind === "refused" ? `${response.reason}: ${response.message}` : "done";
}
