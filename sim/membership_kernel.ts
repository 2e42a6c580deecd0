import { invariant } from "../core/base/invariant.ts";
import type { Instant } from "../core/base/ids.ts";
import { Membership } from "../core/membership/membership.ts";
import type { NodeOptions } from "../core/node/options.ts";
import { Effects, type Input, type Kernel } from "../core/wire/kernel.ts";

/** A node that is nothing but membership: for measuring it alone, on many nodes. Knows all members from the start. */
export class MembershipKernel implements Kernel {
  readonly membership: Membership;
  readonly #effects = new Effects();

  constructor({ id, address, origin, random }: NodeOptions) {
    const recovered = origin.kind === "recovered" ? origin.recovered : null;
    const view = origin.kind === "recovered" ? origin.recovered.view : origin.view;
    invariant(view !== null, "A node that ran before has a view in its journal");
    if (recovered === null) this.#effects.record({ kind: "view", view });
    this.membership = new Membership({
      self: id,
      address,
      incarnation: recovered === null ? 0 : recovered.incarnation + 1,
      random,
      settings: view.settings,
      peers: view.members.map((member) => ({ node: member.id, address: member.address })),
    });
  }

  step(input: Input, now: Instant): Effects {
    const effects = this.#effects;
    // The first step keeps what the constructor recorded.
    if (input.kind !== "start") effects.clear();
    switch (input.kind) {
      case "start":
      case "wake":
        this.membership.wake(now, effects);
        break;
      case "messages":
        for (const message of input.messages) {
          switch (message.kind) {
            case "ping":
            case "ack":
            case "ping-request":
            case "nack":
            case "push-pull":
              this.membership.handle(input.from, message, now, effects);
              break;
            default:
              effects.note({
                kind: "refused",
                from: input.from,
                message: message.kind,
                why: "no such machine here",
              });
          }
        }
        break;
      case "peer-lost":
        this.membership.peerLost(input.peer, now, effects);
        break;
      case "stop":
        this.membership.leave(now, effects);
        effects.stopped = true;
        break;
      default: // Nothing here waits for disks or clients.
    }
    this.membership.takeChanges();
    return effects;
  }

  nextWake(): Instant {
    return this.membership.nextWake();
  }

  fingerprint(): number {
    return this.membership.fingerprint();
  }
}
