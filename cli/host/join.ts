import type { NodeId } from "../../core/base/ids.ts";
import { decodeResponses, encodeRequests, WireError } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import { isFormer } from "../../core/wire/members.ts";
import type { Member, SystemView } from "../../core/wire/messages.ts";
import type { RefusalReason, Request, Response } from "../../core/wire/requests.ts";
import {
  type Admission,
  clientHello,
  decodeAdmission,
  decodeHelloReply,
  encodeHello,
  frameTag,
  type HelloReply,
  type Proof,
} from "../../core/wire/session.ts";
import { FRAME } from "../../core/wire/tags.ts";
import { askAuthorities } from "./ask_authorities.ts";
import { certificatePem, type MemberCertificate } from "./identity/certificates.ts";
import { pinnedAuthority } from "./identity/pinning.ts";
import type { InviteToken } from "./identity/token.ts";
import { CLOCK_APART_MS_MAX, joinBytes } from "./log_in.ts";
import { connectTo, type FrameSocket, type SecureDial } from "./socket.ts";
import type { TlsMaterial } from "./tls.ts";

const ANSWER_MS_MAX = 6_000;
const PAUSE_MS = 300;

/** How a node that asks to join is let in. */
export type Entry =
  | { readonly kind: "open" }
  /** `sign`: with its own key, whose public part is `key`. */
  | {
    readonly kind: "invite";
    readonly token: InviteToken;
    readonly key: string;
    readonly sign: (bytes: Uint8Array) => Uint8Array;
  }
  /** It was a member before, and has a certificate. */
  | { readonly kind: "member"; readonly material: TlsMaterial };

export interface JoinOptions {
  readonly addresses: readonly string[];
  readonly member: Member;
  readonly entry: Entry;
  /** The network that the node belonged to before; null: any. */
  readonly network: string | null;
  /** The node has no data of its own yet. */
  readonly fresh: boolean;
  /** It may take another name: a conflict is looked into, by views of others, before it is taken for a final answer. */
  readonly renames: boolean;
  /** How long to try. */
  readonly msMax: number;
  /** Gives up at once. */
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
}

export interface Joined {
  readonly view: SystemView;
  /** Of who came with an invite. */
  readonly admission: Admission | null;
}

/**
 * no-answer: nobody took the node in in time. name-taken: a member has its name. refused: the network does not want it.
 */
export class JoinError extends Error {
  override readonly name = "JoinError";
  constructor(readonly reason: "no-answer" | "name-taken" | "refused", message: string) {
    super(message);
  }
}

/**
 * Asks the nodes at `addresses`, one after the other, to take `member` into their network.
 *
 * A fresh node must not take the name of a member, be it gone: with that member's data its votes and what it had
 * acknowledged are lost, and as a voter it would help to elect a leader that never had them (Raft 5.1 relies on both).
 * @throws {JoinError}
 */
