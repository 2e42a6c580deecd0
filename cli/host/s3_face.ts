/** The S3 face of a node: a server in its process, whose requests ask through clients of the node itself. */
import type { Logger } from "@logtape/logtape";
import { LIMITS } from "../../core/base/limits.ts";
import { ChunkRoom } from "../../core/objects/programs/world.ts";
import { ObjectError } from "../../core/objects/types.ts";
import type { Op, Response } from "../../core/wire/requests.ts";
import { openStore } from "../objects/open_store.ts";
import { S3Secrets } from "../objects/s3_secrets.ts";
import type { ObjectStore } from "../objects/store.ts";
import { s3App, type S3LogEntry } from "../s3/app.ts";
import { serveS3 } from "../s3/serve.ts";
import type { Actor, LocalClient } from "./local_client.ts";
import { formatAddress, parseAddress } from "./socket.ts";

export interface S3FaceOptions {
  readonly node: { client(as: Actor): LocalClient };
  /** "host:port"; port 0 takes a free one. */
  readonly listen: string;
  /** Buckets are hosts under it, too. */
  readonly domain: string | null;
  /** PEM; null: no TLS. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** The network is open: everybody is let in. */
  readonly open: boolean;
  readonly log: Logger;
}

export interface S3Face {
  /** "http://127.0.0.1:9000" */
  readonly url: string;
  /** Lets what is under way end within `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/** What clients are told that ask for it; they may name any themselves. */
const REGION = "us-east-1";

/** @throws {Error} where the address cannot be listened on, or the certificate is none */
export function openS3Face({ node, listen, domain, tls, open, log }: S3FaceOptions): S3Face {
  const itself = node.client({ kind: "node" });
  const room = new ChunkRoom(LIMITS.s3ChunksMax);
  const own = openStore(itself, { room }), secrets = new S3Secrets(itself);
  const visitors = new Visitors(node, room);
  const { host, port } = parseAddress(listen);
  const app = s3App({
    storeFor: (who) => who === null ? own : visitors.storeOf(who),
    credentials: open ? null : { secretOf: (id) => secrets.secretOf(id) },
    region: REGION,
    domain,
    now: Date.now,
    corsOf: async (bucket) => {
      try {
        return (await own.bucket(bucket)).cors;
      } catch (error) {
        // Who asks for this is nobody yet: what there is and is not is not told.
        if (error instanceof ObjectError) return [];
        throw error;
      }
    },
    log: (entry) => logEntry(log, entry),
  });
  let server;
  try {
    server = serveS3({
      listen: { hostname: host, port },
      app,
      tls,
      onError: (error) => log.warn("The S3 server: {error}", { error: messageOf(error) }),
    });
  } catch (error) {
    itself.close();
    throw error;
  }
  const url = `${server.scheme}://${formatAddress(server.hostname, server.port)}`;
  log.info("Serves S3 at {url}", { url });
  const local = server.hostname === "::1" || server.hostname.startsWith("127.");
  if (tls === null && !local) {
    log.warn(
      "S3 at {url} is not encrypted, and others can read along: give --s3-cert and --s3-key, or let a proxy that has TLS " +
        "pass it on",
      { url },
    );
  }
  let stopped: Promise<void> | null = null;
  return {
    url,
    stop(graceMs) {
      stopped ??= server.stop(graceMs).finally(() => {
        itself.close();
        visitors.close();
      });
      return stopped;
    },
  };
}

/** Who has not come for so long is forgotten. Longer than any request lasts that moves nothing. */
const IDLE_MS = 5 * 60_000;
const SWEEP_MS = 60_000;

interface Visitor {
  readonly client: LocalClient;
  readonly store: ObjectStore;
  usedMs: number;
  underWay: number;
}

/** A client for each access key that is in use: as many as the network has, LIMITS.accessKeysMax at the most. */
class Visitors {
  readonly #node: S3FaceOptions["node"];
  readonly #room: ChunkRoom;
  readonly #visitors = new Map<string, Visitor>();
  #sweptMs = performance.now();

  constructor(node: S3FaceOptions["node"], room: ChunkRoom) {
    this.#node = node;
    this.#room = room;
  }

  /** `id`: an access key that has signed. */
  storeOf(id: string): ObjectStore {
    this.#sweep();
    let visitor = this.#visitors.get(id);
    if (visitor === undefined) this.#visitors.set(id, visitor = this.#come(id));
    visitor.usedMs = performance.now();
    return visitor.store;
  }

  close(): void {
    for (const { client } of this.#visitors.values()) client.close();
    this.#visitors.clear();
  }

  #come(id: string): Visitor {
    const client = this.#node.client({ kind: "access", id });
    const request = async (op: Op): Promise<Response> => {
      visitor.underWay++;
      try {
        return await client.request(op);
      } finally {
        visitor.underWay--;
        visitor.usedMs = performance.now();
      }
    };
    const visitor: Visitor = {
      client,
      store: openStore({ request, release: (bytes) => client.release(bytes) }, { room: this.#room }),
      usedMs: 0,
      underWay: 0,
    };
    return visitor;
  }

  #sweep(): void {
    const now = performance.now();
    if (now - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = now;
    for (const [id, { client, usedMs, underWay }] of this.#visitors) {
      if (underWay > 0 || now - usedMs < IDLE_MS) continue;
      client.close();
      this.#visitors.delete(id);
    }
  }
}

function logEntry(log: Logger, { error, ...entry }: S3LogEntry): void {
  const fields = { ...entry, ms: Math.round(entry.ms), who: entry.who ?? "-", code: entry.code ?? "-" };
  log.debug("S3 {method} {route} of {who}: {status} {code} in {ms} ms", fields);
  if (error !== null) log.warn("S3 request {id} failed: {error}", { id: entry.id, error: messageOf(error) });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
