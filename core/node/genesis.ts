import type { Epoch } from "../base/ids.ts";
import { LIMITS, type Settings } from "../base/limits.ts";
import { assign } from "../placement/assign.ts";
import type { Member, SystemView } from "../wire/messages.ts";
import type { Security } from "../wire/security.ts";

/**
 * The view with which a network begins. Every founder starts from the same one.
 * @throws {RangeError} when the settings or the members cannot make a network
 */
export function genesisView(
  { network, settings, members, security = null }: {
    network: string;
    settings: Settings;
    members: readonly Member[];
    security?: Security | null;
  },
): SystemView {
  checkSettings(settings);
  if (!/^[0-9a-f]{32}$/.test(network)) {
    throw new RangeError(`A network's name is 32 hexadecimal digits, not "${network}"`);
  }
  if (members.length === 0) throw new RangeError("A network begins with at least one member");
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  return {
    version: 0,
    network,
    settings,
    epoch: 1 as Epoch,
    members: sorted,
    assignment: assign(null, sorted, settings),
    security,
  };
}

/** @throws {RangeError} naming the first setting that is out of bounds */
export function checkSettings(s: Settings): void {
  const within = (name: keyof Settings, low: number, high: number) => {
    const value = s[name];
    if (!Number.isSafeInteger(value) || Number(value) < low || Number(value) > high) {
      throw new RangeError(`Setting ${name} is an integer from ${low} to ${high}, not ${value}`);
    }
  };
  within("partitions", 1, LIMITS.partitionsMax);
  if ((s.partitions & (s.partitions - 1)) !== 0) {
    throw new RangeError(`Setting partitions is a power of two, not ${s.partitions}`);
  }
  within("replicas", 1, 7);
  within("systemReplicas", 1, 7);
  within("heartbeatUs", 1_000, 10_000_000);
  within("electionTimeoutUsMin", s.heartbeatUs * 3, 60_000_000);
  within("electionTimeoutUsMax", s.electionTimeoutUsMin + s.heartbeatUs, 120_000_000);
  within("probeTimeoutUs", 1_000, 60_000_000);
  within("probeIntervalUs", s.probeTimeoutUs * 2, 120_000_000);
  within("suspicionMultiplier", 1, 100);
  within("pushPullUs", s.probeIntervalUs, 3_600_000_000);
  within("graceUs", s.probeIntervalUs * 2, 24 * 3_600_000_000);
  within("quietAfterUs", s.heartbeatUs, 3_600_000_000);
}
