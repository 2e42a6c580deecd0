/**
 * What hostile clients do to the S3 port of a node. Runs as a worker, so that it takes no time from the client that is to be served:
 * told an S3Order, it answers with what it did.
 */
import net from "node:net";
import { utf8Encode } from "../../core/base/bytes.ts";
import { Random } from "../../core/base/random.ts";
import { signed } from "../cli/s3/support.ts";
import { mutant, noise, type Pool } from "./mutate.ts";
import { REQUESTS } from "./s3_samples.ts";

export interface S3Order {
  readonly host: string;
  readonly port: number;
  readonly seed: number;
  readonly ms: number;
  /** Of an access key with rights: some of what is wrong is signed right. */
  readonly id: string;
  readonly secret: string;
}

/** Of each attack: connections made, those that the node closed, answers heard, and bytes sent. */
export type S3AttackTotals = Record<string, Attacked>;
interface Attacked {
  connections: number;
  closed: number;
  answers: number;
  sent: number;
}

const HELD_MAX = {
  "slow head": 100,
  "slow body": 60,
  "no body": 60,
  "never read": 20,
  "silent": 300,
} as const;
/** What is not answered by then may wait for more of it. */
const ANSWER_MS = 500;
const BUCKET = "attacked";
const MiB = 1024 * 1024;

class Raw {
  closed = false;
  heard = "";
  /** Something was answered, or it is over. */
  readonly answered: Promise<void>;
  readonly #socket: net.Socket;

  constructor(host: string, port: number) {
    this.#socket = net.connect({ host, port });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.answered = promise;
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.closed = true;
      resolve();
    });
    this.#socket.on("data", (bytes: Uint8Array) => {
      if (this.heard.length < 4096) this.heard += String.fromCharCode(...bytes.subarray(0, 4096));
      resolve();
    });
  }
  send(bytes: Uint8Array): void {
    if (!this.closed) this.#socket.write(bytes);
  }
  pause(): void {
    this.#socket.pause();
  }
  close(): void {
    this.#socket.destroy();
  }
}

class S3Attacker {
  readonly totals: S3AttackTotals = {};
  readonly #order: S3Order;
  readonly #random: Random;
  readonly #end: number;
  readonly #open = new Set<Raw>();

  constructor(order: S3Order) {
    this.#order = order;
    this.#random = Random.fromSeed(order.seed).fork("s3 attacks");
    this.#end = performance.now() + order.ms;
  }

