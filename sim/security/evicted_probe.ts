import type { PartitionId } from "../../core/base/ids.ts";
import type { Client, ClientReply, Login } from "../clients.ts";
import { inspect } from "../inspect.ts";
import type { Machine } from "../machine.ts";
import type { World } from "../world.ts";

/**
 * Reads at nodes that were evicted and run on, as a client would that has not heard of it: none of them may answer for
 * the network any more, quiet as it may have lain since.
 */
export class EvictedProbe implements Client {
  readonly #world: World;
  readonly #client: number;
  readonly #asked = new Map<number, { readonly machine: Machine; readonly key: string }>();
  asked = 0;

  constructor(world: World) {
    this.#world = world;
    this.#client = world.addClient(this);
  }

  /** Reads one key of each partition that an evicted node says it leads; `keys` are those that there are. */
  read(keys: Iterable<string>, partitionOf: (key: string) => PartitionId, login: Login): void {
    const keyOf = new Map<PartitionId, string>();
    for (const key of keys) keyOf.set(partitionOf(key), key);
    for (const machine of this.#world.machines.filter((each) => each.evicted && each.running)) {
      for (const { partition, replica } of inspect(machine.kernel)?.replicas() ?? []) {
        const key = keyOf.get(partition);
        if (key === undefined || !replica.isLeader) continue;
        const connection = this.#world.connect(this.#client, machine, { ...login, behind: true });
        const id = ++this.asked;
        this.#asked.set(id, { machine, key });
        this.#world.request(connection, [{
          id,
          request: { op: { kind: "get", key, read: "linearizable" } },
        }]);
      }
    }
  }

  wake(): void {}
  lost(): void {}

  received(_connection: number, replies: readonly ClientReply[]): void {
    for (const { id, response } of replies) {
      const asked = this.#asked.get(id);
      if (asked === undefined || response.kind === "refused") continue;
      const { machine, key } = asked;
      this.#world.violate("the evicted stay out", `${machine.id} was evicted and answers a read of "${key}"`);
    }
  }
}
