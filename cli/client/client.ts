import type { LogIndex, NodeId, PartitionId } from "../../core/base/ids.ts";
import { utf8Encode } from "../../core/base/bytes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import type { Member, MemberState, SystemView } from "../../core/wire/messages.ts";
import type {
  AuditEvent,
  Expectation,
  KeyValue,
  MemberStatus,
  NodeStatus,
  Op,
  PutOptions,
  ReadMode,
  Response,
  SystemOp,
  TransactOp,
  Version,
} from "../../core/wire/requests.ts";
import type { AccessKey, Invite } from "../../core/wire/security.ts";
import { ClientDriver } from "./driver.ts";
import { RequestError } from "./errors.ts";
import { prefixEnd } from "./keys.ts";
import type { Profile } from "./profile.ts";
import { type AskRange, mergedRange, type RangeWanted } from "./range.ts";
import { Trust } from "./trust.ts";
import { WatchStream } from "./watch.ts";

export interface ConnectOptions {
  /** "host:port" of any nodes of the network; one that answers is enough. Default: those of the profile. */
  readonly addresses?: readonly string[];
  /** What lets this client into a private network. Without it: an open network. */
  readonly profile?: Profile;
  /** The profile is to be this one from now on: members or keys of the network have changed. */
  readonly profileChanged?: (profile: Profile) => void;
  /** Refuse any other network than the one of this name. */
  readonly network?: string;
  /** How long one operation may take, retries included: up to 60,000. Default 10,000. */
  readonly timeoutMs?: number;
}

export interface ReadOptions {
  /** True: take what any replica has, which may be old. */
  readonly stale?: boolean;
}

export interface RangeOptions extends ReadOptions {
  /** Keys that begin with this. Excludes `start` and `end`. */
  readonly prefix?: string;
  /** The first key wanted. */
  readonly start?: string;
  /** The first key not wanted any more. */
  readonly end?: string;
  /** At most this many keys. */
  readonly limit?: number;
  /** From the last to the first. */
  readonly reverse?: boolean;
  /** Leave values out. */
  readonly keysOnly?: boolean;
}

export interface WatchOptions {
  /** One key, or keys by their prefix, or from `start` to `end`. */
  readonly key?: string;
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
  /** Go on after what an earlier watch told last, by partition. */
  readonly from?: readonly (readonly [PartitionId, LogIndex])[];
}

/** What a write says. `existed`: there was something to overwrite or delete. */
export interface Written {
  readonly version: Version;
  readonly existed: boolean;
}

/**
 * Connects to a network through any of its nodes.
 *
 * @throws {ConnectError} when no node at the addresses answers in time
 * @example
 * ```ts ignore
 * import { connect } from "@space-opera/space-opera";
 *
 * const client = await connect({ addresses: ["127.0.0.1:7070"] });
 * await client.put("star/sirius", "brightest");
 * console.log(new TextDecoder().decode((await client.get("star/sirius"))!.value!));
 * client.close();
 * ```
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const { profile, profileChanged = () => {} } = options;
  const addresses = options.addresses ?? profile?.addresses ?? [];
  if (addresses.length === 0) {
    throw new TypeError("A client needs at least one address to connect to");
  }
  const driver = new ClientDriver({
    addresses,
    network: options.network ?? profile?.network ?? null,
    trust: profile === undefined ? null : new Trust(profile, profileChanged),
    timeoutMs: Math.min(options.timeoutMs ?? 10_000, LIMITS.retryUsMax / 1000),
  });
  await driver.ready();
  return new Client(driver);
}

/**
 * A client of one network. All operations may be under way at once; they share one connection to each node. Writes
 * are sent again when a connection breaks or a leader changes, and applied exactly once all the same.
 *
 * Every operation rejects with RequestError, whose `reason` says what went wrong.
 */
export class Client implements Disposable {
  readonly #driver: ClientDriver;

  /** Use connect(). */
  constructor(driver: ClientDriver) {
    this.#driver = driver;
  }

