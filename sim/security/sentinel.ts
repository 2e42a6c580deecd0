/**
 * Watches a private network from outside: who gets which secret, what clients are answered, and whether what nodes say is
 * agreed on is what they committed. It relies on the ledger, never on a node's word.
 *
 * The rules, as the checks are named:
 *  "secrets stay inside"      No member gets from others the secret of a generation that was wanted after its eviction
 *                             was committed, and nobody evicted knows a generation as it becomes current.
 *  "rights are kept"          What a client asks is answered by the rights that its key has in the view of the node that
 *                             it asks: beyond them with a refusal, at once; within them without one; and of what it
 *                             watches it is told no more than it may read.
 *  "only the invited get in"  Who comes with no invite, one that is over, used up or forged, or a key that was evicted,
 *                             is denied.
 *  "views follow from the log"  Members, invites, rights and generations of keys in each view that a node has are those
 *                             that the ledger makes of what was committed.
 */
import { type NodeId, SYSTEM_PARTITION } from "../../core/base/ids.ts";
import type { Origin } from "../../core/node/options.ts";
import type { ClientRequest, Effects, Input } from "../../core/wire/kernel.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { Response, WatchOp } from "../../core/wire/requests.ts";
import { inspect } from "../inspect.ts";
import type { Machine } from "../machine.ts";
import type { Observer } from "../observer.ts";
import type { Sometimes } from "../sometimes.ts";
import { permits } from "./access.ts";
import type { Given, HostWatcher } from "./hosts.ts";
import { authorityOf } from "./keyring.ts";
import type { Ledger, LedgerEvent } from "./ledger.ts";

export type SecurityCheck =
  | "secrets stay inside"
  | "rights are kept"
  | "only the invited get in"
  | "views follow from the log";

export interface SentinelOptions {
  readonly ledger: Ledger;
  readonly machine: (id: NodeId) => Machine | undefined;
  readonly violate: (check: SecurityCheck, detail: string) => void;
  readonly sometimes: Sometimes;
  /** Clients keep away from it from now on. */
  readonly shun: (machine: Machine) => void;
}

export class Sentinel implements HostWatcher, Observer {
  readonly #options: SentinelOptions;
  /** Which authorities' secrets a machine ever had, by machine and generation. */
  readonly #known = new Map<Machine, Map<number, Set<string>>>();
  /** Machines that made a generation, and what they made. */
  readonly #makers = new Map<number, Map<Machine, string>>();
  /** The current generation when a machine stopped. */
  readonly #stoppedAt = new Map<Machine, number>();
  readonly #evicted: Machine[] = [];
  /** Watches under way, by connection and request. */
  readonly #watches = new Map<string, { readonly access: string; readonly op: WatchOp }>();
  #current = 1;
  /** Access keys with which something was done. */
  readonly #active = new Set<string>();
  answersJudged = 0;
  secretsSeen = 0;

  constructor(options: SentinelOptions) {
    this.#options = options;
    options.ledger.onEvent = (event) => this.#committed(event);
  }

  // ---- secrets

  received(machine: Machine, given: Given): void {
    this.secretsSeen++;
    this.#learned(machine, given);
    const { ledger, violate } = this.#options;
    const evictedAt = ledger.evictedAt(machine.keyring!.key), wantedAt = ledger.wantedAt(given.generation);
    if (evictedAt === undefined || wantedAt === undefined || wantedAt < evictedAt) return;
    violate(
      "secrets stay inside",
      `${machine.id}, evicted at ${evictedAt}, got generation ${given.generation}, wanted at ${wantedAt}`,
    );
  }

  made(machine: Machine, given: Given): void {
    this.#learned(machine, given);
    const makers = this.#makers.get(given.generation) ?? new Map<Machine, string>();
    this.#makers.set(given.generation, makers.set(machine, given.secret));
    if (makers.size > 1) this.#options.sometimes.fire("generation made by two hosts");
  }

