import type { Client } from "./client/client.ts";

/**
 * True when the network is as its layout says: each partition's leader is the preferred one, and its voters are the
 * layout's replicas. Until then a partition may have fewer voters than it will, and stand a loss less well.
 */
export async function isSettled(client: Client): Promise<boolean> {
  const { view, leaders } = await client.layout();
  if (
    !view.assignment.every((replicas, partition) => replicas.length > 0 && leaders[partition] === replicas[0])
  ) {
    return false;
  }
  if (view.members.some(({ state }) => state === "joining")) return false;
  for (const leader of new Set(leaders)) {
    const status = await client.status(leader!);
    for (const { partition, role, voters, learners } of status.replicas) {
      if (role !== "leader") continue;
      const wanted = view.assignment[partition] ?? [];
      if (learners.length > 0 || voters.length !== wanted.length) return false;
      if (!wanted.every((node) => voters.includes(node))) return false;
    }
  }
  return true;
}

/** @throws {Error} when the network is not settled with `members` active members within `msMax` */
export async function untilSettled(
  client: Client,
  { members, msMax }: { members: number; msMax: number },
): Promise<void> {
  for (const giveUp = performance.now() + msMax;;) {
    const { view } = await client.layout();
    const active = view.members.filter(({ state }) => state === "active").length;
    if (active === members && await isSettled(client)) return;
    if (performance.now() > giveUp) {
      throw new Error(`The network of ${members} nodes did not settle within ${msMax / 1000} s`);
    }
    await new Promise((done) => setTimeout(done, 20));
  }
}
