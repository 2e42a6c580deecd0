/** What the commands that run a private network share. */
import { isFormer } from "../../core/wire/members.ts";
import type { Member, SystemView } from "../../core/wire/messages.ts";
import type { AccessKey, NetworkKey, Security } from "../../core/wire/security.ts";
import { UsageError } from "./errors.ts";

/** @throws {Error} where the network is open and has none of it */
export function securityOf({ security, network }: SystemView): Security {
  if (security !== null) return security;
  throw new Error(
    `Network ${network} is open: it has no keys, invites or access keys. A private one is made by ` +
      `space-opera node, without --dev, on an empty directory`,
  );
}

/** Who counts for the keys of the network. */
export function presentMembers({ members }: SystemView): readonly Member[] {
  return members.filter(({ state }) => !isFormer(state));
}

/** The newest generation that new data is encrypted with, and certificates are issued by. */
export function currentKey({ keys }: Security): NetworkKey | undefined {
  return keys.find(({ state }) => state === "current");
}

/** Members that lack generation `id`. */
export function lacking(view: SystemView, id: number): readonly string[] {
  return presentMembers(view).filter((m) => (m.identity?.holds ?? 0) < id).map((m) => m.id);
}

/**
 * The access key that a person means by its id, or by its name where only one has it.
 * @throws {UsageError}
 */
export function findAccess({ access }: Security, text: string): AccessKey {
  const named = access.filter(({ id, name }) => id === text || name === text);
  if (named.length === 1) return named[0]!;
  throw new UsageError(
    named.length === 0
      ? `No access key is named "${text}"; see: space-opera access list`
      : `${named.length} access keys are named "${text}"; name one by its id: ${
        named.map(({ id }) => id).join(", ")
      }`,
  );
}

/** `2026-11-21T13:32:25Z` */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** Asks a yes or no on a terminal. @throws {UsageError} where nobody can be asked */
export function confirm(question: string): boolean {
  if (!Deno.stdin.isTerminal()) {
    throw new UsageError("Nobody can be asked here. Give --yes to go on");
  }
  return /^y(es)?$/i.test(prompt(`${question} [y/N]`)?.trim() ?? "");
}
