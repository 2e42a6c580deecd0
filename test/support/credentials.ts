/** Keys, hashes and rights for tests of private networks, each told from a name: no secret lies behind them. */
import { createHash } from "node:crypto";
import type { AccessKey, Right } from "../../core/wire/security.ts";

/** SHA-256 of bytes given, and told, in hexadecimal digits. */
export const sha256 = (hex: string): string => createHash("sha256").update(hex, "hex").digest("hex");

/** Stands for the public key of a member or of an access key. */
export const keyOf = (name: string): string => createHash("sha256").update(name).digest("hex");

/** `rights`: those of "r", "w" and "a" that it has. */
export const right = (prefix: string, rights: string): Right => ({
  prefix,
  read: rights.includes("r"),
  write: rights.includes("w"),
  admin: rights.includes("a"),
});

export const access = (id: string, ...rights: Right[]): AccessKey => ({
  id,
  publicKey: keyOf(id),
  name: id,
  rights,
});

export const OPERATOR = access("OPERATOR", right("", "rwa"));
