/** What a node has to do with the bulk of objects, as the newest view has it. */
import type { Instant, NodeId } from "../base/ids.ts";
import { NEVER } from "../base/ids.ts";
import type { ErasureCoder } from "../base/ports.ts";
import type { Tuning } from "../base/tuning.ts";
import type { Membership } from "../membership/membership.ts";
import { erasureCoder } from "../objects/erasure.ts";
import type { Presence } from "../objects/holders.ts";
import { Objects } from "../objects/objects.ts";
import { Upkeep } from "../objects/upkeep.ts";
import { findMember } from "../system/system.ts";
import type { Effects } from "../wire/kernel.ts";
import type { SystemView } from "../wire/messages.ts";
import type { GetOp, RangeOp, Response } from "../wire/requests.ts";
import { ViewHolders } from "./holders.ts";

export interface BulkOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly tuning: Tuning;
  readonly coder: ErasureCoder | undefined;
  readonly membership: Membership;
  readonly view: () => SystemView;
  readonly low: () => boolean;
  /** From 1, and another in each life of the node. */
  readonly firstNumber: number;
  /** Asks the catalog on this node's own behalf; may call back within the call. */
  readonly read: (
    op: GetOp | RangeOp,
    now: Instant,
    done: (response: Response, now: Instant) => void,
  ) => void;
}

export class Bulk {
  readonly objects: Objects;
  readonly upkeep: Upkeep;
  readonly #options: BulkOptions;
  /** Of the newest view; null: not looked for yet. */
  #holders: ViewHolders | null = null;
  #standing: "active" | "draining" | null;

  constructor(options: BulkOptions) {
    const { self, effects, tuning, view, low, firstNumber, read } = options;
    this.#options = options;
    this.#standing = standingOf(view(), self);
    const { partitions } = view().settings;
    const common = {
      self,
      effects,
      tuning,
      coder: options.coder ?? erasureCoder,
      holders: () => this.#holders ??= new ViewHolders(view()),
      presence: (node: NodeId) => this.#presence(node),
      partitions: () => partitions,
    };
    this.objects = new Objects({
      ...common,
      low,
      takes: () => this.#standing === "active",
      version: () => view().version,
      firstNumber,
    });
    this.upkeep = new Upkeep({ ...common, objects: this.objects, standing: () => this.#standing, read });
    this.objects.listener = this.upkeep;
  }

  viewChanged(view: SystemView, before: SystemView, now: Instant): void {
    const { self } = this.#options;
    this.#holders = null;
    this.#standing = standingOf(view, self);
    if (holdersIn(view, self) !== holdersIn(before, self)) this.upkeep.membersChanged(now);
  }

  nextWake(): Instant {
    return Math.min(NEVER, this.objects.nextWake(), this.upkeep.nextWake()) as Instant;
  }

  #presence(node: NodeId): Presence {
    switch (this.#options.membership.liveness(node)) {
      case "alive":
        return "here";
      case "dead":
      case "left":
        return "away";
      default:
        return "doubtful";
    }
  }
}

function standingOf(view: SystemView, self: NodeId): "active" | "draining" | null {
  const state = findMember(view, self)?.state;
  return state === "active" || state === "draining" ? state : null;
}

/** All that decides who should hold what, as text. */
function holdersIn({ members }: SystemView, self: NodeId): string {
  return members.map(({ id, state, zone, capacity }) => {
    const standing = state === "active" || state === "draining" || id === self ? state : "known";
    return `${id} ${standing} ${capacity} ${zone}`;
  }).join("\n");
}
