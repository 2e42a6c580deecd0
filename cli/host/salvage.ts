/** What `space-opera recover` reads from and writes to the data directories of nodes that do not run. */
import { join } from "node:path";
import type { PartitionId } from "../../core/base/ids.ts";
import { SYSTEM_PARTITION } from "../../core/base/ids.ts";
import { Catalog } from "../../core/catalog/catalog.ts";
import { type RecoveryPlan, recoveryRecords, surveyed, type Survivor } from "../../core/node/salvage.ts";
import { NOWHERE } from "../../core/partition/recovery.ts";
import { System } from "../../core/system/system.ts";
import type { Recovered } from "../../core/wire/kernel.ts";
import { isFormer } from "../../core/wire/members.ts";
import { DataDirectory, type NodeIdentity } from "./directory.ts";
import { JournalFiles } from "./journal.ts";
import { NO_KEYS, type TablesKeys, vaultOf } from "./tables/keys.ts";
import { DiskTables, disownTables } from "./tables/tables.ts";
import { statOf } from "./stat.ts";

interface Opened {
  readonly directory: DataDirectory;
  readonly identity: NodeIdentity;
  readonly journal: JournalFiles;
  readonly recovered: Recovered;
  /** Resolves when all that was appended is durable. */
  sync(): Promise<void>;
}

/**
 * What the node that lived in the directory still has. `keys`: those of its keyring, where its network has some.
 * @throws {Error} when no node has, when one runs there, or when its journal is lost or damaged
 */
export function survey(path: string, keys: TablesKeys = NO_KEYS): Promise<Survivor> {
  return withDirectory(path, keys, async ({ directory, identity, recovered }) => {
    if (!directory.hasTables) return surveyed(identity.node, recovered, () => NOWHERE);
    const tables = tablesIn(directory, { keys, owner: identity, failed: () => {} });
    try {
      const applied = (partition: PartitionId) => {
        const system = partition === SYSTEM_PARTITION;
        const machine = system ? new System({ tables, initial: null }) : new Catalog({ partition, tables });
        return { index: machine.appliedIndex, term: machine.appliedTerm };
      };
      return surveyed(identity.node, recovered, applied);
    } finally {
      await tables.abandon();
    }
  });
}

/**
 * Carries out this node's part of a plan. The journal first, then node.json: in between the node does not start, and a
 * second call completes it (V7 in core/node/salvage.ts). False: it had been done before.
 * @throws {Error} when the directory is in use or not as the plan was made for
 */
export function applyRecovery(
  path: string,
  plan: RecoveryPlan,
  keys: TablesKeys = NO_KEYS,
): Promise<boolean> {
  return withDirectory(path, keys, async ({ directory, identity, journal, recovered, sync }) => {
    if (identity.network === plan.network) return false;
    await dropTables(
      directory,
      plan.partitions.filter((p) => p.kind === "begin" && p.node === identity.node),
      keys,
    );
    const records = recoveryRecords(plan, identity.node, recovered);
    if (records.length > 0) {
      journal.append(records, records.length);
      await sync();
    }
    if (directory.hasTables) await disown(directory, keys);
    const peers = plan.view.members
      .filter(({ id, state }) => id !== identity.node && !isFormer(state))
      .map(({ address }) => address);
    directory.writeIdentity({ ...identity, network: plan.network, peers });
    return true;
  });
}

/**
 * What begins anew begins with nothing: the tables may still hold what a replica left that was dropped just before the
 * crash. Done before the journal says that it begins, and so that it can be done twice.
 */
async function dropTables(
  directory: DataDirectory,
  dropped: readonly { readonly partition: PartitionId }[],
  keys: TablesKeys,
): Promise<void> {
  if (dropped.length === 0 || !directory.hasTables) return;
  const failed = Promise.withResolvers<void>();
  const tables = tablesIn(directory, { keys, owner: null, failed: (error) => failed.reject(error) });
  try {
    for (const { partition } of dropped) {
      const system = partition === SYSTEM_PARTITION;
      (system ? new System({ tables, initial: null }) : new Catalog({ partition, tables })).drop();
    }
    tables.endStep(0);
    await Promise.race([tables.checkpoint(0), failed.promise]);
  } finally {
    await tables.abandon();
  }
}

/** What an older build left is taken over first. */
function tablesIn(
  { tables, legacyTables }: DataDirectory,
  options: {
    readonly keys: TablesKeys;
    readonly owner: NodeIdentity | null;
    readonly failed: (error: Error) => void;
  },
): DiskTables {
  return new DiskTables({ path: tables, legacy: legacyTables, ...options });
}

async function disown(directory: DataDirectory, keys: TablesKeys): Promise<void> {
  await tablesIn(directory, { keys, owner: null, failed: () => {} }).abandon();
  disownTables(directory.tables, keys);
}

async function withDirectory<T>(
  path: string,
  keys: TablesKeys,
  use: (opened: Opened) => Promise<T>,
): Promise<T> {
  if (statOf(join(path, "node.json")) === null) {
    throw new Error(`No node has lived in "${path}": it has no node.json. Name a node's data directory`);
  }
  const directory = DataDirectory.open(path);
  try {
    const identity = directory.identity()!;
    if (identity.aside !== null || !directory.hasJournal) {
      throw new Error(
        `Node "${identity.node}" in "${path}" has lost its journal, and with it what it had promised: it cannot help to ` +
          `recover the network. Leave it out`,
      );
    }
    const durable = Promise.withResolvers<void>(), vault = vaultOf(keys);
    durable.promise.catch(() => {});
    const { journal, recovered } = JournalFiles.open({
      directory: path,
      node: identity.node,
      vault: () => vault,
      events: {
        durable: () => durable.resolve(),
        failed: (error) => durable.reject(error),
      },
    });
    try {
      if (recovered === null) throw new Error(`The journal in "${path}" is empty. Leave the node out`);
      const sync = () => {
        journal.commit();
        return durable.promise;
      };
      return await use({ directory, identity, journal, recovered, sync });
    } finally {
      await journal.close();
    }
  } finally {
    directory.close();
  }
}