  /**
   * Stores `value`, up to 1 MiB, under `key`, 1 to 1280 bytes of UTF-8. A string is stored as UTF-8. Keys that begin with
   * U+0001 are the rows of objects: leave them to openStore().
   */
  async put(key: string, value: Uint8Array | string, options: PutOptions = {}): Promise<Written> {
    return writtenOf(await this.#ask({ kind: "put", key, value: bytesOf(value), ...options }));
  }

  /** The value of `key` with its version, or null. */
  async get(
    key: string,
    options: ReadOptions & { readonly version?: Version } = {},
  ): Promise<KeyValue | null> {
    const { version } = options;
    const op: Op = { kind: "get", key, read: modeOf(options), ...(version === undefined ? {} : { version }) };
    return expected("value", await this.#ask(op)).found;
  }

  async delete(key: string): Promise<Written> {
    return writtenOf(await this.#ask({ kind: "delete", key }));
  }

  /**
   * Compare and set: writes `value` (null: deletes) if `key` is as `expect` says. Otherwise nothing changes, and
   * `found` is the key as it is.
   */
  async cas(
    key: string,
    { expect, value, ...options }: PutOptions & {
      readonly expect: Expectation;
      readonly value: Uint8Array | string | null;
    },
  ): Promise<{ readonly applied: boolean; readonly version: Version; readonly found: KeyValue | null }> {
    const op: Op = { kind: "cas", key, expect, value: value === null ? null : bytesOf(value), ...options };
    return expected("cas", await this.#ask(op));
  }

  /** Several keys of one partition (share a {tag}) at once. `held` says which of the two branches ran. */
  async transact(
    { conditions = [], then = [], otherwise = [] }: Partial<Omit<TransactOp, "kind">>,
  ): Promise<
    { readonly held: boolean; readonly version: Version; readonly results: readonly (KeyValue | null)[] }
  > {
    return expected("transacted", await this.#ask({ kind: "transact", conditions, then, otherwise }));
  }

  /** The versions of `key` that are kept, newest first. A null value is a deletion. */
  async history(key: string, options: ReadOptions = {}): Promise<readonly KeyValue[]> {
    return expected("values", await this.#ask({ kind: "history", key, read: modeOf(options) })).items;
  }

  /**
   * Keys in order, over all partitions, read page by page as they are taken. A range that begins before U+0001 and goes on
   * behind it begins at U+0002: it shows neither the rows of objects nor keys that begin with U+0000.
   */
  async *range(options: RangeOptions = {}): AsyncGenerator<KeyValue, void, void> {
    const { reverse = false, keysOnly = false } = options;
    const wanted: RangeWanted = {
      kind: "range",
      ...spanOf(options),
      reverse,
      keysOnly,
      read: modeOf(options),
    };
    const limit = options.limit ?? Infinity;
    if (limit <= 0) return;
    if (limit <= LIMITS.rangeItemsMax) return yield* this.#shortRange(wanted, limit);
    const partitions = this.#driver.partitions ?? (await this.layout()).view.settings.partitions;
    let left = limit;
    for await (const item of mergedRange(this.#askRange, wanted, partitions)) {
      yield item;
      if (--left === 0) return;
    }
  }

  /** Put together by one node. */
  async *#shortRange(wanted: RangeWanted, limit: number): AsyncGenerator<KeyValue, void, void> {
    let { start, end } = wanted;
    for (let left = limit; left > 0;) {
      const page = await this.#askRange({ ...wanted, start, end, limit: left });
      yield* page.items;
      left -= page.items.length;
      if (page.next === null) return;
      if (wanted.reverse) end = page.next;
      else start = page.next;
    }
  }

  readonly #askRange: AskRange = async (op) => expected("values", await this.#ask(op));

  /**
   * Changes as they happen, in order within each partition. Ends when the loop over it is left; goes on by itself when
   * leaders change. A batch with `gap` true says that changes were missed which nobody knows any more: read the range.
   */
  watch(options: WatchOptions): WatchStream {
    const { start, end } = options.key === undefined
      ? spanOf(options)
      : { start: options.key, end: `${options.key}\u0000` };
    return new WatchStream(this.#driver, { kind: "watch", start, end, from: options.from ?? [] });
  }

  /** Makes a lease: keys put with it go when it is not kept alive for `ttlMs`. It lives in the partition of its name. */
  async grant(lease: string, ttlMs: number): Promise<Written> {
    return writtenOf(await this.#ask({ kind: "grant", lease, ttlMs }));
  }

  async keepAlive(lease: string): Promise<Written> {
    return writtenOf(await this.#ask({ kind: "keep-alive", lease }));
  }

  /** Ends a lease and deletes its keys. */
  async revoke(lease: string): Promise<Written> {
    return writtenOf(await this.#ask({ kind: "revoke", lease }));
  }

  /** The node that this client connected to first. It speaks to others too. */
  get home(): NodeId {
    return this.#driver.home!;
  }

  /** How a node is doing: `node`, or any that answers. */
  async status(node?: NodeId): Promise<NodeStatus> {
    return expected("status", await this.#ask({ kind: "status" }, node)).status;
  }

  /** Who belongs to the network, and who can be reached, as `node` or any that answers sees it. */
  async members(node?: NodeId): Promise<readonly MemberStatus[]> {
    return expected("members", await this.#ask({ kind: "members" }, node)).members;
  }

  /** Who belongs to the network, which replicas are where, and who leads each partition (0 is the system's). */
  async layout(): Promise<{ readonly view: SystemView; readonly leaders: readonly (NodeId | null)[] }> {
    return expected("layout", await this.#ask({ kind: "layout" }));
  }

  /**
   * "draining" moves a member's data elsewhere; "removed" takes it out, alive only with `force`. Returns the version of the
   * network's view from which on it is so: a node that is asked at once may have an older one.
   */
  async setState(node: Member["id"], state: MemberState, { force = false } = {}): Promise<number> {
    return await this.#change({ kind: "set-state", node, state, force });
  }

  /**
   * Shuts a member out for good: its key lets it in no more, all invites are void, and a new generation of keys is made
   * that it never knew. With `force` also where a partition loses its majority by it. Returns the version of the view, as
   * all that change the network do.
   */
  async evict(node: NodeId, { force = false } = {}): Promise<number> {
    return await this.#change({ kind: "evict", node, force });
  }

  /** Wants a new generation of the network's keys. */
  async rotateKeys(): Promise<number> {
    return await this.#change({ kind: "keys-rotate" });
  }

  /** Lets in whoever shows the secret that `invite.hash` comes from. */
  async addInvite(invite: Invite): Promise<number> {
    return await this.#change({ kind: "invite-add", invite, nowMs: Date.now() });
  }

  async dropInvite(id: string): Promise<number> {
    return await this.#change({ kind: "invite-drop", id });
  }

  /** Makes an access key, or changes name and rights of the one with this id. */
  async setAccess(access: AccessKey): Promise<number> {
    return await this.#change({ kind: "access-set", access });
  }

  async dropAccess(id: string): Promise<number> {
    return await this.#change({ kind: "access-drop", id });
  }

  /** What was noted last of who did what at `node`, or any that answers, the newest first. */
  async audit({ node, limit = LIMITS.auditEventsMax }: {
    readonly node?: NodeId;
    readonly limit?: number;
  } = {}): Promise<readonly AuditEvent[]> {
    return expected("audit", await this.#ask({ kind: "audit", limit }, node)).events;
  }

  /** Whatever is asked, with its answer as it is, refusals too. */
  request(op: Op): Promise<Response> {
    return this.#ask(op);
  }

  /** Ends all connections. What is under way is refused with "closing". */
  close(): void {
    this.#driver.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #change(op: SystemOp): Promise<number> {
    return expected("done", await this.#ask(op)).version;
  }

  #ask(op: Op, node?: NodeId): Promise<Response> {
    return new Promise((resolve) => {
      this.#driver.submit(op, resolve, node === undefined ? {} : { node });
    });
  }
}

/** @throws {RequestError} where the network refused */
function writtenOf(response: Response): Written {
  const { version, existed } = expected("written", response);
  return { version, existed };
}

type ResponseOf<K extends Response["kind"]> = Extract<Response, { kind: K }>;

/** @throws {RequestError} where the network refused */
function expected<K extends Response["kind"]>(kind: K, response: Response): ResponseOf<K> {
  if (response.kind === "refused") throw RequestError.from(response);
  if (response.kind !== kind) {
    throw new RequestError("invalid", `The node answered "${response.kind}" where "${kind}" was expected`);
  }
  return response as ResponseOf<K>;
}

function bytesOf(value: Uint8Array | string): Uint8Array {
  if (typeof value === "string") return utf8Encode(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`A value is a string or a Uint8Array, not ${typeof value}`);
}

function modeOf({ stale }: ReadOptions): ReadMode {
  return stale ? "stale" : "linearizable";
}

function spanOf(
  { prefix, start, end }: { readonly prefix?: string; readonly start?: string; readonly end?: string },
): { start: string; end: string | null } {
  if (prefix === undefined) return { start: start ?? "", end: end ?? null };
  if (start !== undefined || end !== undefined) {
    throw new TypeError("A range has a prefix, or a start and an end");
  }
  return { start: prefix, end: prefixEnd(prefix) };
}
