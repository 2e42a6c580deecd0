/**
 * Who is at the other end of a connection, and whether it may stay: by the certificate or the proof that it showed, and by
 * the newest view. In an open network nobody is asked.
 */
import type { NodeId } from "../../core/base/ids.ts";
import { isEvictedKey } from "../../core/system/security.ts";
import { describePrincipal, type Principal } from "../../core/wire/security.ts";
import type { Hello, Proof } from "../../core/wire/session.ts";
import type { HelloRefusal } from "../../core/wire/tags.ts";
import { memberOfKey, type NodeCredentials, objectionTo } from "./credentials.ts";
import { checkProof, LogInLimiter } from "./log_in.ts";
import type { Newcomer } from "./reception.ts";

/** `key`: what it has proved to have the private part of, 64 hexadecimal digits; null in an open network. */
export type Guest =
  | { readonly kind: "peer"; readonly node: NodeId; readonly key: string | null }
  | {
    readonly kind: "client";
    readonly who: Principal | null;
    readonly key: string | null;
  };

/** Something that an operator wants to know of later. */
export interface Incident {
  readonly who: string;
  /** "host:port" of the other end. */
  readonly from: string;
  readonly what: string;
  readonly outcome: string;
}

export interface DoorkeeperOptions {
  /** null: the network is open. */
  readonly credentials: () => NodeCredentials | null;
  readonly count: (name: string) => void;
  readonly incident: (incident: Incident) => void;
  readonly limiter?: LogInLimiter;
}

export class Doorkeeper {
  readonly #options: DoorkeeperOptions;
  readonly #limiter: LogInLimiter;

  constructor(options: DoorkeeperOptions) {
    this.#options = options;
    this.#limiter = options.limiter ?? new LogInLimiter();
  }

  /** Who says this hello, or why it is refused. */
  examine(newcomer: Pick<Newcomer, "channel" | "from" | "host">, hello: Hello): Guest | HelloRefusal {
    const credentials = this.#options.credentials();
    if (credentials === null) {
      return hello.role === "peer"
        ? { kind: "peer", node: hello.node!, key: null }
        : { kind: "client", who: null, key: null };
    }
    const { channel } = newcomer;
    const view = credentials.view();
    if (channel.kind === "open") return "denied";
    if (view === null || view.security === null) return "closing";
    if (channel.kind === "client") {
      return hello.role === "peer" || hello.proof === null
        ? "denied"
        : this.#logIn(newcomer, hello.proof, channel.shown);
    }
    const { key } = channel.certificate;
    if (hello.role === "peer") {
      return objectionTo(view, hello.node!, key) ?? { kind: "peer", node: hello.node!, key };
    }
    const member = memberOfKey(view, key);
    if (member === null) return objectionTo(view, channel.certificate.node, key) ?? "unknown";
    return { kind: "client", who: { kind: "member", node: member.id }, key };
  }

  /** Why a guest may stay no longer; null: it may. */
  objection(guest: Guest): HelloRefusal | null {
    const view = this.#options.credentials()?.view() ?? null;
    if (view === null || view.security === null || guest.key === null) return null;
    if (guest.kind === "peer") return objectionTo(view, guest.node, guest.key);
    const { who } = guest;
    switch (who?.kind) {
      case "member":
        return memberOfKey(view, guest.key) === null ? "evicted" : null;
      case "access":
        return view.security.access.some(({ id, publicKey }) => id === who.id && publicKey === guest.key)
          ? null
          : "denied";
      default:
        // Its invite is used up by now, and its answer may be on its way.
        return isEvictedKey(view, guest.key) ? "evicted" : null;
    }
  }

  #logIn(
    { host, from }: Pick<Newcomer, "from" | "host">,
    proof: Proof,
    shown: Uint8Array,
  ): Guest | HelloRefusal {
    const credentials = this.#options.credentials()!;
    const { network } = credentials, security = credentials.view()!.security!;
    const found = checkProof(proof, { security, network, certificate: shown, nowMs: Date.now() });
    const unknown = proof.kind === "invite" && !security.invites.some(({ id }) => id === proof.id);
    if (typeof found !== "string" && !unknown) {
      this.#options.count("log-ins");
      return isEvictedKey(credentials.view()!, found.key) ? "evicted" : { kind: "client", ...found };
    }
    // G2: what does not get in leaves a line a while, and no more.
    const waits = this.#limiter.mustWait(host);
    if (!waits) this.#limiter.failed(host);
    if (!waits && typeof found !== "string") return { kind: "client", ...found }; // G3
    const outcome = waits || typeof found !== "string" ? "limited" : found;
    this.#options.count(`log-ins refused: ${outcome}`);
    if (!waits) this.#options.incident({ who: nameOf(proof), from, what: "log in", outcome });
    return outcome;
  }
}

/** It was not proved. */
function nameOf(proof: Proof): string {
  return describePrincipal(
    proof.kind === "access" ? { kind: "access", id: proof.id } : { kind: "invite", id: proof.id, proof: "" },
  );
}
