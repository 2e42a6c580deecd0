/**
 * How nodes come into a private network of the simulator: an operator has an invite made, a joiner uses it over a
 * connection that proves its secret and the joiner's own key. Others try what must not help: invites that are used up,
 * over, never made, or known by name alone.
 */
import { nodeId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import type { Response } from "../../core/wire/requests.ts";
import type { Invite } from "../../core/wire/security.ts";
import type { Login } from "../clients.ts";
import type { Cluster } from "../cluster.ts";
import type { Machine } from "../machine.ts";
import { memberOf } from "../member_of.ts";
import { EPOCH_MS, type Given } from "./hosts.ts";
import { drawHex, sha256Hex } from "./keyring.ts";
import type { Ledger } from "./ledger.ts";

/** What a token holds of an invite. */
interface Token {
  readonly id: string;
  readonly proof: string;
}

export interface InviteOptions {
  readonly uses: number;
  readonly ttlMs: number;
}
/** Ways of coming without leave. */
export const INTRUSIONS = ["no-proof", "unknown", "wrong-secret", "used-up", "over", "evicted-key"] as const;
export type Intrusion = typeof INTRUSIONS[number];

const HOUR_MS = 3_600_000;
/** Who was refused asks for another invite after this long. */
const AGAIN_US = 500_000;
const SPREAD_US = 5_000_000;
/** No clock in the simulator is so far behind. */
const LONG_AGO_MS = 600_000;

export class Admission {
  readonly #cluster: Cluster;
  readonly #network: string;
  readonly #random: Random;
  readonly #tokens: Token[] = [];
  #intruders = 0;
  /** The checker's history, which knows what an invite is still worth. */
  ledger: Ledger | null = null;
  /** Told of each way that was tried and refused. */
  onRefused: ((intrusion: Intrusion) => void) | null = null;
  onRaceLost: (() => void) | null = null;

  constructor(options: { readonly cluster: Cluster; readonly network: string; readonly random: Random }) {
    this.#cluster = options.cluster;
    this.#network = options.network;
    this.#random = options.random;
  }

  /**
   * Has machines come in, all with one invite; whom it does not admit takes another. `voucher`: a member whose machine
   * vouches for the newcomer instead, as long as it can.
   */
  takeIn(
    machines: readonly Machine[],
    { voucher = null, uses = 1, ttlMs = HOUR_MS }:
      & { readonly voucher?: Machine | null }
      & Partial<InviteOptions> = {},
  ): void {
    for (const machine of machines) this.#cluster.world.hosts!.equip(machine);
    const first = machines[0]!;
    if (voucher !== null && !voucher.evicted) {
      const login: Login = { who: { kind: "member", node: voucher.id }, key: first.keyring!.key };
      return this.#join(first, login);
    }
    this.#invite({ uses, ttlMs }, (token) => {
      if (token === null) return this.#again(machines);
      for (const machine of machines) this.#join(machine, loginWith(token, machine.keyring!.key));
    });
  }

  #again(machines: readonly Machine[]): void {
    this.#cluster.later(AGAIN_US, () => {
      for (const machine of machines) this.takeIn([machine]);
    });
  }

  #join(machine: Machine, login: Login): void {
    const member = memberOf(machine, "joining");
    this.#cluster.ask({ kind: "join", member, network: this.#network }, (response, given) => {
      if (response.kind === "joined") return this.#joined(machine, response, given);
      if (this.ledger?.evictedAt(machine.keyring!.key) !== undefined) return; // It will not be let in any more.
      if (login.who?.kind === "invite" && this.ledger?.usesLeft(login.who.id) === 0) this.onRaceLost?.();
      this.#again([machine]);
    }, login);
  }

  #joined(machine: Machine, { view }: Extract<Response, { kind: "joined" }>, given: readonly Given[]): void {
    const { world } = this.#cluster;
    world.hosts!.prepare(machine, view, given);
    world.start(machine, { kind: "joined", view });
  }

  /** `agoMs`: so far behind is the clock of the operator. */
  #invite(
    { uses, ttlMs, agoMs = 0 }: InviteOptions & { readonly agoMs?: number },
    done: (token: Token | null) => void,
  ): void {
    const proof = drawHex(this.#random, 64), id = drawHex(this.#random, 16), nowMs = this.#nowMs - agoMs;
    const invite: Invite = { id, hash: sha256Hex(proof), zone: null, expiresMs: nowMs + ttlMs, uses };
    this.#cluster.ask({ kind: "invite-add", invite, nowMs }, (response) => {
      if (response.kind !== "refused") this.#tokens.push({ id, proof });
      done(response.kind === "refused" ? null : { id, proof });
    });
  }

  get #nowMs(): number {
    return EPOCH_MS + Math.floor(this.#cluster.world.loop.now / 1000);
  }

  // ---- who must not come in

  /** Somebody tries to come in without leave. */
  intrude(intrusion: Intrusion): void {
    const key = this.#keyFor(intrusion);
    if (intrusion === "over" || (intrusion === "evicted-key" && this.#evictedKeys.length > 0)) {
      const about = intrusion === "over" ? { ttlMs: 1, agoMs: LONG_AGO_MS } : { ttlMs: HOUR_MS };
      return this.#invite({ uses: 1, ...about }, (token) => {
        // Once everyone has heard of the invite, its end is known too.
        if (token !== null) this.#cluster.later(SPREAD_US, () => this.#try(intrusion, token, key));
      });
    }
    this.#try(intrusion, this.#tokenFor(intrusion), key);
  }

  get #evictedKeys(): string[] {
    return this.#cluster.machines.filter((machine) => machine.evicted).map(({ keyring }) => keyring!.key);
  }

  #keyFor(intrusion: Intrusion): string {
    const evicted = this.#evictedKeys;
    return intrusion === "evicted-key" && evicted.length > 0
      ? this.#random.pick(evicted)
      : drawHex(this.#random, 64);
  }

  #tokenFor(intrusion: Intrusion): Token | null {
    const fresh = { id: drawHex(this.#random, 16), proof: drawHex(this.#random, 64) };
    const used = this.#tokens.filter(({ id }) => this.ledger?.usesLeft(id) === 0);
    const open = this.ledger?.openInvites() ?? [];
    switch (intrusion) {
      case "no-proof":
        return null;
      case "used-up":
        return used.length === 0 ? fresh : this.#random.pick(used);
      case "wrong-secret":
        return open.length === 0 ? fresh : { ...fresh, id: this.#random.pick(open) };
      default:
        return fresh;
    }
  }

  #try(intrusion: Intrusion, token: Token | null, key: string): void {
    const id = nodeId(`intruder-${++this.#intruders}`), { world } = this.#cluster;
    const identity = { key, holds: 0, uses: 0, statement: new Uint8Array(0) };
    const member = {
      id,
      identity,
      address: `${id}:7400`,
      zone: "",
      capacity: 1,
      state: "joining",
      disk: drawHex(this.#random, 16),
    } as const;
    this.#cluster.ask({ kind: "join", member, network: this.#network }, (response) => {
      const denied = response.kind === "refused" && response.reason === "denied";
      const what = JSON.stringify(response).slice(0, 200);
      if (denied) this.onRefused?.(intrusion);
      else world.violate("only the invited get in", `${id}, with ${intrusion}, was answered ${what}`);
    }, token === null ? {} : loginWith(token, key));
  }
}

function loginWith({ id, proof }: Token, key: string): Login {
  return { who: { kind: "invite", id, proof }, key };
}