  async run(): Promise<S3AttackTotals> {
    for (const name of Object.keys(HELD_MAX)) this.#of(name);
    const pool = REQUESTS.map((text) => utf8Encode(text.replaceAll("\n", "\r\n")));
    await Promise.all([
      this.#once("noise", 10, () => noise(this.#random, 1 << this.#random.below(14))),
      this.#once("broken HTTP", 3, () => this.#broken(pool)),
      this.#once("broken requests, signed", 5, () => this.#brokenSigned()),
      this.#once("nearly signed", 3, () => this.#nearlySigned()),
      this.#once("huge heads", 40, () => this.#hugeHead()),
      this.#once("wrong lengths", 10, () => this.#wrongLength()),
      this.#once("chunked nonsense", 5, () => this.#chunkedNonsense()),
      this.#once("bodies cut off", 20, () => this.#cutOff(), 5),
      this.#hold(
        "slow head",
        20,
        (raw) => this.#slowly(raw, utf8Encode("GET / HTTP/1.1\r\nhost: x\r\nx-a: ")),
      ),
      this.#hold("slow body", 20, (raw) => {
        this.#say("slow body", raw, this.#put(10 * MiB, "content-length: 10485760"));
        return this.#slowly(raw, noise(this.#random, 1000));
      }),
      this.#hold("no body", 20, (raw) => {
        this.#say("no body", raw, this.#put(MiB, "content-length: 1048576", "expect: 100-continue"));
        return Promise.resolve();
      }),
      this.#hold("never read", 50, (raw) => this.#neverRead(raw)),
      this.#hold("silent", 5, () => Promise.resolve()),
    ]);
    for (const raw of this.#open) raw.close();
    return this.totals;
  }

  get #over(): boolean {
    return performance.now() >= this.#end;
  }

  #connect(name: string): Raw {
    const raw = new Raw(this.#order.host, this.#order.port);
    this.#of(name).connections++;
    this.#open.add(raw);
    return raw;
  }

  #of(name: string): Attacked {
    return this.totals[name] ??= { connections: 0, closed: 0, answers: 0, sent: 0 };
  }

  #say(name: string, raw: Raw, bytes: Uint8Array): void {
    this.#of(name).sent += bytes.length;
    raw.send(bytes);
  }

  #close(name: string, raw: Raw): void {
    if (raw.closed) this.#of(name).closed++;
    if (raw.heard.startsWith("HTTP/1.1 ")) this.#of(name).answers++;
    raw.close();
    this.#open.delete(raw);
  }

  /** A connection for each, ended after a while whatever is answered. */
  async #once(name: string, pauseMs: number, bytes: () => Uint8Array, waitMs = ANSWER_MS): Promise<void> {
    while (!this.#over) {
      const raw = this.#connect(name);
      this.#say(name, raw, bytes());
      await Promise.race([raw.answered, delay(waitMs)]);
      this.#close(name, raw);
      await delay(pauseMs);
    }
  }

  /** Connections that stay, up to a number; those that the node closed make room. */
  async #hold(name: keyof typeof HELD_MAX, pauseMs: number, use: (raw: Raw) => Promise<void>): Promise<void> {
    const held = new Set<Raw>();
    for (; !this.#over; await delay(pauseMs)) {
      for (const raw of held) {
        if (!raw.closed) continue;
        held.delete(raw);
        this.#close(name, raw);
      }
      if (held.size >= HELD_MAX[name]) continue;
      const raw = this.#connect(name);
      held.add(raw);
      void use(raw);
    }
  }

  /** A byte now and then. */
  async #slowly(raw: Raw, bytes: Uint8Array): Promise<void> {
    for (const byte of bytes) {
      if (raw.closed || this.#over) return;
      raw.send(Uint8Array.of(byte));
      await delay(200);
    }
  }

  // ---- what is said

  #broken(pool: Pool): Uint8Array {
    const text = new TextDecoder("latin1").decode(mutant(pool, this.#random));
    return latin1(this.#random.chance(3, 4) ? text.replace("\r\n", " HTTP/1.1\r\nhost: x\r\n") : text);
  }

  /** `head`: its lines but the first. */
  #request(method: string, path: string, headers: Headers, body: Uint8Array): Uint8Array {
    const lines = [...headers].map(([name, value]) => `${name}: ${value}`);
    const head = [`${method} ${path} HTTP/1.1`, `host: ${this.#host}`, ...lines, "", ""].join("\r\n");
    const all = new Uint8Array(head.length + body.length);
    all.set(latin1(head));
    all.set(body, head.length);
    return all;
  }

  get #host(): string {
    return `${this.#order.host}:${this.#order.port}`;
  }

  #sign(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: Uint8Array<ArrayBuffer>,
  ): Headers {
    const { id, secret } = this.#order, payload = headers["x-amz-content-sha256"];
    return signed(method, path, this.#host, {
      ...{ headers, body, id, secret },
      ...(payload === undefined ? {} : { payload }),
    });
  }

  /** Signed as it is, so that it comes in. */
  #brokenSigned(): Uint8Array {
    const text = this.#random.pick(REQUESTS).replaceAll("/maps", `/${BUCKET}`);
    const end = text.indexOf("\n\n"), [first = "", ...lines] = text.slice(0, end).split("\n");
    const [method = "GET", path = "/"] = first.split(" ", 2);
    const body = new Uint8Array(mutant([utf8Encode(text.slice(end + 2))], this.#random));
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const [name = "", value = ""] = line.split(": ", 2);
      if (name !== "authorization") headers[name] = this.#changedText(value);
    }
    try {
      const all = this.#sign(method, path, headers, body);
      all.set("content-length", String(body.length));
      return this.#request(method, path, all, body);
    } catch {
      return utf8Encode("GET / HTTP/1.1\r\n\r\n");
    }
  }

  #changedText(text: string): string {
    if (this.#random.chance(3, 4)) return text;
    const bytes = mutant([utf8Encode(text)], this.#random).subarray(0, 2000);
    return String.fromCharCode(...bytes.filter((byte) => byte >= 0x20 && byte !== 0x7f)).trim();
  }

  /** Signed right but for one thing: a digit of the signature, the path, a header, the body, the time. */
  #nearlySigned(): Uint8Array {
    const body = new Uint8Array(noise(this.#random, 20)), path = `/${BUCKET}/forged`;
    const headers = this.#sign("PUT", path, { "x-amz-meta-a": "b" }, body);
    headers.set("content-length", "20");
    const authorization = headers.get("authorization") ?? "";
    switch (this.#random.below(5)) {
      case 0: {
        const at = authorization.length - 1 - this.#random.below(64);
        const digit = authorization[at] === "0" ? "1" : "0";
        headers.set("authorization", authorization.slice(0, at) + digit + authorization.slice(at + 1));
        break;
      }
      case 1:
        headers.set("x-amz-meta-a", "c");
        break;
      case 2:
        body[0]! ^= 1;
        break;
      case 3:
        headers.set("x-amz-date", "20200101T000000Z");
        break;
      default:
        return this.#request("PUT", `${path}2`, headers, body);
    }
    return this.#request("PUT", path, headers, body);
  }

  #hugeHead(): Uint8Array {
    const size = 1 << (12 + this.#random.below(9));
    switch (this.#random.below(3)) {
      case 0:
        return utf8Encode(`GET /${"a".repeat(size)} HTTP/1.1\r\nhost: x\r\n\r\n`);
      case 1:
        return utf8Encode(`GET / HTTP/1.1\r\nhost: x\r\nx-a: ${"b".repeat(size)}\r\n\r\n`);
      default:
        return utf8Encode(`GET / HTTP/1.1\r\nhost: x\r\n${"a: b\r\n".repeat(size >> 3)}\r\n`);
    }
  }

  /** Begins a put that is signed right, of a body of so many bytes that nobody has hashed. */
  #put(bytes: number, ...lines: string[]): Uint8Array {
    return this.#putAt(`/${BUCKET}/never`, bytes, ...lines);
  }

  #putAt(path: string, bytes: number, ...lines: string[]): Uint8Array {
    const headers = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };
    const all = this.#sign("PUT", path, headers, new Uint8Array(0));
    for (const line of lines) {
      const [name = "", value = ""] = line.split(": ", 2);
      all.append(name, value);
    }
    return this.#request("PUT", path, all, noise(this.#random, Math.min(bytes, 1000)));
  }

  #wrongLength(): Uint8Array {
    const lengths = ["-1", "1e3", "99999999999999999999", "5, 5", "0x10", "5", "1000000000000"];
    const lines = [`content-length: ${this.#random.pick(lengths)}`];
    if (this.#random.chance(1, 4)) lines.push(`content-length: ${this.#random.pick(lengths)}`);
    if (this.#random.chance(1, 4)) lines.push("transfer-encoding: chunked");
    return this.#putAt(`/${BUCKET}/any`, this.#random.below(2000), ...lines);
  }

  #chunkedNonsense(): Uint8Array {
    const random = this.#random, inner = random.chance(1, 2);
    const sizes = ["5", "5;chunk-signature=" + "0".repeat(64), "ffffffffffff", "-1", "", "zz", "0"];
    const chunks = Array.from({ length: 1 + random.below(4) }, () => `${random.pick(sizes)}\r\nhello\r\n`)
      .join("");
    const body = new Uint8Array(utf8Encode(chunks + "0\r\nx-amz-checksum-crc32: AAAA\r\n\r\n"));
    const path = `/${BUCKET}/chunked`;
    const headers = this.#sign("PUT", path, {
      "x-amz-content-sha256": random.pick([
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
      ]),
      "x-amz-decoded-content-length": random.pick(["5", "10", "0", "99999999999", "x"]),
      "x-amz-trailer": random.pick(["x-amz-checksum-crc32", "x-amz-checksum-sha256", "x"]),
    }, body);
    if (inner) headers.set("content-length", String(body.length));
    else headers.set("transfer-encoding", "chunked");
    return this.#request("PUT", path, headers, body);
  }

  #cutOff(): Uint8Array {
    return this.#put(1000, `content-length: ${1001 + this.#random.below(5 * MiB)}`);
  }

  /** Asks for much, over and over, and takes nothing. */
  #neverRead(raw: Raw): Promise<void> {
    raw.pause();
    const path = "/good?list-type=2";
    const asked = this.#request(
      "GET",
      path,
      this.#sign("GET", path, {}, new Uint8Array(0)),
      new Uint8Array(0),
    );
    for (let i = 0; i < 50; i++) this.#say("never read", raw, asked);
    return Promise.resolve();
  }
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** The worker's own side: not where this file is imported for its types. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<S3Order>) => void) | null;
  postMessage(totals: S3AttackTotals): void;
  close(): void;
}
const scope = globalThis as unknown as WorkerScope & { WorkerGlobalScope?: unknown };
if (scope.WorkerGlobalScope !== undefined) {
  scope.onmessage = ({ data }) => {
    void new S3Attacker(data).run().then((totals) => {
      scope.postMessage(totals);
      scope.close();
    });
  };
}
