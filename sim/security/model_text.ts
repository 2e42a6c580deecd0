/** What a view says of who belongs to the network and who may what, as a text that can be compared. */
import type { NodeId } from "../../core/base/ids.ts";
import type { MemberState } from "../../core/wire/messages.ts";
import type { KeyState } from "../../core/wire/tags.ts";
import type { Right } from "../../core/wire/security.ts";

export interface Drawable {
  readonly members: readonly {
    readonly id: NodeId;
    readonly state: MemberState;
    readonly identity?: { readonly key: string; readonly holds: number; readonly uses: number };
  }[];
  readonly security: {
    readonly keys: readonly { readonly id: number; readonly state: KeyState }[];
    readonly access: readonly { readonly id: string; readonly rights: readonly Right[] }[];
    readonly invites: readonly { readonly id: string; readonly uses: number }[];
  } | null;
}

export function drawnFrom({ members, security }: Drawable): string {
  const lines = [
    ...members.map(({ id, state, identity }) =>
      `${id} ${state} ${identity?.key.slice(0, 8) ?? "-"} holds ${identity?.holds ?? 0} uses ${
        identity?.uses ?? 0
      }`
    ),
    ...(security?.access ?? []).map(({ id, rights }) => `key ${id} ${rights.map(describeRight).join(" ")}`),
    ...(security?.invites ?? []).map(({ id, uses }) => `invite ${id} for ${uses}`),
  ].sort();
  return [...lines, ...(security?.keys ?? []).map(({ id, state }) => `generation ${id} ${state}`)].join(", ");
}

function describeRight({ prefix, read, write, admin }: Right): string {
  return `"${prefix}"${read ? "r" : ""}${write ? "w" : ""}${admin ? "a" : ""}`;
}
