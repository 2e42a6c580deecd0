/** Members of a view, which are sorted by id. */
import type { NodeId } from "../base/ids.ts";
import type { Member, SystemView } from "../wire/messages.ts";

/** Binary search in the sorted members. */
export function findMember(view: SystemView, id: NodeId): Member | null {
  const { members } = view;
  let low = 0, high = members.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (members[middle]!.id < id) low = middle + 1;
    else high = middle;
  }
  const found = members[low];
  return found !== undefined && found.id === id ? found : null;
}

export function replaceMember(members: readonly Member[], member: Member): readonly Member[] {
  const rest = members.filter((m) => m.id !== member.id);
  const at = rest.findIndex((m) => m.id > member.id);
  return at < 0 ? [...rest, member] : [...rest.slice(0, at), member, ...rest.slice(at)];
}
