/** Real node processes of an open network for tests, each in a temporary folder, ended and removed whatever happens. */
import { join } from "node:path";
import net from "node:net";
import type tls from "node:tls";
import { FRAME_HEADER_BYTES, FrameReader, seal } from "../../core/wire/framing.ts";
import { clientHello, encodeHello, type Hello, PREAMBLE } from "../../core/wire/session.ts";
import { WireError } from "../../core/wire/codec.ts";
import { type Client, connect } from "../../cli/client/client.ts";
import type { Profile } from "../../cli/client/profile.ts";
import { Trust } from "../../cli/client/trust.ts";
import { NodeProcess, type NodeProcessOptions } from "../../cli/processes.ts";
import { untilSettled } from "../../cli/settled.ts";
import { parseAddress } from "../../cli/host/socket.ts";
import { dialTls, peerCertificate } from "../../cli/host/tls.ts";
import { Carrier } from "../../cli/host/tls_stream.ts";

/** Fewer partitions start and move sooner. */
export const FLAGS = ["--partitions", "8", "--log-level", "debug"];

export interface Lab {
  readonly directory: string;
  start(options: Omit<NodeProcessOptions, "data"> & { data?: string }): Promise<NodeProcess>;
  client(...nodes: NodeProcess[]): Promise<Client>;
}

export async function withLab(use: (lab: Lab) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-test-" });
  const nodes: NodeProcess[] = [];
  const clients: Client[] = [];
  try {
    await use({
      directory,
      async start(options) {
        const data = join(directory, options.id);
        const node = await NodeProcess.start({ open: true, flags: FLAGS, data, ...options });
        nodes.push(node);
        return node;
      },
      async client(...to) {
        const client = await connect({ addresses: to.map((node) => node.address) });
        clients.push(client);
        return client;
      },
    });
  } finally {
    for (const client of clients) client.close();
    await Promise.all(nodes.map((node) => node.kill()));
    await Deno.remove(directory, { recursive: true });
  }
}

type Three = [NodeProcess, NodeProcess, NodeProcess];

/** Three nodes that form one network, each holding all partitions and leading a third of them. */
export function startThree(lab: Lab): Promise<Three> {
  return startThreeOn(lab, {});
}

/** The same, with some on data directories of their own. */
export async function startThreeOn(lab: Lab, data: Readonly<Record<string, string>>): Promise<Three> {
  const on = (id: string) => data[id] === undefined ? {} : { data: data[id] };
  const a = await lab.start({ id: "a", ...on("a") });
  const [b, c] = await Promise.all([
    lab.start({ id: "b", join: a.address, ...on("b") }),
    lab.start({ id: "c", join: a.address, ...on("c") }),
  ]);
  const client = await lab.client(a);
  await untilSettled(client, { members: 3, msMax: UNTIL_MS_MAX });
  return [a, b, c];
}

export type { NodeStatus } from "../../core/wire/requests.ts";

const UNTIL_MS_MAX = 60_000;

export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const giveUp = performance.now() + UNTIL_MS_MAX;;) {
    if (await holds()) return;
    if (performance.now() > giveUp) throw new Error(`Waited ${UNTIL_MS_MAX} ms in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 30));
  }
}

export const text = (value: Uint8Array | null | undefined) =>
  value == null ? null : new TextDecoder().decode(value);

/** A connection that may say anything, inside TLS where it has a profile. */
export class RawConnection {
  readonly #raw: net.Socket;
  readonly #socket: net.Socket | tls.TLSSocket;
  readonly #trust: Trust | null;
  readonly #frames: Uint8Array[] = [];
  readonly #waiting: ((frame: Uint8Array | null) => void)[] = [];
  closed = false;
  /** TLS stands, where there is some, or the connection is over. */
  readonly secured: Promise<void>;

  /** `preamble`: null for none. */
  constructor(
    address: string,
    preamble: string | null = PREAMBLE.open,
    profile: Profile | null = null,
  ) {
    const { host, port } = parseAddress(address);
    const reader = new FrameReader();
    const raw = net.connect({ host, port });
    if (preamble !== null) raw.write(preamble);
    this.#raw = raw;
    this.#trust = profile === null ? null : new Trust(profile, () => {});
    if (this.#trust === null) this.#socket = raw;
    else {
      const carrier = new Carrier(raw);
      carrier.on("error", () => this.close());
      this.#socket = dialTls(carrier, this.#trust.dial()!);
    }
    this.secured = new Promise((done) => {
      this.#socket.once("secureConnect", () => done());
      this.#socket.once("close", () => done());
    });
    let heard = true;
    this.#socket.on("data", (chunk: Uint8Array) => heard &&= this.#hear(reader, chunk));
    // The runtime's TLS keeps what is broken.
    this.#socket.on("error", () => this.close());
    raw.on("error", () => {});
    this.#socket.on("close", () => {
      this.closed = true;
      for (const next of this.#waiting.splice(0)) next(null);
    });
  }

  /** False where no frames come, as from a TLS that is spoken to in the clear. */
  #hear(reader: FrameReader, chunk: Uint8Array): boolean {
    try {
      for (const frame of reader.push(chunk)) {
        const next = this.#waiting.shift();
        if (next === undefined) this.#frames.push(frame);
        else next(frame);
      }
      return true;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return false;
    }
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Says hello as a client, with the profile's access key where there is one, and returns the answer. */
  async greet(): Promise<Uint8Array | null> {
    const trust = this.#trust;
    if (trust === null) this.hello({});
    else {
      await this.secured;
      if (this.closed) return null;
      const certificate = peerCertificate(this.#socket as tls.TLSSocket)!;
      this.hello({ network: trust.profile.network, proof: trust.proof(certificate) });
    }
    return await this.next();
  }

  hello(hello: Partial<Hello>): void {
    const whole = { ...clientHello(null, null), ...hello };
    this.send(seal(encodeHello(whole, FRAME_HEADER_BYTES)));
  }

  /** The next frame, or null when the other end closed. */
  next(): Promise<Uint8Array | null> {
    const frame = this.#frames.shift();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.closed) return Promise.resolve(null);
    return new Promise((done) => this.#waiting.push(done));
  }

  /** Takes nothing of what is sent to it from now on. */
  pause(): void {
    this.#socket.pause();
    this.#raw.pause();
  }

  close(): void {
    this.#socket.destroy();
    this.#raw.destroy();
  }
}

/** The first bytes of a client's handshake, as they are: whoever has them can begin many and pays for none. */
export function tlsClientHello(profile: Profile): Promise<Uint8Array> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => {
      socket.once("data", (bytes: Uint8Array) => {
        resolve(bytes);
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo;
      new RawConnection(`127.0.0.1:${port}`, null, profile);
    });
  });
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program to its end, where no profile is lying around. */
export function program(...args: string[]): Promise<Ran> {
  return programWith({}, ...args);
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
}

const MAIN = new URL("../../cli/main.ts", import.meta.url).href;
/** A person's own profile is none of a test's. */
const PERMISSIONS = [
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-run",
  "--allow-env",
  "--deny-env=HOME",
  "--allow-sys",
];

export async function programWith(options: ProgramOptions, ...args: string[]): Promise<Ran> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...PERMISSIONS, MAIN, ...args],
    env: { NO_COLOR: "1", ...options.env },
    cwd: options.cwd ?? new URL("./", import.meta.url),
    stdin: options.input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (options.input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(options.input));
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
