import { decodeResponses, encodeRequests, WIRE_VERSION, WireError } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import { isFormer } from "../../core/wire/members.ts";
import type { Member, SystemView } from "../../core/wire/messages.ts";
import type { RefusalReason, Request, Response } from "../../core/wire/requests.ts";
import { decodeHelloReply, encodeHello } from "../../core/wire/session.ts";
import { connectTo, type FrameSocket } from "./socket.ts";

const ANSWER_MS_MAX = 6_000;
const PAUSE_MS = 300;

export interface JoinOptions {
  readonly addresses: readonly string[];
  readonly member: Member;
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
export async function askToJoin(options: JoinOptions): Promise<SystemView> {
  const { addresses, member, network, signal } = options;
  const join: Request = { op: { kind: "join", member, network } };
  const giveUp = performance.now() + options.msMax;
  // Once asked to join, the member of this name may be this node.
  let nameIsFree = !options.fresh;
  for (let i = 0;; i++) {
    const address = addresses[i % addresses.length]!;
    let answer = await ask(address, nameIsFree ? join : LAYOUT, signal).catch((error: Error) => error);
    if (!(answer instanceof Error) && answer.kind === "layout") {
      checkName(member, answer.view);
      nameIsFree = true;
      answer = await ask(address, join, signal).catch((error: Error) => error);
    }
    if (!(answer instanceof Error) && answer.kind === "joined") return answer.view;
    const why = answer instanceof Error || answer.kind === "refused"
      ? answer.message
      : `it answered "${answer.kind}"`;
    const reason = !(answer instanceof Error) && answer.kind === "refused" ? answer.reason : null;
    // Whoever told the layout may have been behind the leader that refused.
    const again = options.fresh && options.renames && reason === "conflict";
    if (again) nameIsFree = false;
    const forGood = reason !== null && FOR_GOOD.has(reason) && !again;
    if (forGood || performance.now() > giveUp || signal.aborted) {
      throw new JoinError(
        forGood ? "refused" : "no-answer",
        `Cannot join the network at "${address}": ${why}` +
          (forGood ? "" : ". Check that the node runs there, and --join"),
      );
    }
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
}

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

const FOR_GOOD: ReadonlySet<RefusalReason> = new Set(["invalid", "conflict", "foreign"]);

/** One request over a connection of its own, for as long as there is no client yet. */
function ask(address: string, request: Request, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    let greeted = false;
    const late = setTimeout(() => socket.close(`no answer within ${ANSWER_MS_MAX} ms`), ANSWER_MS_MAX);
    const stop = () => socket.destroy();
    const heard = (payload: Uint8Array) => {
      if (greeted) {
        const answer = decodeResponses(payload)[0];
        if (answer !== undefined) resolve(answer.response);
        return socket.close("answered");
      }
      const reply = decodeHelloReply(payload);
      if (!reply.accepted) return socket.close(`it refused: ${reply.reason}`);
      greeted = true;
      socket.send(seal(encodeRequests([{ id: 1, request }], FRAME_HEADER_BYTES)));
    };
    const socket: FrameSocket = connectTo(address, {
      connected: () => socket.send(seal(encodeHello(HELLO, FRAME_HEADER_BYTES))),
      frames: (payloads) => {
        try {
          payloads.forEach(heard);
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
          socket.breakOff(error);
        }
      },
      closed: (why) => {
        clearTimeout(late);
        signal.removeEventListener("abort", stop);
        reject(new Error(why));
      },
    });
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
  });
}

const HELLO = {
  version: WIRE_VERSION,
  role: "client",
  network: null,
  node: null,
  address: null,
  proof: null,
} as const;