  #learned(machine: Machine, { generation, secret }: Given): void {
    let known = this.#known.get(machine);
    if (known === undefined) this.#known.set(machine, known = new Map());
    const authorities = known.get(generation) ?? new Set<string>();
    known.set(generation, authorities.add(authorityOf(secret).toHex()));
  }

  #committed(event: LedgerEvent): void {
    const { sometimes, machine } = this.#options;
    switch (event.kind) {
      case "evicted": {
        const evicted = machine(event.node);
        if (event.rotating) sometimes.fire("evicted amid a rotation");
        if (evicted === undefined) return;
        evicted.evicted = true;
        this.#evicted.push(evicted);
        sometimes.fire("member evicted");
        if (leadsSystem(evicted)) sometimes.fire("leader of the system partition evicted");
        return;
      }
      case "admitted":
        return event.rotating ? sometimes.fire("joiner admitted amid a rotation") : undefined;
      case "used":
        sometimes.fire("generation of keys introduced");
        this.#current = event.generation;
        return this.#used(event.generation);
      case "forgotten":
        return sometimes.fire("generation of keys forgotten");
      default:
    }
  }

  #used(generation: number): void {
    const agreed = this.#options.ledger.authorityOf(generation);
    for (const machine of this.#evicted) {
      this.#options.shun(machine);
      if (!this.#known.get(machine)?.get(generation)?.has(agreed)) continue;
      this.#options.violate(
        "secrets stay inside",
        `${machine.id} was evicted and knows generation ${generation}, which has become current`,
      );
    }
  }

  // ---- Observer

  started(machine: Machine, origin: Origin): void {
    const before = this.#stoppedAt.get(machine);
    if (origin.kind === "recovered" && before !== undefined && before < this.#current) {
      this.#options.sometimes.fire("member was away for a whole rotation");
    }
  }

  stepped(_machine: Machine, _input: Input, effects: Effects): void {
    this.#options.ledger.wrote(effects);
  }

  halted(machine: Machine): void {
    this.#stoppedAt.set(machine, this.#current);
    if (machine.power === "left") return;
    for (const [generation, makers] of this.#makers) {
      const secret = makers.get(machine), agreed = this.#options.ledger.authorityOf(generation);
      const isPending = secret !== undefined && generation > this.#current && agreed === "";
      if (isPending) this.#options.sometimes.fire("maker of a generation crashed before it was agreed on");
    }
  }

  // ---- answers

  judged(machine: Machine, input: Input, effects: Effects, before: SystemView): void {
    if (input.kind === "requests") {
      for (const request of input.requests) this.#judge(machine, request, effects, before);
    }
    const view = inspect(machine.kernel)?.view() ?? before;
    for (const { client, id, response } of effects.replies) {
      if (response.kind === "events") this.#told(`${client} ${id}`, machine, [before, view], response);
    }
    if (view !== before) this.#options.ledger.compare(machine.id, view);
  }

  #judge(
    machine: Machine,
    { client, id, request, who }: ClientRequest,
    effects: Effects,
    view: SystemView,
  ): void {
    if (who?.kind !== "access") return;
    const rights = this.#options.ledger.rightsOf(who.id, view.version), { op } = request;
    const may = rights !== null && permits(rights, op);
    const answer = effects.replies.find((reply) => reply.client === client && reply.id === id)?.response;
    const denied = answer?.kind === "refused" && answer.reason === "denied";
    this.answersJudged++;
    if (may && op.kind === "watch") this.#watches.set(`${client} ${id}`, { access: who.id, op });
    if (rights === null && denied && this.#active.has(who.id)) {
      this.#options.sometimes.fire("access key revoked under load");
    }
    if (may ? !denied : answer?.kind === "refused") {
      if (may) this.#active.add(who.id);
      return;
    }
    const answered = answer === undefined ? "not answered" : `answered ${answer.kind}`;
    this.#options.violate(
      "rights are kept",
      `${machine.id}, with view ${view.version}: a ${op.kind} of ${who.id}, which ${
        may ? "may" : "may not"
      } do it, ` +
        `was ${denied ? "denied" : answered}`,
    );
  }

  #told(
    watch: string,
    machine: Machine,
    views: readonly SystemView[],
    { events }: Extract<Response, { kind: "events" }>,
  ): void {
    const found = this.#watches.get(watch);
    if (found === undefined) return;
    for (const { key } of events) {
      const may = views.some(({ version }) => {
        const rights = this.#options.ledger.rightsOf(found.access, version);
        return rights !== null && permits(rights, { kind: "get", key, read: "linearizable" });
      });
      if (may) continue;
      this.#options.violate(
        "rights are kept",
        `${machine.id}: a watch of ${found.access} was told of "${key}", which it may not read`,
      );
    }
  }
}

export function leadsSystem({ kernel, running }: Machine): boolean {
  const replicas = inspect(running ? kernel : null)?.replicas() ?? [];
  return replicas.some(({ partition, replica }) => partition === SYSTEM_PARTITION && replica.isLeader);
}
