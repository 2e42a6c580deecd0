/**
 * Who a client of a private network is, by the proof in its hello.
 *
 * G1. A proof is good for the connection that it came on: what is signed names the network and the certificate that this
 *     node showed there.
 * G2. Who shows a right proof gets in, at any time: nobody can guess one, so who fails on purpose, from the same address or
 *     in the name of another, keeps nobody out. After LOG_INS_FREE wrong ones from an address its next are not told apart
 *     and leave no line behind until it has waited: twice as long after each further one.
 * G3. An invite's proof that is of no invite known here is let through to the core: this node's view may be behind. It
 *     counts as a wrong one all the same, for anybody can make one up.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { encode } from "../../core/wire/cbor.ts";
import type { Principal, Security } from "../../core/wire/security.ts";
import type { Proof } from "../../core/wire/session.ts";
import type { HelloRefusal } from "../../core/wire/tags.ts";
import { verifyLogIn } from "./identity/access_key.ts";
import { verifySignature } from "./identity/ed25519.ts";
import { inviteHash, inviteProof } from "./identity/token.ts";

/** How far a joiner's clock may be from this node's. */
export const CLOCK_APART_MS_MAX = 5 * 60_000;
const LOG_INS_FREE = 5;
const WAIT_MS_FIRST = 1000;
const WAIT_MS_MAX = 60_000;
/** A wrong proof is forgotten after this long without another. */
const FORGET_MS = 10 * 60_000;
const TRACKED_MAX = 10_000;

/** Who has shown a proof, and with which key: the access key's, or the joiner's own. 64 hexadecimal digits. */
export interface Admitted {
  readonly who: Principal;
  readonly key: string;
}

export interface ProofContext {
  readonly security: Security;
  readonly network: string;
  /** The certificate that this node showed on the connection, in DER. */
  readonly certificate: Uint8Array;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** Who it is, or why the proof is none. */
export function checkProof(proof: Proof, context: ProofContext): Admitted | HelloRefusal {
  return proof.kind === "access" ? checkAccess(proof, context) : checkInvite(proof, context);
}

type AccessProof = Extract<Proof, { kind: "access" }>;
type InviteProof = Extract<Proof, { kind: "invite" }>;

function checkAccess(
  { id, random, signature }: AccessProof,
  { security, network, certificate }: ProofContext,
): Admitted | HelloRefusal {
  const key = security.access.find((access) => access.id === id);
  if (key === undefined) return "denied";
  const good = verifyLogIn(key.publicKey, { network, serverCertificate: certificate, random, signature });
  return good ? { who: { kind: "access", id }, key: key.publicKey } : "denied";
}

function checkInvite(proof: InviteProof, context: ProofContext): Admitted | HelloRefusal {
  const { id, key, secret, clockMs, signature } = proof;
  const { network, certificate, nowMs, security } = context;
  if (!verifySignature(key, joinBytes({ network, serverCertificate: certificate, id, clockMs }), signature)) {
    return "denied";
  }
  const invite = security.invites.find((each) => each.id === id);
  if (invite !== undefined) {
    const hash = Uint8Array.fromHex(inviteHash(secret));
    if (!timingSafeEqual(hash, Uint8Array.fromHex(invite.hash))) return "denied";
  }
  if (Math.abs(clockMs - nowMs) > CLOCK_APART_MS_MAX) return "clock";
  if (invite !== undefined && invite.expiresMs <= nowMs) return "expired";
  return { who: { kind: "invite", id, proof: inviteProof(secret), nowMs }, key };
}

export interface Join {
  readonly network: string;
  /** The server's certificate of this connection, in DER. */
  readonly serverCertificate: Uint8Array;
  /** Of the invite. */
  readonly id: string;
  readonly clockMs: number;
}

/** What a joiner signs with its own key, to show that it has it. */
export function joinBytes({ network, serverCertificate, id, clockMs }: Join): Uint8Array {
  const hash = createHash("sha256").update(serverCertificate).digest();
  return encode(["space-opera join", network, hash, id, clockMs]);
}

interface Attempts {
  failed: number;
  at: number;
}

/** Counts wrong proofs by where they come from, and says who has to wait (G2). */
export class LogInLimiter {
  readonly #clock: () => number;
  readonly #tracked = new Map<string, Attempts>();

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** True where a proof that is wrong is neither told why nor noted. */
  mustWait(host: string): boolean {
    const attempts = this.#tracked.get(networkOf(host));
    if (attempts === undefined || attempts.failed < LOG_INS_FREE) return false;
    const since = this.#clock() - attempts.at;
    if (since > FORGET_MS) {
      attempts.failed = 0;
      return false;
    }
    return since < Math.min(WAIT_MS_MAX, WAIT_MS_FIRST * 2 ** (attempts.failed - LOG_INS_FREE));
  }

  failed(host: string): void {
    const attempts = this.#entry(networkOf(host));
    attempts.failed++;
    attempts.at = this.#clock();
  }

  /** Those heard of longest ago go where there are too many. */
  #entry(key: string): Attempts {
    const attempts = this.#tracked.get(key) ?? { failed: 0, at: this.#clock() };
    this.#tracked.delete(key);
    this.#tracked.set(key, attempts);
    const [oldest] = this.#tracked.keys();
    if (this.#tracked.size > TRACKED_MAX && oldest !== undefined) this.#tracked.delete(oldest);
    return attempts;
  }
}

/** Of an IPv6 address its first 64 bits: whoever has one has all that begin so. */
export function networkOf(host: string): string {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(host);
  if (mapped !== null) return mapped[1]!;
  if (!host.includes(":")) return host;
  const [head = "", tail] = host.split("%")[0]!.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array<string>(zeros).fill("0"), ...after];
  return groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(":") + "::/64";
}
