import { unreachable } from "../../core/base/invariant.ts";
import type { Random } from "../../core/base/random.ts";
import { drawn, type FaultOf, type FaultStage } from "../fault_stage.ts";
import type { Machine } from "../machine.ts";
import { happens } from "../network.ts";
import { type AccessBook, type Held, loginOf } from "./access.ts";
import { INTRUSIONS } from "./admission.ts";
import { leadsSystem } from "./sentinel.ts";

export type SecurityFault = FaultOf<
  "evict" | "rotate-keys" | "invite" | "intrude" | "access-set" | "access-drop"
>;

/** A client whose key was revoked gets another after this long. */
const REGRANT_US = 2_000_000;

/** What operators do to a private network, and strangers try. */
export class SecurityFaults {
  readonly #stage: FaultStage;
  readonly #access: AccessBook | null;

  constructor(stage: FaultStage, access: AccessBook | null) {
    this.#stage = stage;
    this.#access = access;
  }

  strike(fault: SecurityFault, random: Random): void {
    const { cluster } = this.#stage;
    switch (fault.do) {
      case "evict":
        return this.#evict(fault, random);
      case "rotate-keys":
        // Refused while another generation is being introduced.
        cluster.ask({ kind: "keys-rotate" }, () => {});
        return this.#stage.note("rotate-keys", []);
      case "invite":
        return this.#invite(fault);
      case "intrude":
        cluster.admission!.intrude(random.pick(INTRUSIONS));
        return this.#stage.note("intrude", []);
      case "access-set":
        return this.#changeRights(random);
      case "access-drop":
        return this.#revoke(random);
      default:
        return unreachable(fault);
    }
  }

  /** Who is to be evicted counts as lost from the moment the operator asks. Its machine runs on, or stops when it is out. */
  #evict(fault: FaultOf<"evict">, random: Random): void {
    const { cluster, world } = this.#stage;
    const hurt = (machine: Machine): boolean => {
      if (machine.draining || (fault.system && !leadsSystem(machine))) return false;
      machine.retired = true;
      const stops = happens(random, fault.stops), after = drawn(fault.after, random);
      cluster.evict(machine, happens(random, fault.force), (evicted) => {
        if (!evicted) machine.retired = false;
        else if (stops) cluster.later(after, () => world.crash(machine, false));
      });
      return true;
    };
    const machines = this.#stage.victims(fault, random, { latent: false, hurt });
    if (machines.length > 0) this.#stage.note("evict", machines);
  }

  #invite(fault: FaultOf<"invite">): void {
    const { cluster } = this.#stage, machines: Machine[] = [];
    for (let i = 0; i < fault.joiners; i++) {
      const machine = cluster.takeSpare();
      if (machine !== null) machines.push(machine);
    }
    if (machines.length === 0) return;
    cluster.admission!.takeIn(machines, { uses: fault.uses, ttlMs: Math.ceil(fault.ttl / 1000) });
    this.#stage.note("invite", machines);
  }

  #changeRights(random: Random): void {
    const held = this.#pick(random, "worker");
    if (held === null) return;
    const access = held.key = { ...held.key, rights: this.#access!.drawRights() };
    this.#stage.cluster.ask({ kind: "access-set", access }, () => {});
    this.#stage.note("access-set", []);
  }

  /** Its client goes on with it for a while, in vain, and is given another one then. */
  #revoke(random: Random): void {
    const held = this.#pick(random, null), { cluster } = this.#stage;
    if (held === null) return;
    cluster.ask({ kind: "access-drop", id: held.key.id }, () => {
      cluster.later(random.below(REGRANT_US), () => {
        const access = held.key = this.#access!.drawKey(held.kind);
        cluster.ask({ kind: "access-set", access }, () => held.holder.relogin(loginOf(access.id)));
      });
    });
    this.#stage.note("access-drop", []);
  }

  #pick(random: Random, kind: Held["kind"] | null): Held | null {
    const held = (this.#access?.held ?? []).filter((each) => kind === null || each.kind === kind);
    return held.length === 0 ? null : random.pick(held);
  }
}
