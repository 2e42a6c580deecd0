import type { Instant } from "../../core/base/ids.ts";
import { Node } from "../../core/node/node.ts";
import type { NodeOptions } from "../../core/node/options.ts";
import type { Effects, Input } from "../../core/wire/kernel.ts";
import type { InspectableKernel, InspectableSlot } from "../../sim/inspect.ts";

/** The real node with a hand on it: subclasses break one thing. */
export class BrokenNode implements InspectableKernel {
  readonly node: Node;

  constructor(options: NodeOptions) {
    this.node = new Node(options);
  }

  step(input: Input, now: Instant): Effects {
    return this.node.step(input, now);
  }
  nextWake(): Instant {
    return this.node.nextWake();
  }
  fingerprint(): number {
    return this.node.fingerprint();
  }
  view(): ReturnType<InspectableKernel["view"]> {
    return this.node.view();
  }
  replicas(): readonly InspectableSlot[] {
    return this.node.replicas();
  }
  get membership(): InspectableKernel["membership"] {
    return this.node.membership;
  }
}
