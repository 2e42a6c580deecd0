/** Where a node begins: a network of its own, one that takes it in, or its own journal. */
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import type { Origin } from "../../../core/node/options.ts";
import type { Member } from "../../../core/wire/messages.ts";
import type { NodeIdentity } from "../directory.ts";
import { askToJoin, JoinError } from "../join.ts";
import { RejoinError } from "./ending.ts";
import type { StartOptions } from "./options.ts";

const JOIN_MS_MAX = 30_000;
/** Of a node that was rebuilt: it tries for ever, and says so in between. */
const REJOIN_MS_MAX = 3_000;

export type FirstOrigin = Origin & { readonly kind: "genesis" | "joined" };

/** Who the node is, before its directory says so. `network` is null as long as none is known. */
export interface Newcomer extends Pick<NodeIdentity, "node" | "disk" | "formerly"> {
  readonly address: string;
  readonly known: NodeIdentity | null;
  readonly signal: AbortSignal;
}

/**
 * Of a node that starts for the first time, or again before its first record was durable.
 * @throws {JoinError} when a network was named and did not take it in
 * @throws {RejoinError} when a node that was rebuilt was not taken in yet
 */
export async function firstOrigin(options: StartOptions, newcomer: Newcomer): Promise<FirstOrigin> {
  const { node: id, address, disk, known, signal } = newcomer;
  const { join = [] } = options;
  const member: Member = {
    id,
    address,
    zone: known?.zone ?? options.zone ?? "",
    capacity: known?.capacity ?? options.capacity ?? 100,
    state: "active",
    disk,
  };
  if (known?.founder ?? join.length === 0) {
    const network = known?.network ?? randomHex(16);
    const settings = { ...DEFAULT_SETTINGS, ...options.settings };
    return { kind: "genesis", view: genesisView({ network, settings, members: [member] }) };
  }
  const addresses = [...join, ...(known?.peers ?? [])].filter((peer) => peer !== address);
  if (addresses.length === 0) {
    throw new Error(
      `Node "${id}" has not finished joining network ${known?.network}. Name a node of that network with --join`,
    );
  }
  const rebuilt = known !== null && known.formerly !== null;
  try {
    const view = await askToJoin({
      addresses,
      member: { ...member, state: "joining" },
      network: known?.network ?? null,
      fresh: known === null || rebuilt,
      renames: rebuilt,
      msMax: rebuilt ? REJOIN_MS_MAX : JOIN_MS_MAX,
      signal,
    });
    return { kind: "joined", view };
  } catch (error) {
    if (!rebuilt || !(error instanceof JoinError)) throw error;
    if (error.reason === "refused") throw error;
    throw new RejoinError(
      error.reason === "no-answer" ? "alone" : error.reason,
      `Node "${id}", which was "${known.formerly}", has to join network ${known.network} anew: ${error.message}`,
    );
  }
}

export function randomHex(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}
