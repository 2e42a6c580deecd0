/**
 * What the hosts of a private network do beside the core, in the virtual world: they say who may be connected, keep
 * keyrings, hand secrets to each other, make new ones, renew what old ones protect, and look at who wants to come in.
 * The real ones are in cli/host; what is decided there is decided here by the same rules, from the view alone.
 *
 * Invariants:
 * H1. Two members are connected only while neither's view says that the other is evicted, or does not know its key.
 * H2. A secret leaves only on an effect of the core, to a member of whom the view holds that (H1), and only one that the
 *     view knows the authority of. Who receives one keeps it only if its own view has that authority.
 * H3. A secret that was made is in the keyring before the core hears of it.
 * H4. Who comes with an invite may bring in only the key that it proved to have, and not past the invite's end.
 */
import type { NodeId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import type { ClientRequest, Effects, Input, KeyOffer, Reply } from "../../core/wire/kernel.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import { refusal } from "../../core/wire/ops.ts";
import type { Refused, Response } from "../../core/wire/requests.ts";
import type { Principal } from "../../core/wire/security.ts";
import type { Login } from "../clients.ts";
import { inspect } from "../inspect.ts";
import type { Machine } from "../machine.ts";
import { authorityOf, drawHex, Keyring } from "./keyring.ts";

/** A generation's secret on its way from one host to another. */
export interface Given {
  readonly generation: number;
  readonly secret: string;
}

/** Sees what hosts do with secrets, and each step of a node; `before`: its view before the step. */
export interface HostWatcher {
  received(machine: Machine, given: Given): void;
  made(machine: Machine, given: Given): void;
  judged(machine: Machine, input: Input, effects: Effects, before: SystemView): void;
}

/** What hosts ask of the world they are in. */
export interface HostWorld {
  readonly now: number;
  readonly machines: readonly Machine[];
  machine(id: NodeId): Machine | undefined;
  schedule(time: number, action: () => void): void;
  /** Hands an input to a running machine after this event. */
  input(machine: Machine, input: Input): void;
  send(from: Machine, to: Machine, given: readonly Given[]): void;
  /** Breaks the connection between two, and both notice. */
  disconnect(one: Machine, other: Machine): void;
  /** Who is at the other end of a client's connection. */
  loginOf(connection: number): Login | undefined;
}

/** Milliseconds since 1970 at virtual time 0, by a clock that is right. */
export const EPOCH_MS = 1_760_000_000_000;

/** Making a secret takes up to this long, and so does telling of it once it is written down; now and then far longer. */
const MAKE_US_MAX = 20_000;
const MAKE_SLOWLY_US_MAX = 1_500_000;
/** Writing anew what an old generation protects takes up to this long, before and after the checkpoint. */
const RENEW_US_MAX = 2_000_000;
/** A secret that was asked for is made once, however often it is asked for meanwhile. */
interface Making {
  readonly life: number;
  readonly generation: number;
}

/** Old keys are being given up for those of `generation`. `checkpoint`: the number of the one that does it; 0: not yet. */
interface Renewal {
  readonly life: number;
  readonly generation: number;
  asked: boolean;
  checkpoint: number;
}

export class Hosts {
  readonly #world: HostWorld;
  readonly #random: Random;
  watcher: HostWatcher | null = null;
  // By machine.
  readonly #views: (SystemView | null)[] = [];
  /** Whether the machine of an index may be connected, as this one's view has it. */
  readonly #standing: Uint8Array[] = [];
  readonly #making: (Making | null)[] = [];
  readonly #renewing: (Renewal | null)[] = [];
  /** Secrets for who was let in, by connection. */
  readonly #admissions = new Map<number, readonly Given[]>();

  constructor(world: HostWorld, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  /** Gives a machine an identity of its own. */
  equip(machine: Machine): Keyring {
    return machine.keyring ??= new Keyring(this.#random.fork(`identity ${machine.id}`));
  }

  /** Drawn for a generation that is made for the first time. */
  drawSecret(): string {
    return drawHex(this.#random, 64);
  }

  // ---- a node's life

  /** What the host steps right after "start". */
  started(machine: Machine): Input | null {
    const view = inspect(machine.kernel)?.view() ?? null;
    this.#making[machine.index] = null;
    this.#renewing[machine.index] = null;
    if (view === null) return null;
    this.#look(machine, view);
    this.equip(machine).reconcile(view);
    this.#renew(machine, view);
    return this.#keysOf(machine, view);
  }

  /** After each step, before anything else happens with its effects. */
  stepped(machine: Machine, input: Input, effects: Effects): void {
    const view = inspect(machine.kernel)?.view();
    if (view === undefined) return;
    const before = this.#views[machine.index] ?? view;
    // At a start the keys are told by themselves, see started().
    if (input.kind === "start") return;
    this.watcher?.judged(machine, input, effects, before);
    if (view !== before) this.#viewChanged(machine, view);
    this.#renewed(machine, input, effects);
    for (const offer of effects.keyOffers) this.#offer(machine, offer, view);
    if (effects.makeKey !== null) this.#make(machine, effects.makeKey);
    for (const { client, response } of effects.replies) {
      if (response.kind === "joined") this.#admit(machine, client, response);
    }
  }

  #viewChanged(machine: Machine, view: SystemView): void {
    const standing = this.#standing[machine.index] ?? new Uint8Array(0);
    const keyring = this.equip(machine), before = keyring.identity(this.#views[machine.index] ?? view);
    this.#look(machine, view);
    const now = this.#standing[machine.index]!;
    for (let i = 0; i < standing.length; i++) {
      if (standing[i] === 1 && now[i] !== 1) this.#world.disconnect(machine, this.#world.machines[i]!);
    }
    keyring.reconcile(view);
    const { holds, uses } = keyring.identity(view);
    if (holds !== before.holds || uses !== before.uses) {
      this.#world.input(machine, this.#keysOf(machine, view));
    }
    this.#renew(machine, view);
  }

  #look(machine: Machine, view: SystemView): void {
    const { machines } = this.#world, known = this.#views[machine.index];
    const same = known?.members === view.members && this.#standing[machine.index]?.length === machines.length;
    this.#views[machine.index] = view;
    if (same) return;
    const standing = new Uint8Array(machines.length);
    for (const { id, state, identity } of view.members) {
      const other = this.#world.machine(id);
      const isKnown = other?.keyring != null && other.keyring.key === identity?.key;
      if (isKnown && state !== "evicted") standing[other.index] = 1;
    }
    this.#standing[machine.index] = standing;
  }

  #keysOf(machine: Machine, view: SystemView): Input {
    const { holds, uses, statement } = this.equip(machine).identity(view);
    return { kind: "keys", holds, uses, statement };
  }

  // ---- connections between members

  /** H1, for one end. Between two that run, both are asked. */
  trusts(machine: number, other: number): boolean {
    const standing = this.#standing[machine];
    return standing !== undefined && standing[other] === 1;
  }

  // ---- secrets

  /** H2. */
  #offer(machine: Machine, { to, ids }: KeyOffer, view: SystemView): void {
    const receiver = this.#world.machine(to);
    if (receiver === undefined || receiver === machine || !this.trusts(machine.index, receiver.index)) return;
    const given = this.#listed(machine, view).filter(({ generation }) => ids.includes(generation));
    if (given.length > 0) this.#world.send(machine, receiver, given);
  }

  /** What it has of what the view knows. */
  #listed(machine: Machine, { security }: SystemView): Given[] {
    const keyring = this.equip(machine);
    return (security?.keys ?? []).flatMap((key) =>
      keyring.has(key) ? [{ generation: key.id, secret: keyring.secret(key.id)! }] : []
    );
  }

  /** Secrets of another host have arrived. */
  received(machine: Machine, from: Machine, given: readonly Given[]): void {
    for (const each of given) this.watcher?.received(machine, each);
    if (!this.trusts(machine.index, from.index)) return;
    const view = this.#views[machine.index]!;
    this.keep(machine, given, view);
    this.#world.input(machine, this.#keysOf(machine, view));
    this.#renew(machine, view);
  }

  keep(machine: Machine, given: readonly Given[], { security }: SystemView): void {
    const keyring = this.equip(machine);
    for (const { generation, secret } of given) {
      const known = security?.keys.find(({ id }) => id === generation);
      const fits = known !== undefined &&
        Uint8Array.from(known.authority).toHex() === authorityOf(secret).toHex();
      if (fits) keyring.put(generation, secret);
    }
  }

  /** H3. A host that made it before, and did not see it agreed on, says the same again. */
  #make(machine: Machine, generation: number): void {
    const { life, index } = machine, under = this.#making[index];
    if (under?.life === life && under.generation === generation) return;
    this.#making[index] = { life, generation };
    const keyring = this.equip(machine);
    const later = (action: () => void) =>
      this.#world.schedule(this.#world.now + this.#makeUs(), () => {
        if (machine.running && machine.life === life) action();
      });
    later(() => {
      if (keyring.secret(generation) === undefined) {
        keyring.put(generation, this.drawSecret());
        this.watcher?.made(machine, { generation, secret: keyring.secret(generation)! });
      }
      later(() => {
        this.#making[index] = null;
        const secret = keyring.secret(generation);
        // The network may have agreed on another's meanwhile.
        if (secret === undefined) return;
        this.#world.input(machine, { kind: "key-made", id: generation, authority: authorityOf(secret) });
      });
    });
  }

  #makeUs(): number {
    return this.#random.below(this.#random.chance(1, 4) ? MAKE_SLOWLY_US_MAX : MAKE_US_MAX);
  }

  /**
   * Files and certificate come over to the current generation in the background, while the node is up: what is written
   * from now on, the journal with a checkpoint that begins afterwards, and the tables some time after that.
   */
  #renew(machine: Machine, { security }: SystemView): void {
    const current = security?.keys.find(({ state }) => state === "current");
    const keyring = this.equip(machine), { life, index } = machine, under = this.#renewing[index];
    if (current === undefined || keyring.uses >= current.id || !keyring.has(current)) return;
    if (under?.life === life && under.generation === current.id) return;
    const renewal: Renewal = { life, generation: current.id, asked: false, checkpoint: 0 };
    this.#renewing[index] = renewal;
    this.#whileRenewing(machine, renewal, () => {
      renewal.asked = true;
      this.#world.input(machine, { kind: "checkpoint" });
    });
  }

  /** Called with each step: the checkpoint that was asked for begins, and becomes complete. */
  #renewed(machine: Machine, input: Input, { checkpoint }: Effects): void {
    const renewal = this.#renewing[machine.index];
    if (renewal === null || renewal === undefined || !renewal.asked) return;
    if (input.kind === "checkpointed" && renewal.checkpoint === input.checkpoint) {
      this.#whileRenewing(machine, renewal, () => {
        this.equip(machine).uses = renewal.generation;
        this.#renewing[machine.index] = null;
        const view = this.#views[machine.index]!;
        this.#world.input(machine, this.#keysOf(machine, view));
        this.#renew(machine, view);
      });
    }
    if (checkpoint !== null && renewal.checkpoint === 0) renewal.checkpoint = checkpoint.number;
  }

  #whileRenewing(machine: Machine, renewal: Renewal, action: () => void): void {
    this.#world.schedule(this.#world.now + this.#random.below(RENEW_US_MAX + 1), () => {
      if (machine.running && this.#renewing[machine.index] === renewal && machine.life === renewal.life) {
        action();
      }
    });
  }

  // ---- newcomers

  /** What of a client's requests goes on to the core, and on whose behalf; and what is refused before it (H4). */
  screened(
    machine: Machine,
    connection: number,
    asked: readonly ClientRequest[],
  ): { readonly requests: readonly ClientRequest[]; readonly refused: readonly Reply[] } {
    const login = this.#world.loginOf(connection);
    if (login?.who === undefined) return { requests: asked, refused: [] };
    const who: Principal = login.who.kind === "invite"
      ? { ...login.who, nowMs: this.#wallMs(machine) }
      : login.who;
    const requests: ClientRequest[] = [], refused: Reply[] = [];
    for (const request of asked) {
      const response = this.#refusal(machine, who, login.key, request);
      if (response === null) requests.push({ ...request, who });
      else refused.push({ client: connection, id: request.id, response });
    }
    return { requests, refused };
  }

  #refusal(
    machine: Machine,
    who: Principal,
    key: string | undefined,
    { request: { op } }: ClientRequest,
  ): Refused | null {
    if (who.kind === "member") {
      const voucher = this.#world.machine(who.node);
      const trusted = voucher !== undefined && this.trusts(machine.index, voucher.index);
      return trusted ? null : refusal("denied", `Node "${who.node}" is not known with this key`);
    }
    if (who.kind !== "invite" || op.kind !== "join") return null;
    if (op.member.identity?.key !== key) return refusal("denied", "The key that was proved is another");
    const invite = this.#views[machine.index]?.security?.invites.find(({ id }) => id === who.id);
    const isOver = invite !== undefined && invite.expiresMs <= this.#wallMs(machine);
    return isOver ? refusal("denied", `Invite "${who.id}" is over`) : null;
  }

  #wallMs({ clock }: Machine): number {
    return EPOCH_MS + Math.floor(clock.read(this.#world.now) / 1000);
  }

  /** The host that was asked hands over what it has, just before the answer. */
  #admit(machine: Machine, connection: number, { view }: Extract<Response, { kind: "joined" }>): void {
    const login = this.#world.loginOf(connection);
    const admitted = view.members.find(({ identity, state }) =>
      identity?.key === login?.key && state !== "evicted"
    );
    if (login?.key === undefined || admitted === undefined) return;
    this.#admissions.set(connection, this.#listed(machine, view));
  }

  /** What came with the answer to a join. */
  takeAdmission(connection: number): readonly Given[] {
    const given = this.#admissions.get(connection) ?? [];
    this.#admissions.delete(connection);
    return given;
  }

  /** A machine that was let in, with its keyring as it has to be before its first start. */
  prepare(machine: Machine, view: SystemView, given: readonly Given[]): void {
    const keyring = this.equip(machine);
    for (const each of given) this.watcher?.received(machine, each);
    this.keep(machine, given, view);
    const current = view.security?.keys.find(({ state }) => state === "current");
    keyring.uses = current?.id ?? 0;
  }
}
