/**
 * A network with keys: nodes on the perfect network of network.ts, and hosts that do what hosts do with secrets, as
 * core/wire/kernel.ts asks. A generation's secret is stood in for by its authority: who has the one can tell the other.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import type { Settings } from "../../../core/base/limits.ts";
import { findMember } from "../../../core/system/system.ts";
import type { Node } from "../../../core/node/node.ts";
import type { Effects } from "../../../core/wire/kernel.ts";
import type { Member, SystemView } from "../../../core/wire/messages.ts";
import type { Op, Response } from "../../../core/wire/requests.ts";
import type { Invite, Principal } from "../../../core/wire/security.ts";
import { keyOf, OPERATOR, sha256 } from "../../support/credentials.ts";
import { member, Network } from "./network.ts";

const HAND_OVER_US = 2_000, MAKE_US = 5_000, RENEW_US = 100_000;
const NONE = new Uint8Array(0);

export const holderOf = (id: string): Principal => ({ kind: "access", id });

export const INVITE_ID = "0123456789abcdef";
const PROOF = sha256("5ec2e7");
export const invite = (change: Partial<Invite> = {}): Invite => ({
  id: INVITE_ID,
  hash: sha256(PROOF),
  zone: null,
  expiresMs: 10_000,
  uses: 1,
  ...change,
});
export const invited = (proof = PROOF): Principal => ({ kind: "invite", id: INVITE_ID, proof });

export function privateMember(name: string, holds = 0): Member {
  return { ...member(name), identity: { key: keyOf(name), holds, uses: holds, statement: NONE } };
}

interface Ring {
  /** Generation to authority, in hexadecimal digits. */
  readonly secrets: Map<number, string>;
  /** Made here, and not agreed on yet. */
  readonly made: Map<number, string>;
  uses: number;
}

export class PrivateNetwork extends Network {
  readonly rings = new Map<NodeId, Ring>();
  /** What hosts and cores did about keys, in the order of happening. */
  readonly story: string[] = [];
  /** A host does not make what it is asked for. */
  readonly idle = new Set<NodeId>();
  /** A host does not take what it is given. */
  readonly deaf = new Set<NodeId>();
  readonly #told = new Map<NodeId, string>();

  constructor(names: readonly string[], settings: Partial<Settings> = {}) {
    const authority = Uint8Array.of(1);
    super(names, settings, {}, {
      security: { keys: [{ id: 1, state: "current", authority }], access: [OPERATOR], invites: [] },
      member: (name) => privateMember(name, 1),
    });
    this.who = holderOf(OPERATOR.id);
    this.started = (id) => {
      this.#told.delete(id);
      this.#keep(id);
    };
    this.stepped = (id, effects) => this.#host(id, effects);
    this.sending = (from, to, message) => {
      if (message.kind === "key-get") this.story.push(`${from} asks ${to} for ${message.ids}`);
    };
    for (const name of names) {
      this.rings.set(nodeId(name), { secrets: new Map([[1, authority.toHex()]]), made: new Map(), uses: 1 });
      this.started(nodeId(name));
    }
  }

  /** Comes with an invite, as a host does: the answer is handed over with all secrets that the other end has. */
  enter(name: string, through: string, who: Principal = invited()): Node {
    const joined = this.ask(through, {
      kind: "join",
      member: { ...privateMember(name), state: "joining" },
      network: null,
    }, { who });
    assert.ok(joined.kind === "joined", JSON.stringify(joined));
    const { secrets } = this.ring(through);
    this.rings.set(nodeId(name), {
      secrets: new Map(secrets),
      made: new Map(),
      uses: Math.max(...secrets.keys()),
    });
    return this.start(nodeId(name), { kind: "joined", view: joined.view });
  }

  ring(name: string): Ring {
    return this.rings.get(nodeId(name)) ?? assert.fail(`${name} has a keyring`);
  }

  /** As `at` has them: `1 former, 2 current`. */
  keys(at: string): string {
    return keysOf(this.node(at).view());
  }

  done(at: string, op: Op, who?: Principal): void {
    const response = this.ask(at, op, who === undefined ? {} : { who });
    assert.ok(response.kind === "done", JSON.stringify(response));
  }

  refusal(at: string, op: Op, who?: Principal | null): string {
    return refusalText(this.ask(at, op, who === undefined ? {} : { who }));
  }

  #host(id: NodeId, { keyOffers, makeKey }: Effects): void {
    const ring = this.rings.get(id)!;
    if (makeKey !== null) this.#make(id, ring, makeKey);
    for (const { to, ids } of keyOffers) {
      this.story.push(`${id} offers ${to} ${ids}`);
      this.at(this.now + HAND_OVER_US, () => this.#receive(to, ids, ring));
    }
    this.#keep(id);
  }

  #make(id: NodeId, ring: Ring, generation: number): void {
    this.story.push(`${id} is to make ${generation}`);
    if (this.idle.has(id)) return;
    const authority = ring.made.get(generation) ??
      createHash("sha256").update(`${id} ${generation}`).digest("hex");
    ring.made.set(generation, authority);
    this.at(
      this.now + MAKE_US,
      () => this.step(id, { kind: "key-made", id: generation, authority: Uint8Array.fromHex(authority) }),
    );
  }

  #receive(to: NodeId, ids: readonly number[], from: Ring): void {
    const ring = this.rings.get(to);
    if (ring === undefined || this.isDown(to) || this.deaf.has(to)) return;
    for (const id of ids) {
      const secret = from.secrets.get(id);
      const listed = this.node(to).view().security!.keys.find((key) => key.id === id);
      // The view lists whose secret it is: another one is thrown away.
      if (secret !== undefined && listed?.authority.toHex() === secret) ring.secrets.set(id, secret);
    }
    this.#keep(to);
  }

  /** Takes over what the view says, and tells the core where it stands. */
  #keep(id: NodeId): void {
    const ring = this.rings.get(id);
    if (ring === undefined) return;
    const { keys } = this.node(id).view().security!;
    for (const { id: generation, authority } of keys) {
      if (ring.made.get(generation) === authority.toHex()) ring.secrets.set(generation, authority.toHex());
    }
    for (const generation of ring.secrets.keys()) {
      if (generation > ring.uses && !keys.some((key) => key.id === generation)) {
        ring.secrets.delete(generation);
      }
    }
    const holds = Math.max(...ring.secrets.keys());
    const current = keys.find((key) => key.state === "current")!.id;
    if (ring.uses < current && ring.secrets.has(current)) {
      this.at(this.now + RENEW_US, () => {
        if (ring.uses >= current) return;
        ring.uses = current;
        this.#keep(id);
      });
    }
    const told = `${holds} ${ring.uses}`;
    if (this.#told.get(id) === told || this.isDown(id)) return;
    this.#told.set(id, told);
    this.at(
      this.now,
      () => this.step(id, { kind: "keys", holds, uses: ring.uses, statement: statementOf(id, holds) }),
    );
  }
}

/** 64 bytes. */
export function statementOf(id: NodeId, holds: number): Uint8Array {
  return new Uint8Array(createHash("sha512").update(`${id} ${holds}`).digest());
}

export function keysOf({ security }: SystemView): string {
  return security!.keys.map(({ id, state }) => `${id} ${state}`).join(", ");
}

export function refusalText(response: Response): string {
  return response.kind === "refused" ? `${response.reason}: ${response.message}` : response.kind;
}

export function holdsOf(network: PrivateNetwork, name: string, at: string): number | undefined {
  return findMember(network.node(at).view(), nodeId(name))?.identity?.holds;
}
