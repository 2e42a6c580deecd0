/** How one life of a node ends, and what that asks for. */
import { JournalBehindError } from "../../../core/partition/recovery.ts";
import { JournalCorruptError, JournalError } from "../../../core/wire/journal_recovery.ts";
import { JournalWriteError } from "../journal_segments.ts";

export type Ending =
  /** It was told to stop. */
  | { readonly kind: "stopped" }
  /** A write found no room, or a file could not be written, synced or read: it begins anew when that may have passed. */
  | { readonly kind: "no-space" | "disk"; readonly error: Error }
  /** What it promised can no longer be known: it comes back as a new node. */
  | { readonly kind: "journal-damaged"; readonly error: Error }
  /** The journal is whole: it begins anew with empty tables, which its peers fill. */
  | { readonly kind: "tables-damaged"; readonly error: Error }
  /** It has to join, and nobody has taken it yet. */
  | { readonly kind: "alone"; readonly error: Error }
  /** It has to join, and there is a member of the name that it was given when it was rebuilt. */
  | { readonly kind: "name-taken"; readonly error: Error }
  /** The network has shut it out: it is down until it is stopped. */
  | { readonly kind: "evicted"; readonly error: Error }
  /** Nothing that time could mend: a person has to do something. */
  | { readonly kind: "refused"; readonly error: Error };

/** A file of the node could not be written, synced or read. `cause` is the system's error, where there is one. */
export class DiskError extends Error {
  override readonly name = "DiskError";
}

/** The journal, or a part of it, is not there any more. */
export class JournalLostError extends Error {
  override readonly name = "JournalLostError";
}

/** The tables, or a part of them, are not there any more or cannot be understood. */
export class TablesLostError extends Error {
  override readonly name = "TablesLostError";
}

/** A node that was rebuilt was not taken into its network again: nobody answered, or its new name is another's. */
export class RejoinError extends Error {
  override readonly name = "RejoinError";
  constructor(readonly reason: "alone" | "name-taken", message: string) {
    super(message);
  }
}

/** The network has shut this node out. */
export class EvictedError extends Error {
  override readonly name = "EvictedError";
}

/**
 * What `error` asks for. `lived`: the node ran in this process before, so that its directory was one that can be used.
 */
export function endingOf(error: Error, { lived }: { lived: boolean }): Ending {
  if (
    error instanceof JournalCorruptError || error instanceof JournalLostError ||
    error instanceof JournalBehindError
  ) return { kind: "journal-damaged", error };
  if (error instanceof JournalError) return { kind: "refused", error };
  if (
    error instanceof TablesLostError || error.name === "TablesCorruptError" ||
    error.name === "TablesForeignError" ||
    NO_TABLES_TEXT.test(error.message)
  ) {
    return { kind: "tables-damaged", error };
  }
  if (error instanceof EvictedError) return { kind: "evicted", error };
  if (error instanceof RejoinError) return { kind: error.reason, error };
  if (isFull(error)) return { kind: "no-space", error };
  if (
    error instanceof DiskError || error instanceof JournalWriteError || FAILING.has(codeOf(error)) ||
    FAILING_TEXT.test(error.message)
  ) {
    return { kind: "disk", error };
  }
  // What worked before in this process and does not now may work again: a directory out of reach, rights taken away.
  if (lived && codeOf(error) !== "") return { kind: "disk", error };
  return { kind: "refused", error };
}

/** Of the device itself, or of this process's share of the system. */
const FAILING: ReadonlySet<string> = new Set(["EIO", "EMFILE", "ENFILE", "ENOMEM", "ESTALE", "ENXIO"]);
/** SQLite and messages of other threads come without a code. */
const FAILING_TEXT = /disk I\/O error|unable to open database file|os error (5|23|24)\b/i;
const NO_TABLES_TEXT = /file is not a database|database disk image is malformed/i;
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);
const FULL_TEXT = /no space left on device|disk quota exceeded|database or disk is full/i;

/** Whether it says that the disk, or this user's share of it, is full. */
export function isFull(error: Error): boolean {
  return FULL.has(codeOf(error)) || FULL_TEXT.test(error.message);
}

/** The system's name of it, as in "ENOSPC"; "" where there is none. */
function codeOf(error: Error): string {
  const { code } = error as Error & { code?: unknown };
  if (typeof code === "string" && /^E[A-Z0-9]+$/.test(code)) return code;
  return error.cause instanceof Error ? codeOf(error.cause) : "";
}
