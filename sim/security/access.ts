/**
 * Access keys of a simulated network: the rights that clients are given, what they may do with them by a reading of its
 * own, and the book that says which client has which key.
 */
import { unreachable } from "../../core/base/invariant.ts";
import type { Random } from "../../core/base/random.ts";
import type { Op, TransactItem } from "../../core/wire/requests.ts";
import type { AccessKey, Right } from "../../core/wire/security.ts";
import type { Login } from "../clients.ts";
import { drawHex } from "./keyring.ts";

const ALL: Right = { prefix: "", read: true, write: true, admin: false };

/** What a client of a private network may be given, over the keys that workloads use. */
const SHAPES: readonly (readonly Right[])[] = [
  [ALL],
  [ALL],
  [ALL],
  [{ prefix: "", read: true, write: false, admin: false }],
  [{ prefix: "work/", read: true, write: true, admin: false }],
  [{ prefix: "work/", read: true, write: false, admin: false }, {
    prefix: "work/{",
    read: false,
    write: true,
    admin: false,
  }],
  [{ prefix: "lease", read: true, write: true, admin: false }, {
    prefix: "work/",
    read: true,
    write: true,
    admin: false,
  }],
  [{ prefix: "work/1", read: true, write: true, admin: true }],
];

/** A client that logs in with an access key, and can be told to use another. */
export interface Holder {
  relogin(login: Login): void;
}

export interface Held {
  readonly holder: Holder;
  readonly kind: "worker" | "watcher";
  key: AccessKey;
}

/** Whose access key may be changed and dropped. Operators and the clients that load and read everything keep theirs. */
export class AccessBook {
  readonly #random: Random;
  readonly held: Held[] = [];
  readonly genesis: AccessKey[];
  #next = 1;

  /** `workers` and `watchers` are given keys from the start, by their numbers. */
  constructor(
    random: Random,
    { workers, watchers }: { readonly workers: number; readonly watchers: number },
  ) {
    this.#random = random;
    this.genesis = [
      this.#key("operator", [{ ...ALL, admin: true }]),
      this.#key("everything", [ALL]),
      ...Array.from({ length: workers }, (_, i) => this.#key(`worker-${i}`, this.drawRights())),
      ...Array.from({ length: watchers }, (_, i) => this.#key(`watcher-${i}`, [ALL])),
    ].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Of the clients that load and read everything. */
  get everything(): Login {
    return loginOf("everything");
  }

  /** From now on the key of this worker or watcher may be taken from it. */
  assign(kind: Held["kind"], number: number, holder: Holder): void {
    const id = `${kind}-${number}`, key = this.genesis.find((each) => each.id === id)!;
    this.held.push({ holder, kind, key });
  }
  loginOf(kind: Held["kind"], number: number): Login {
    return loginOf(`${kind}-${number}`);
  }

  drawRights(): readonly Right[] {
    return this.#random.pick(SHAPES);
  }

  /** A key that is new to the network. */
  drawKey(kind: Held["kind"]): AccessKey {
    return this.#key(`${kind}-again-${this.#next++}`, kind === "watcher" ? [ALL] : this.drawRights());
  }

  #key(id: string, rights: readonly Right[]): AccessKey {
    return { id, publicKey: drawHex(this.#random, 64), name: id, rights };
  }
}

export function loginOf(id: string): Login {
  return { who: { kind: "access", id } };
}

/**
 * Whether rights cover an operation of a workload or a watch: every name it reads or writes, one by one, and of a range
 * each end. Keys of workloads are ASCII.
 */
export function permits(rights: readonly Right[], op: Op): boolean {
  const reads = (name: string) => rights.some(({ read, prefix }) => read && name.startsWith(prefix));
  const writes = (name: string) => rights.some(({ write, prefix }) => write && name.startsWith(prefix));
  const puts = (key: string, lease: string | undefined) =>
    writes(key) && (lease === undefined || writes(lease));
  const items = (list: readonly TransactItem[]) =>
    list.every((item) =>
      item.kind === "get" ? reads(item.key) : puts(item.key, item.kind === "put" ? item.lease : undefined)
    );
  switch (op.kind) {
    case "get":
    case "history":
      return reads(op.key);
    case "put":
      return puts(op.key, op.lease);
    case "delete":
      return writes(op.key);
    case "cas":
      return reads(op.key) && puts(op.key, op.lease);
    case "transact":
      return op.conditions.every(({ key }) => reads(key)) && items(op.then) && items(op.otherwise);
    case "grant":
    case "keep-alive":
    case "revoke":
      return writes(op.lease);
    case "range":
    case "watch":
      return rights.some(({ read, prefix }) => read && spans(prefix, op.start, op.end));
    case "unwatch":
    case "status":
    case "members":
    case "layout":
      return true;
    case "chunk-put":
    case "segments-gone":
      return rights.some(({ write, prefix }) => write && ofObjects(prefix));
    case "chunk-get":
      return rights.some(({ read, prefix }) => read && ofObjects(prefix));
    case "join":
    case "set-address":
    case "key-made":
    case "key-status":
      return false;
    case "set-state":
    case "evict":
    case "invite-add":
    case "invite-drop":
    case "access-set":
    case "access-drop":
    case "keys-rotate":
    case "audit":
      return rights.some(({ admin, prefix }) => admin && prefix === "");
    default:
      return unreachable(op);
  }
}

/** A right on it is one on some objects: their chunks are named by what only their rows tell. */
function ofObjects(prefix: string): boolean {
  return prefix === "" || prefix.startsWith("so://");
}

/** All between two names of ASCII begins with the prefix: the first does, and the end is no further than its last. */
function spans(prefix: string, start: string, end: string | null): boolean {
  if (prefix === "") return true;
  const last = prefix.charCodeAt(prefix.length - 1);
  return start.startsWith(prefix) && end !== null &&
    end <= prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
