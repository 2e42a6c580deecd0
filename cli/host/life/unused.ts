/** Options of a first start that were given to a directory in which a node lives already. */
import type { MemberState } from "../../../core/wire/messages.ts";
import type { NodeIdentity } from "../directory.ts";
import type { StartOptions } from "./options.ts";

/**
 * What to say of those that are not used; null: all are. `state`: of the node in the newest view that it has itself;
 * null: it is not in there.
 */
export function unusedText(
  { token, id, data }: Pick<StartOptions, "token" | "id" | "data">,
  { node, network, formerly }: Pick<NodeIdentity, "node" | "network" | "formerly">,
  state: MemberState | null,
): string | null {
  const unused: string[] = [];
  if (token !== undefined) {
    const other = token.network === network ? "" : `, which is for network ${token.network}`;
    unused.push(`the token of --join or --join-file${other}`);
  }
  // A node that was rebuilt may be started under its first name for ever.
  if (id !== undefined && id !== node && id !== formerly) unused.push(`--id "${id}"`);
  if (unused.length === 0) return null;
  const out = state === "evicted" || state === "removed" || state === "gone";
  const standing = out ? `, which has it as ${state}` : "";
  return `The data directory "${data}" belongs to node "${node}" of network ${network}${standing}: ` +
    `${unused.join(" and ")} ${
      unused.length === 1 ? "is" : "are"
    } not used. To join as a new node, start on an empty --data`;
}
