/** Data directories as a crash could have left them, made record by record. */
import { join } from "node:path";
import { DataDirectory } from "../../../cli/host/directory.ts";
import { JournalFiles } from "../../../cli/host/journal.ts";
import { NO_KEYS, type TablesKeys, vaultOf } from "../../../cli/host/tables/keys.ts";
import { DiskTables } from "../../../cli/host/tables/tables.ts";
import { EMPTY_BYTES } from "../../../core/base/bytes.ts";
import type { Row } from "../../../core/base/ports.ts";
import { Catalog } from "../../../core/catalog/catalog.ts";
import {
  type Instant,
  type LogIndex,
  type NodeId,
  nodeId,
  type PartitionId,
  SYSTEM_PARTITION,
  type Term,
} from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../../core/base/limits.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import { System } from "../../../core/system/system.ts";
import type { JournalRecord } from "../../../core/wire/kernel.ts";
import type { SystemView } from "../../../core/wire/messages.ts";

export const DISK = "d".repeat(16);
const [TERM, BASE] = [1 as Term, 5 as LogIndex];

/** The first view of a network of these nodes, with one data partition. */
export function viewOf(names: readonly string[], settings: Partial<Settings> = {}): SystemView {
  const members = names.map((name) => ({
    id: nodeId(name),
    address: "127.0.0.1:1",
    zone: "",
    capacity: 100,
    state: "active" as const,
    disk: DISK,
  }));
  return genesisView({
    network: "0".repeat(32),
    settings: { ...DEFAULT_SETTINGS, partitions: 1, ...settings },
    members,
  });
}

/** Term and vote of a replica, and a log that begins after entry 5, where its state is to be in the tables. */
export function replicaAt(partition: number, ...voters: NodeId[]): JournalRecord[] {
  const of = { partition: partition as PartitionId, term: TERM };
  const configuration = { voters, outgoing: [], learners: [] };
  return [
    { kind: "vote", ...of, votedFor: null },
    { kind: "base", ...of, index: BASE, configuration, configurationIndex: BASE },
  ];
}

export interface Left {
  readonly view: SystemView;
  readonly records: readonly JournalRecord[];
  /** Partitions of which the tables hold a state up to entry 5; null: there are no tables. */
  readonly tables: readonly number[] | null;
  /** What journal and tables are encrypted with. */
  readonly keys?: TablesKeys;
}

/** Makes the directory of `name` within `parent` and returns its path. */
export async function leave(
  parent: string,
  name: string,
  { view, records, tables, keys = NO_KEYS }: Left,
): Promise<string> {
  const path = join(parent, name);
  const directory = DataDirectory.open(path);
  directory.writeIdentity({
    node: nodeId(name),
    network: view.network,
    zone: "",
    capacity: 100,
    founder: true,
    private: false,
    disk: DISK,
    started: true,
    peers: [],
    formerly: null,
    aside: null,
  });
  const { journal } = JournalFiles.open({
    directory: path,
    node: nodeId(name),
    vault: () => vaultOf(keys),
    events: {
      durable: () => {},
      failed: (error) => {
        throw error;
      },
    },
  });
  journal.append([{ kind: "view", view }, ...records], 1 + records.length);
  journal.commit();
  await journal.close();
  if (tables !== null) await withTables(path, (opened) => tables.forEach((p) => fill(opened, p, view)), keys);
  directory.close();
  return path;
}

/** Opens the tables in a directory, and keeps what `use` did to them. */
export async function withTables<T>(
  path: string,
  use: (tables: DiskTables) => T,
  keys: TablesKeys = NO_KEYS,
): Promise<T> {
  const tables = new DiskTables({
    path: join(path, "tables"),
    keys,
    failed: (error) => {
      throw error;
    },
  });
  const result = use(tables);
  tables.endStep(0);
  await tables.checkpoint(0);
  await tables.close();
  return result;
}

/** Of a node that does not run. */
export function readAllRows(path: string): Promise<Row[]> {
  return withTables(path, (tables) => [...tables.range({ start: null, end: null })]);
}

function fill(tables: DiskTables, partition: number, view: SystemView): void {
  const machine = partition === SYSTEM_PARTITION
    ? new System({ tables, initial: view })
    : new Catalog({ partition: partition as PartitionId, tables });
  const entries = Array.from({ length: BASE }, (_, i) => ({
    term: TERM,
    index: i + 1 as LogIndex,
    kind: "noop" as const,
    data: EMPTY_BYTES,
  }));
  machine.apply(entries, 0 as Instant, () => {});
}
