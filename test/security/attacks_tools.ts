/** What attackers have: connections that say whatever they are told to, and certificates of their own making. */
import type { Wire } from "../../core/wire/cbor.ts";
import {
  decodeResponses,
  encode,
  encodeRequests,
  encodeResponses,
  WIRE_VERSION,
} from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, FrameReader, seal } from "../../core/wire/framing.ts";
import type { Request, Response } from "../../core/wire/requests.ts";
import {
  clientHello,
  decodeHello,
  decodeHelloReply,
  encodeHello,
  encodeHelloReply,
  type Hello,
  type HelloReply,
  PREAMBLE_BYTES,
} from "../../core/wire/session.ts";
import net from "node:net";
import type tls from "node:tls";
import { newSeed, privateKeyPem, publicKeyOfSeed, signWithSeed } from "../../cli/host/identity/ed25519.ts";
import { certificatePem, type MemberCertificate } from "../../cli/host/identity/certificates.ts";
import { type AuthorityAnswer, encodeAuthorityAnswer } from "../../cli/host/identity/authority_answer.ts";
import { issueMember } from "../../cli/host/identity/issuing.ts";
import type { Keyring } from "../../cli/host/identity/keyring.ts";
import { joinBytes } from "../../cli/host/log_in.ts";
import { connectTo, type FrameSocket, type SecureDial } from "../../cli/host/socket.ts";
import { acceptTls, type OwnCertificate, ownCertificate } from "../../cli/host/tls.ts";
import { Carrier } from "../../cli/host/tls_stream.ts";
import { frame } from "../../core/wire/framing.ts";

const ANSWER_MS_MAX = 8000;

type HelloFor = (certificate: MemberCertificate | null) => Hello;

/** One connection to a node. */
export class Intruder {
  /** What the node said to the hello; null: it said nothing before it closed. */
  reply: HelloReply | null = null;
  /** Why it is over; null: it is not. */
  closed: string | null = null;
  /** All payloads behind the answer to the hello. */
  readonly heard: Uint8Array[] = [];
  readonly #socket: FrameSocket;
  readonly #greeted = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #asked = new Map<number, (response: Response | null) => void>();
  #next = 1;

  private constructor(address: string, secure: SecureDial | null, hello: HelloFor) {
    this.#socket = connectTo(address, secure, {
      connected: (certificate) => this.say(encodeHello(hello(certificate), FRAME_HEADER_BYTES)),
      frames: (payloads) => payloads.forEach((payload) => this.#hear(payload)),
      closed: (why) => {
        this.closed = why;
        for (const answer of this.#asked.values()) answer(null);
        this.#greeted.resolve();
        this.#ended.resolve();
      },
    });
  }

  /** Resolves once the node has answered the hello, or closed. */
  static async at(address: string, secure: SecureDial | null, hello: HelloFor): Promise<Intruder> {
    const intruder = new Intruder(address, secure, hello);
    await intruder.#greeted.promise;
    return intruder;
  }

  /** "accepted", or why not. */
  get outcome(): string {
    if (this.reply === null) return `closed: ${this.closed}`;
    return this.reply.reason ?? "accepted";
  }

  /** The payload of a frame, with room for its header in front. */
  say(payload: Uint8Array): void {
    this.#socket.send(seal(payload));
  }

  /** null: the connection ended instead, or nothing came in time. */
  ask(request: Request): Promise<Response | null> {
    const id = this.#next++;
    if (this.closed !== null) return Promise.resolve(null);
    return new Promise((resolve) => {
      const late = setTimeout(() => done(null), ANSWER_MS_MAX);
      const done = (response: Response | null) => {
        clearTimeout(late);
        this.#asked.delete(id);
        resolve(response);
      };
      this.#asked.set(id, done);
      this.say(encodeRequests([{ id, request }], FRAME_HEADER_BYTES));
    });
  }

  close(): Promise<void> {
    this.#socket.destroy();
    return this.#ended.promise;
  }

  #hear(payload: Uint8Array): void {
    if (this.reply === null) {
      this.reply = decodeHelloReply(payload);
      return this.#greeted.resolve();
    }
    this.heard.push(payload);
    for (const { id, response } of responsesIn(payload)) this.#asked.get(id)?.(response);
  }
}

