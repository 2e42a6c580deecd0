/**
 * Whether the disks of real nodes hold what the catalog says and nothing else. Time is made to pass: what nobody owns is
 * dated back beyond the orphan age, and segments that were being written when their writer died are given up.
 */
import { join } from "node:path";
import { prefixEnd } from "../../../core/base/bytes.ts";
import type { PartitionId } from "../../../core/base/ids.ts";
import { parseFragment } from "../../../core/objects/fragment.ts";
import { decodeSegmentRecord } from "../../../core/objects/registry.ts";
import type { Client } from "../../../cli/client/client.ts";
import { folderName, parseFileName, parseFolderName } from "../../../cli/host/chunks/names.ts";
import type { StoredFragment } from "../../../sim/objects/chunk_disk.ts";
import { type ObjectRow, type Shelf, type SpaceReport, spaceReport } from "../../../sim/objects/space.ts";
import type { NodeProcess } from "../processes.ts";
import type { Reach } from "../reach.ts";

const KINDS = [..."bfgmopsuv"].map((letter) => `\u0001${letter}`);
const POLL_MS = 500;
const ORPHAN_AGE_MS = 3_600_000;

/**
 * Waits until each node says that nothing is missing, and all was looked at. null, or what is not so in time. `tidy`: nothing
 * is surplus, too; what could not be handed over at once waits for the next look, which may be some minutes away.
 */
export async function untilMended(
  reach: Reach,
  { msMax, tidy }: { readonly msMax: number; readonly tidy: boolean },
): Promise<string | null> {
  const giveUp = performance.now() + msMax;
  for (let missing = "no answer";;) {
    try {
      using client = await reach.connect();
      missing = await whatIsNotMended(client, tidy) ?? "";
    } catch (error) {
      missing = error instanceof Error ? error.message : String(error);
    }
    if (missing === "") return null;
    if (performance.now() > giveUp) return missing;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

async function whatIsNotMended(client: Client, tidy: boolean): Promise<string | null> {
  const { view } = await client.layout();
  for (const { id, state } of view.members) {
    if (state !== "active") continue;
    const { missing, lost, looked, surplus } = (await client.status(id)).chunks;
    if (missing > 0 || lost > 0 || (tidy && surplus > 0) || !looked) {
      return `${id} has ${missing} fragments missing, ${lost} lost, ${surplus} surplus${
        looked ? "" : ", and has not looked yet"
      }`;
    }
  }
  return null;
}

/** What disks and catalog say of each other now. */
export async function auditSpace(reach: Reach, nodes: readonly NodeProcess[]): Promise<SpaceReport> {
  using client = await reach.connect();
  const rows = await objectRows(client), { view } = await client.layout();
  const shelves: Shelf[] = [];
  for (const { id, address } of view.members) {
    const node = nodes.find((each) => each.address === address);
    if (node === undefined) continue;
    const files = [...filesOf(node)];
    shelves.push({ node: id, chunks: { sorted: () => files } });
  }
  return spaceReport(rows, view, shelves);
}

function* filesOf({ data }: NodeProcess): Generator<Pick<StoredFragment, "fragment" | "length" | "harm">> {
  for (const { path, fragment } of fragmentFiles(data)) {
    const bytes = Deno.readFileSync(path);
    const harm = parseFragment(bytes, fragment) === null ? { kind: "rot" as const, at: 0 } : null;
    yield { fragment, length: bytes.length, harm };
  }
}

function* fragmentFiles(data: string) {
  const chunks = join(data, "chunks");
  for (const folder of Deno.readDirSync(chunks)) {
    const partition = parseFolderName(folder.name);
    if (partition === null) throw new Error(`"${folder.name}" in "${chunks}" is no partition's folder`);
    for (const { name } of Deno.readDirSync(join(chunks, folderName(partition)))) {
      const fragment = parseFileName(partition, name);
      if (fragment !== null) yield { path: join(chunks, folderName(partition), name), fragment };
    }
  }
}

/** As if each were written longer ago than what nobody owns is kept. Only while no node runs that looks at it. */
export function dateBack(nodes: readonly NodeProcess[]): void {
  const then = new Date(Date.now() - 2 * ORPHAN_AGE_MS);
  for (const { data } of nodes) {
    for (const { path } of fragmentFiles(data)) Deno.utimeSync(path, then, then);
  }
}

/** As if the time had come at which segments go that nobody keeps alive. Their number. */
export async function endPending(reach: Reach): Promise<number> {
  using client = await reach.connect();
  let ended = 0;
  for (const { key, value } of await objectRows(client)) {
    if (key[1] !== "s" || !decodeSegmentRecord(value).pending) continue;
    const remove = { kind: "delete", key } as const;
    const response = await client.request({
      kind: "transact",
      conditions: [],
      then: [remove],
      otherwise: [],
    });
    if (response.kind !== "transacted") throw new Error(`A pending segment stays: ${response.kind}`);
    ended++;
  }
  return ended;
}

async function objectRows(client: Client): Promise<ObjectRow[]> {
  const { view } = await client.layout(), rows: ObjectRow[] = [];
  for (let partition = 1; partition <= view.settings.partitions; partition++) {
    for (const kind of KINDS) await readSpan(client, partition as PartitionId, kind, rows);
  }
  return rows;
}

async function readSpan(
  client: Client,
  partition: PartitionId,
  kind: string,
  rows: ObjectRow[],
): Promise<void> {
  for (let start: string | null = kind; start !== null;) {
    const response = await client.request({
      kind: "range",
      start,
      end: prefixEnd(kind),
      limit: 500,
      reverse: false,
      keysOnly: false,
      read: "linearizable",
      partition,
    });
    if (response.kind !== "values") {
      throw new Error(
        `Rows are not told: ${response.kind === "refused" ? response.message : response.kind}`,
      );
    }
    for (const { key, value } of response.items) {
      rows.push({ partition: partition as PartitionId, key, value: value ?? new Uint8Array(0) });
    }
    start = response.next;
  }
}