export async function askToJoin(options: JoinOptions): Promise<Joined> {
  const { addresses, member, network } = options;
  const join: Request = { op: { kind: "join", member, network } };
  const giveUp = performance.now() + options.msMax;
  // Once asked to join, the member of this name may be this node.
  let nameIsFree = !options.fresh;
  for (let i = 0;; i++) {
    const address = addresses[i % addresses.length]!;
    let { answer, admission } = await ask(address, nameIsFree ? join : LAYOUT, options);
    if (!(answer instanceof Error) && answer.kind === "layout") {
      checkName(member, answer.view);
      nameIsFree = true;
      ({ answer, admission } = await ask(address, join, options));
    }
    if (!(answer instanceof Error) && answer.kind === "joined") return { view: answer.view, admission };
    // Whoever told the layout may have been behind the leader that refused.
    const again = options.fresh && options.renames && !(answer instanceof Error) &&
      answer.kind === "refused" && answer.reason === "conflict";
    if (again) nameIsFree = false;
    const forGood = isForGood(answer) && !again;
    if (forGood || performance.now() > giveUp || options.signal.aborted) {
      throw new JoinError(
        forGood ? "refused" : "no-answer",
        `Cannot join the network at "${address}": ${whyNot(answer)}` +
          (forGood ? "" : ". Check that the node runs there, and --join"),
      );
    }
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
}

function isForGood(answer: Response | Error): boolean {
  if (answer instanceof Error) return answer instanceof EntryError;
  return answer.kind === "refused" && FOR_GOOD.has(answer.reason);
}

function whyNot(answer: Response | Error): string {
  return answer instanceof Error || answer.kind === "refused"
    ? answer.message
    : `it answered "${answer.kind}"`;
}

/** Why this node is not let in, whoever is asked. */
class EntryError extends Error {}

const LAYOUT: Request = { op: { kind: "layout" } };

/** @throws {JoinError} where the view has another data directory under this name, or one that was removed on purpose */
export function checkName({ id, disk }: Member, view: SystemView): void {
  const known = view.members.find((member) => member.id === id);
  if (known === undefined) return;
  if (known.disk === disk) {
    // It was taken in before, and the answer was lost.
    if (known.state !== "removed") return;
    throw new JoinError(
      "refused",
      `Cannot join as node "${id}": it was removed from the network. \`space-opera drain --cancel ${id}\` takes it back`,
    );
  }
  if (isFormer(known.state)) {
    throw new JoinError(
      "name-taken",
      `Cannot join as node "${id}": it is known with another data directory, though it is ${known.state}. Start it ` +
        `with its own --data, or choose another --id`,
    );
  }
  throw new JoinError(
    "name-taken",
    `Cannot join as node "${id}": it is a member at ${known.address} already, and this data directory has nothing ` +
      `of it. Start it with its own --data, or choose another --id`,
  );
}

const FOR_GOOD: ReadonlySet<RefusalReason> = new Set(["invalid", "conflict", "foreign", "denied"]);

interface Answer {
  readonly answer: Response | Error;
  readonly admission: Admission | null;
}

/** One request over a connection of its own, for as long as there is no client yet. */
async function ask(address: string, request: Request, options: JoinOptions): Promise<Answer> {
  try {
    const secure = await secureDial(address, options);
    return await new Asking(address, secure, request, options).done;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { answer: error, admission: null };
  }
}

/** How to speak to the node at `address`, once what it says of itself agrees with what this node was told before. */
async function secureDial(address: string, { entry, signal }: JoinOptions): Promise<SecureDial | null> {
  if (entry.kind === "member") {
    return { preamble: "member", own: entry.material.own, authorities: entry.material.authorities };
  }
  const answer = await askAuthorities(address, signal);
  if (entry.kind === "open") {
    if (answer.open) return null;
    throw new EntryError(
      `network ${answer.network} is private, and lets nobody in by an address. Have \`space-opera invite\` make a token ` +
        `on one of its members, and give that to --join`,
    );
  }
  const { token } = entry;
  if (answer.open) {
    throw new EntryError(
      `an open network, ${answer.network}, is there, and the token is for the private network ${token.network}. Start ` +
        `with --dev and --join ${address} to join the open one`,
    );
  }
  const verdict = pinnedAuthority(answer, token, Date.now());
  if (verdict.kind === "refused") throw new EntryError(verdict.message);
  return {
    preamble: "client",
    own: null,
    authorities: verdict.authorities.map(({ der }) => certificatePem(der)),
  };
}

class Asking {
  readonly #done = Promise.withResolvers<Answer>();
  readonly #socket: FrameSocket;
  readonly #options: JoinOptions;
  readonly #request: Request;
  #greeted = false;
  #admission: Admission | null = null;
  /** Why there is no answer, where that is known better than by the end of the connection. */
  #why: Error | null = null;

  constructor(address: string, secure: SecureDial | null, request: Request, options: JoinOptions) {
    this.#options = options;
    this.#request = request;
    const { signal } = options;
    const late = setTimeout(() => this.#socket.close(`no answer within ${ANSWER_MS_MAX} ms`), ANSWER_MS_MAX);
    const stop = () => this.#socket.destroy();
    this.#socket = connectTo(address, secure, {
      connected: (certificate) => this.#hello(certificate),
      frames: (payloads) => {
        try {
          for (const payload of payloads) this.#heard(payload);
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
          this.#socket.breakOff(error);
        }
      },
      closed: (why) => {
        clearTimeout(late);
        signal.removeEventListener("abort", stop);
        this.#done.resolve({ answer: this.#why ?? new Error(why), admission: null });
      },
    });
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
  }

  get done(): Promise<Answer> {
    return this.#done.promise;
  }

  #hello(certificate: MemberCertificate | null): void {
    const { entry, clock = Date.now } = this.#options;
    const proof = entry.kind === "invite" && certificate !== null
      ? proofOf(entry, certificate, clock())
      : null;
    this.#socket.send(seal(encodeHello(clientHello(null, proof), FRAME_HEADER_BYTES)));
  }

  #heard(payload: Uint8Array): void {
    if (!this.#greeted) return this.#answered(payload);
    if (frameTag(payload) === FRAME.admission) {
      this.#admission = decodeAdmission(payload);
      return;
    }
    const [answer] = decodeResponses(payload);
    if (answer !== undefined) this.#done.resolve({ answer: answer.response, admission: this.#admission });
    this.#socket.close("answered");
  }

  #answered(payload: Uint8Array): void {
    const reply = decodeHelloReply(payload);
    if (reply.accepted) {
      this.#greeted = true;
      return this.#socket.send(seal(encodeRequests([{ id: 1, request: this.#request }], FRAME_HEADER_BYTES)));
    }
    const { entry, clock = Date.now } = this.#options;
    this.#why = refusedBecause(reply, entry, clock());
    this.#socket.close(this.#why.message);
  }
}

function proofOf(
  { token, key, sign }: Extract<Entry, { kind: "invite" }>,
  { der }: MemberCertificate,
  clockMs: number,
): Proof {
  const { id, secret, network } = token;
  const signature = sign(joinBytes({ network, serverCertificate: der, id, clockMs }));
  return { kind: "invite", id, secret, key, signature, clockMs };
}

function refusedBecause({ reason, node, clockMs }: HelloReply, entry: Entry, nowMs: number): Error {
  const invited = entry.kind === "invite";
  switch (reason) {
    case "denied":
      return invited
        ? new EntryError("the secret in the token is wrong, or is another invite's. Ask for a new token")
        : new EntryError("it lets in only who shows a token");
    case "expired":
      return new EntryError("the token is over. Ask for a new one, or for one that lasts longer");
    case "clock":
      return new EntryError(clockText(node, clockMs ?? nowMs, nowMs));
    case "evicted":
      return new EntryError("this node's key was evicted from the network. Start anew, on an empty --data");
    default:
      return new Error(`it refused: ${reason}`);
  }
}

function clockText(node: NodeId, theirs: number, own: number): string {
  const seconds = Math.round(Math.abs(theirs - own) / 1000), way = own > theirs ? "ahead of" : "behind";
  const time = (ms: number) => new Date(ms).toISOString();
  return `this machine's clock is ${seconds} s ${way} that of node "${node}": ${time(own)} here, ${
    time(theirs)
  } there, ` +
    `and ${CLOCK_APART_MS_MAX / 1000} s is the most. Set the clock that is wrong`;
}
