/**
 * How a node keeps up with what the system partition agrees on. Membership's probes carry the version each side has;
 * who has an older one asks whoever showed a newer one, so a new view spreads like gossip and needs no fixed source.
 *
 * L1. The view of a node never goes back to an older version.
 * L2. A view is written to the journal before the node acts on the next input, so that it starts from it again.
 */
import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import type { Membership } from "../membership/membership.ts";
import { findMember } from "../system/system.ts";
import type { Effects } from "../wire/kernel.ts";
import { isFormer, isWhole, sameNetwork } from "../wire/members.ts";
import type { MemberState, MessageOf, SystemView } from "../wire/messages.ts";

const FETCH_AGAIN_US = 200_000;

export interface LayoutOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly membership: Membership;
  readonly view: SystemView;
  /** Called when a newer view was taken over. */
  readonly changed: (view: SystemView, before: SystemView, now: Instant) => void;
}

export class Layout {
  readonly #options: LayoutOptions;
  #view: SystemView;
  #fetchAt: Instant = NEVER;
  /** Who showed a newer version and has not sent it yet. */
  #newer: { readonly version: number; readonly from: NodeId } | null = null;

  constructor(options: LayoutOptions) {
    this.#options = options;
    this.#view = options.view;
  }

  get view(): SystemView {
    return this.#view;
  }

  /** Where this node stands in the view: "outside" when it is not named in it. */
  get state(): MemberState | "outside" {
    return findMember(this.#view, this.#options.self)?.state ?? "outside";
  }

  adopt(view: SystemView, now: Instant): void {
    if (view.version <= this.#view.version) return; // L1
    const before = this.#view;
    this.#view = view;
    this.#options.effects.record({ kind: "view", view }); // L2
    this.#options.effects.note({ kind: "view", version: view.version, epoch: view.epoch });
    this.introduce(now);
    this.#options.changed(view, before, now);
  }

  /** Makes membership watch exactly the members that the view names and that still belong to the network. */
  introduce(now: Instant): void {
    const { membership, self, effects } = this.#options;
    membership.viewVersion = this.#view.version;
    for (const member of this.#view.members) {
      if (member.id === self) continue;
      if (isFormer(member.state)) membership.forget(member.id);
      else membership.add(member.id, member.address, now, effects);
    }
  }

  handleGet(from: NodeId, { version }: MessageOf<"layout-get">): void {
    if (this.#view.version > version) {
      this.#options.effects.send(from, { kind: "layout-is", view: this.#view });
    }
  }

  handleLayout(from: NodeId, { view }: MessageOf<"layout-is">, now: Instant): void {
    if (view.network !== this.#view.network) {
      const why = "It tells the layout of another network";
      return this.#options.effects.note({ kind: "refused", from, message: "layout-is", why });
    }
    if (!isWhole(view) || !sameNetwork(view, this.#view)) {
      const why = "Its parts do not fit together";
      return this.#options.effects.note({ kind: "refused", from, message: "layout-is", why });
    }
    this.adopt(view, now);
  }

  /** Asks for a newer view where membership has heard of one. Called at the end of each step. */
  fetch(now: Instant): void {
    const heard = this.#options.membership.takeNewerView();
    if (heard !== null) this.#newer = heard;
    const newer = this.#newer;
    if (newer === null || newer.version <= this.#view.version) {
      this.#newer = null;
      this.#fetchAt = NEVER;
      return;
    }
    if (this.#fetchAt !== NEVER && now < this.#fetchAt) return;
    this.#fetchAt = after(now, FETCH_AGAIN_US);
    this.#options.effects.send(newer.from, { kind: "layout-get", version: this.#view.version });
  }

  nextWake(): Instant {
    return this.#fetchAt;
  }
}
