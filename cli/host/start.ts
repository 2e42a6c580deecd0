import { Keeper } from "./keeper.ts";
import { Lifecycle, type ReadyNode } from "./life/lifecycle.ts";
import type { StartOptions } from "./life/options.ts";
import type { Actor, LocalClient } from "./local_client.ts";

export type { ReadyNode, StartOptions };

export interface RunningNode {
  /** Resolves when it is up for the first time, which trouble with its disk may put off; rejects with `done`. */
  readonly ready: Promise<ReadyNode>;
  /** Resolves when the node has stopped; rejects when it cannot go on and a person has to do something. */
  readonly done: Promise<void>;
  /**
   * A client of the network that asks through this node, in its process; whoever has it closes it, or the node does when it
   * has stopped.
   */
  client(as: Actor): LocalClient;
  /** Hands leadership over, answers what is under way, syncs and closes. Whatever it does now, it ends. */
  stop(): Promise<void>;
}

/**
 * Runs a node on its data directory until it is stopped. Trouble with its disk does not end it: it is down as long as
 * that lasts and comes back by itself.
 * @throws {Error} when the directory cannot be used or the address is taken
 */
export async function startNode(options: StartOptions): Promise<RunningNode> {
  const lifecycle = new Lifecycle(options);
  await lifecycle.listen();
  const done = lifecycle.run();
  const keeper = new Keeper({ requests: lifecycle.client({ kind: "node" }), log: options.log });
  // A node that fails before anyone waits for its end still reports to whoever waits later.
  done.catch(() => {}).finally(() => keeper.stop());
  return {
    ready: lifecycle.ready,
    done,
    client: (as) => lifecycle.client(as),
    stop() {
      lifecycle.stop();
      return done;
    },
  };
}