function responsesIn(payload: Uint8Array) {
  try {
    return decodeResponses(payload);
  } catch {
    return []; // another kind of frame
  }
}

export function helloAs(change: Partial<Hello>): Hello {
  return { ...clientHello(null, null), ...change };
}

/** A hello with an invite's proof, right in all but what `token` may have wrong. */
export function joinerHello(
  token: { readonly id: string; readonly secret: Uint8Array; readonly network: string },
  seed: Uint8Array,
): HelloFor {
  return (certificate) => {
    const { id, secret, network } = token, clockMs = Date.now();
    const bytes = joinBytes({ network, serverCertificate: certificate!.der, id, clockMs });
    const signature = signWithSeed(seed, bytes);
    return helloAs({
      proof: { kind: "invite", id, secret, key: publicKeyOfSeed(seed), signature, clockMs },
    });
  };
}

/** A certificate that the authority of `generation` in `keyring` never issued, and that is right in every way. */
export async function forged(
  keyring: Keyring,
  { node, generation = 1, seed = newSeed() }: { node: string; generation?: number; seed?: Uint8Array },
): Promise<OwnCertificate> {
  const { authority } = keyring.generations.find(({ id }) => id === generation)!;
  const der = await issueMember({
    authority,
    secret: keyring.secretOf(generation),
    node,
    publicKey: publicKeyOfSeed(seed),
    now: Date.now(),
  });
  return ownCertificate(privateKeyPem(seed), der);
}

/** What poses as a node: it tells `answer` whoever asks for authorities, and shows `own` to whoever begins TLS. */
export class Impostor implements AsyncDisposable {
  readonly address: string;
  /** What connected to it said first, once TLS stood. */
  readonly hellos: Hello[] = [];
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(server: net.Server) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  }

  static async with(
    { answer, own, authorities = [], responses = () => null }: {
      answer: AuthorityAnswer;
      own: OwnCertificate;
      authorities?: readonly string[];
      /** What it answers to each frame after the hello. */
      responses?: (payload: Uint8Array) => Response | null;
    },
  ): Promise<Impostor> {
    const server = net.createServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const impostor = new Impostor(server);
    server.on("connection", (socket) => {
      impostor.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("readable", () => {
        const preamble = socket.read(PREAMBLE_BYTES) as Uint8Array | null;
        const kind = preamble === null ? "" : String.fromCharCode(...preamble);
        if (kind === "SPOA") return void socket.end(frame(encodeAuthorityAnswer(answer)));
        acceptTls(new Carrier(socket), {
          material: { own, authorities: authorities.length > 0 ? authorities : [own.pem] },
          mutual: false,
          secured: (stream) => impostor.#converse(stream, responses, answer.network),
          failed: () => {},
        });
      });
    });
    return impostor;
  }

  #converse(
    stream: tls.TLSSocket,
    responses: (payload: Uint8Array) => Response | null,
    network: string,
  ): void {
    const reader = new FrameReader();
    let greeted = false;
    stream.on("error", () => {});
    stream.on("data", (chunk: Uint8Array) => {
      for (const payload of reader.push(chunk)) {
        if (greeted) {
          const response = responses(payload);
          if (response === null) continue;
          stream.write(seal(encodeResponses([{ id: 1, response }], FRAME_HEADER_BYTES)));
          continue;
        }
        greeted = true;
        const hello = decodeHello(payload);
        this.hellos.push(hello);
        const { address } = this;
        stream.write(seal(encodeHelloReply({
          version: WIRE_VERSION,
          accepted: true,
          reason: null,
          network,
          node: "impostor" as HelloReply["node"],
          address,
          clockMs: null,
        }, FRAME_HEADER_BYTES)));
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }
}

/** A certificate with bytes behind it that are none. */
export function withJunkBehind({ key, der, pem }: OwnCertificate, junk: Uint8Array): OwnCertificate {
  return { key, der, pem: pem + certificatePem(junk) };
}

export function payloadOf(wire: Wire): Uint8Array {
  return encode(wire, FRAME_HEADER_BYTES);
}

export function inClients(...authorities: readonly Uint8Array[]): SecureDial {
  return { preamble: "client", own: null, authorities: authorities.map(certificatePem) };
}
