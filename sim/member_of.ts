import type { Member } from "../core/wire/messages.ts";
import type { Machine } from "./machine.ts";

/** A founder holds, and uses, what the network begins with; who joins has nothing yet. */
export function memberOf(machine: Machine, state: Member["state"]): Member {
  const { id, address, zone, capacity, disk, keyring } = machine;
  const member: Member = { id, address, zone, capacity, state, disk: disk.name };
  return keyring === null
    ? member
    : { ...member, identity: keyring.identityWith(state === "joining" ? 0 : 1) };
}
