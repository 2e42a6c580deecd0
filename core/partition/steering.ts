/**
 * Where a leader steers its partition: toward the replicas that placement wants, then into the hands of the one it
 * prefers. It decides; the replica acts.
 */
import type { Instant, NodeId } from "../base/ids.ts";
import type { Settings } from "../base/limits.ts";
import { nextConfiguration, satisfies } from "../replication/configuration.ts";
import type { Progress } from "../replication/progress.ts";
import type { Leading } from "../replication/leading.ts";
import type { Ledger } from "../replication/ledger.ts";
import type { ReplicaHost } from "./contracts.ts";
import { isJoint } from "../wire/configuration.ts";
import type { Configuration } from "../wire/messages.ts";

/** A follower this many entries behind the commit index counts as caught up: load never lets it be level for long. */
const NEARLY = 64;
/** Attempts to hand over on the way out before the leader carries on as it is. */
const LEAVING_ATTEMPTS_MAX = 3;
/** The same to the preferred replica. With a wait that doubles, these last ten minutes: longer than most bad links do. */
const PREFERRED_ATTEMPTS_MAX = 8;

export type Step =
  | { readonly kind: "reconfigure"; readonly configuration: Configuration }
  | { readonly kind: "hand-over"; readonly to: NodeId };

export interface SteeringOptions {
  readonly self: NodeId;
  readonly settings: Settings;
  readonly ledger: Ledger;
  readonly leading: Leading;
  readonly host: Pick<ReplicaHost, "reachable" | "fit">;
}

export class Steering {
  readonly #options: SteeringOptions;
  #target: readonly NodeId[] = [];
  /** The configuration that was last found to be what the target asks for. */
  #settledAt: Configuration | null = null;
  #leavingAttempts = 0;
  #preferredAttempts = 0;
  #preferredSince: Instant | null = null;
  #reliefAttempts = 0;
  #reliefAt = 0 as Instant;

  constructor(options: SteeringOptions) {
    this.#options = options;
  }

  get target(): readonly NodeId[] {
    return this.#target;
  }

  /** The configuration in force is what the target asks for, and no half of it is on the way out. */
  get settled(): boolean {
    const { effective } = this.#options.ledger.configurations;
    if (this.#settledAt === effective) return true;
    if (isJoint(effective) || (this.#target.length > 0 && !satisfies(effective, this.#target))) return false;
    this.#settledAt = effective;
    return true;
  }

  /** A leadership of this node begins. */
  begin(): void {
    this.#leavingAttempts = 0;
    this.#preferredAttempts = 0;
    this.#preferredSince = null;
    this.#reliefAttempts = 0;
    this.#reliefAt = 0 as Instant;
  }

  aim(target: readonly NodeId[]): void {
    const same = target.length === this.#target.length && target.every((node, i) => node === this.#target[i]);
    if (same) return;
    this.#target = target;
    this.#settledAt = null;
    this.begin();
  }

  /** `node` was away and is back: whatever kept it from taking over may be gone. */
  returned(node: NodeId): void {
    if (this.#target[0] === node) this.#preferredAttempts = 0;
  }

  /** The next step toward the target, with the present configuration committed; null: wait, or all is well. */
  step(): Step | null {
    if (this.settled) return null;
    const { self, ledger } = this.#options;
    const { effective } = ledger.configurations;
    if (
      isJoint(effective) && !effective.voters.includes(self) && this.#leavingAttempts < LEAVING_ATTEMPTS_MAX
    ) {
      const to = this.successor();
      if (to !== null) {
        this.#leavingAttempts++;
        return { kind: "hand-over", to };
      }
    }
    const configuration = nextConfiguration(effective, this.#target, this.#caughtUp);
    return configuration === null ? null : { kind: "reconfigure", configuration };
  }

  /** The preferred replica, once it has been fit to lead for a while; asked each heartbeat. */
  preferred(now: Instant): NodeId | null {
    if (!this.wantsPreferred || !this.#caughtUp(this.#target[0]!)) {
      this.#preferredSince = null;
      return null;
    }
    this.#preferredSince ??= now;
    // Each failure doubles the wait.
    const wait = this.#options.settings.electionTimeoutUsMax * 4 * 2 ** this.#preferredAttempts;
    if (now - this.#preferredSince < wait) return null;
    this.#preferredSince = null;
    this.#preferredAttempts++;
    return this.#target[0]!;
  }

  /** Another replica is preferred as leader, is in sight, and has not failed to take over. */
  get wantsPreferred(): boolean {
    const { self, ledger, host } = this.#options;
    const preferred = this.#target[0];
    return preferred !== undefined && preferred !== self &&
      this.#preferredAttempts < PREFERRED_ATTEMPTS_MAX &&
      ledger.configurations.effective.voters.includes(preferred) && host.reachable(preferred) &&
      host.fit(preferred);
  }

  /** Who is to take over from a leader that is short of space. Each attempt doubles the wait before the next. */
  relief(now: Instant): NodeId | null {
    const to = now < this.#reliefAt ? null : this.successor();
    if (to === null) return null;
    // Between two attempts what was held back meanwhile gets through.
    const wait = this.#options.settings.electionTimeoutUsMax * 2 ** Math.min(++this.#reliefAttempts, 6);
    this.#reliefAt = (now + wait) as Instant;
    return to;
  }

  /** The voter most fit to take over at once: in sight and furthest along, the target's order deciding between equals. */
  successor(): NodeId | null {
    const { self, ledger, leading, host } = this.#options;
    let best: Progress | null = null;
    for (const follower of leading.followers) {
      const { node } = follower;
      if (node === self || !this.#caughtUp(node)) continue;
      if (!ledger.configurations.effective.voters.includes(node) || !host.fit(node)) continue;
      if (
        best === null || follower.match > best.match ||
        (follower.match === best.match && this.#rank(node) < this.#rank(best.node))
      ) best = follower;
    }
    return best?.node ?? null;
  }

  #rank(node: NodeId): number {
    const at = this.#target.indexOf(node);
    return at < 0 ? this.#target.length : at;
  }

  /**
   * A learner that is to vote must have the entry that made it one: then no word of an older configuration, without it,
   * can make it drop its log any more, and it can vote.
   */
  readonly #caughtUp = (node: NodeId): boolean => {
    const { self, ledger, leading, host } = this.#options;
    if (node === self) return true;
    const progress = leading.progressOf(node);
    return progress !== null && progress.state === "replicate" && host.reachable(node) &&
      progress.match + NEARLY >= ledger.commit &&
      progress.match >= ledger.configurations.effectiveIndex;
  };
}
