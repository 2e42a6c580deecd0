import net from "node:net";
import { WireError } from "../../core/wire/codec.ts";
import { FrameReader } from "../../core/wire/framing.ts";
import { PREAMBLE } from "../../core/wire/session.ts";
import { type AuthorityAnswer, decodeAuthorityAnswer } from "./identity/authority_answer.ts";
import { parseAddress } from "./socket.ts";

const ANSWER_MS_MAX = 5000;

/**
 * What the node at `address` tells anyone about whom to believe, in the clear: nothing in it is to be believed for being
 * said.
 * @throws {Error} where it cannot be reached or does not answer
 */
export function askAuthorities(address: string, signal?: AbortSignal): Promise<AuthorityAnswer> {
  return new Promise((resolve, reject) => {
    const { host, port } = parseAddress(address);
    const reader = new FrameReader();
    const socket = net.connect({ host, port, noDelay: true });
    const fail = (why: string) => socket.destroy(new Error(why));
    const late = setTimeout(() => fail(`no answer within ${ANSWER_MS_MAX} ms`), ANSWER_MS_MAX);
    const stop = () => fail("stopped");
    socket.write(PREAMBLE.authorities);
    socket.on("data", (chunk: Uint8Array) => {
      try {
        const [payload] = reader.push(chunk);
        if (payload === undefined) return;
        resolve(decodeAuthorityAnswer(payload));
        socket.destroy();
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        fail(`it does not answer as a node does: ${error.message}`);
      }
    });
    socket.on("error", (error: Error) => reject(error));
    socket.on("end", () => fail("it closed the connection: it is starting or stopping, or no node"));
    socket.on("close", () => {
      clearTimeout(late);
      signal?.removeEventListener("abort", stop);
      reject(new Error("it closed the connection"));
    });
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
  });
}
