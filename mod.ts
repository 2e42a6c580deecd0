/**
 * Space Opera as a library: the client of a network; the core, for hosts of one's own; the simulator's parts.
 *
 * @module
 */

export { Client, connect } from "./cli/client/client.ts";
export type {
  ConnectOptions,
  RangeOptions,
  ReadOptions,
  WatchOptions,
  Written,
} from "./cli/client/client.ts";
export { ConnectError, RequestError } from "./cli/client/errors.ts";
export { prefixEnd } from "./cli/client/keys.ts";
export {
  type KnownMember,
  type Profile,
  ProfileError,
  type ProfileErrorReason,
  readProfile,
  writeProfile,
} from "./cli/client/profile.ts";
export { type WatchBatch, WatchStream } from "./cli/client/watch.ts";

export * from "./core/base/ids.ts";
export { InvariantError } from "./core/base/invariant.ts";
export { DEFAULT_SETTINGS, LIMITS, type Settings } from "./core/base/limits.ts";
export type { KeyRange, Row, Tables, TablesReader, TablesSnapshot } from "./core/base/ports.ts";
export { Random } from "./core/base/random.ts";
export { ClientMachine, type ClientMachineOptions } from "./core/client/client.ts";
export { genesisView } from "./core/node/genesis.ts";
export { Node } from "./core/node/node.ts";
export type { NodeOptions, Origin } from "./core/node/options.ts";
export { assign } from "./core/placement/assign.ts";
export { check } from "./core/placement/check.ts";
export { partitionOf } from "./core/placement/key.ts";
export { plan } from "./core/placement/plan.ts";
export * from "./core/wire/kernel.ts";
export type * from "./core/wire/messages.ts";
export type * from "./core/wire/requests.ts";

export { Run, type RunOptions, type RunResult } from "./sim/run.ts";
export { parseScenario, type Scenario, ScenarioError } from "./sim/scenario.ts";
export { parseSky, type Star } from "./sim/sky.ts";
