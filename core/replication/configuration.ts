import type { LogIndex, NodeId } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import type { Configuration } from "../wire/messages.ts";
import { isJoint } from "../wire/configuration.ts";

/**
 * The configurations that a log speaks of, from the one in force at its base to the newest, which is in force at once
 * (Raft section 6: a server uses the latest configuration in its log, committed or not).
 */
export class ConfigurationHistory {
  readonly #indexes: LogIndex[] = [];
  readonly #configurations: Configuration[] = [];
  // The last of each, which every step asks for.
  #effective: Configuration;
  #effectiveIndex: LogIndex;

  constructor(index: LogIndex, configuration: Configuration) {
    this.#indexes.push(index);
    this.#configurations.push(configuration);
    this.#effective = configuration;
    this.#effectiveIndex = index;
  }

  get effective(): Configuration {
    return this.#effective;
  }

  get effectiveIndex(): LogIndex {
    return this.#effectiveIndex;
  }

  /** The configuration in force at `index`, and the entry that brought it. */
  at(index: LogIndex): { readonly index: LogIndex; readonly configuration: Configuration } {
    let i = this.#indexes.length - 1;
    while (i > 0 && this.#indexes[i]! > index) i--;
    return { index: this.#indexes[i]!, configuration: this.#configurations[i]! };
  }

  add(index: LogIndex, configuration: Configuration): void {
    invariant(index > this.effectiveIndex, "Configurations come in the order of the log");
    this.#add(index, configuration);
  }

  /** Forgets what entries from `from` on brought. True if something was forgotten. */
  truncate(from: LogIndex): boolean {
    const before = this.#indexes.length;
    while (this.#indexes.length > 1 && this.#effectiveIndex >= from) {
      this.#indexes.pop();
      this.#configurations.pop();
      this.#effectiveIndex = this.#indexes[this.#indexes.length - 1]!;
      this.#effective = this.#configurations[this.#configurations.length - 1]!;
    }
    return this.#indexes.length < before;
  }

  /** Forgets what was superseded at or before `base`. */
  compact(base: LogIndex): void {
    while (this.#indexes.length > 1 && this.#indexes[1]! <= base) {
      this.#indexes.shift();
      this.#configurations.shift();
    }
  }

  reset(index: LogIndex, configuration: Configuration): void {
    this.#indexes.length = 0;
    this.#configurations.length = 0;
    this.#add(index, configuration);
  }

  #add(index: LogIndex, configuration: Configuration): void {
    this.#indexes.push(index);
    this.#configurations.push(configuration);
    this.#effectiveIndex = index;
    this.#effective = configuration;
  }
}

/**
 * The next configuration on the way from `current`, which is committed, to the replicas in `target`, or null where
 * there is nothing to do yet. Newcomers are learners until all are `caughtUp` (dissertation 4.2.1); then both
 * sets of voters agree together (joint consensus, 4.3), then the new one alone. A change of learners alone changes no
 * majority and needs no joint step.
 */
export function nextConfiguration(
  current: Configuration,
  target: readonly NodeId[],
  caughtUp: (node: NodeId) => boolean,
): Configuration | null {
  if (isJoint(current)) return { voters: current.voters, outgoing: [], learners: current.learners };
  if (target.length === 0) return null;
  const newcomers = target.filter((node) => !current.voters.includes(node));
  if (!sameMembers(newcomers, current.learners)) {
    return { voters: current.voters, outgoing: [], learners: newcomers };
  }
  if (sameMembers(target, current.voters)) return null;
  if (!newcomers.every(caughtUp)) return null;
  // A joint configuration that cannot commit would stop the partition: the new majority must be at hand.
  if (target.filter(caughtUp).length * 2 <= target.length) return null;
  return { voters: [...target], outgoing: current.voters, learners: [] };
}

/** True where `configuration` is what `target` asks for. The order of preference is no part of a configuration. */
export function satisfies(configuration: Configuration, target: readonly NodeId[]): boolean {
  return !isJoint(configuration) && configuration.learners.length === 0 &&
    sameMembers(target, configuration.voters);
}

function sameMembers(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  if (a.length !== b.length) return false;
  for (const node of a) if (!b.includes(node)) return false;
  return true;
}
