/** The checksums that clients send along (x-amz-checksum-…) and that are given back to them. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Pair } from "../../core/objects/types.ts";
import { combineCrcs, Crc32, Crc32c, Crc64Nvme } from "./crc.ts";
import { S3Error } from "./errors.ts";

export const ALGORITHMS = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"] as const;
export type Algorithm = typeof ALGORITHMS[number];
const BYTES: { readonly [algorithm in Algorithm]: number } = {
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
  sha1: 20,
  sha256: 32,
};

/** FULL_OBJECT: of the whole content. COMPOSITE: of the checksums of the parts, "-", their number. */
export type ChecksumType = "FULL_OBJECT" | "COMPOSITE";

export const CHECKSUM_PREFIX = "x-amz-checksum-";
export const CHECKSUM_TYPE = "x-amz-checksum-type";

/** As S3 names it in XML: "ChecksumCRC32". */
export function checksumElement(algorithm: Algorithm): string {
  return `Checksum${algorithm.toUpperCase()}`;
}

/** "CRC32" or "crc32"; null: S3 has no such. */
export function parseAlgorithm(text: string): Algorithm | null {
  return ALGORITHMS.find((algorithm) => algorithm === text.toLowerCase()) ?? null;
}

export function checksummer(
  algorithm: Algorithm,
): { update(bytes: Uint8Array): void; digest(): Uint8Array<ArrayBuffer> } {
  switch (algorithm) {
    case "crc32":
      return new Crc32();
    case "crc32c":
      return new Crc32c();
    case "crc64nvme":
      return new Crc64Nvme();
    case "sha1":
    case "sha256": {
      const hash = createHash(algorithm);
      return { update: (bytes) => void hash.update(bytes), digest: () => new Uint8Array(hash.digest()) };
    }
  }
}

/** @throws {S3Error} where it is not Base64 of as many bytes as the algorithm makes */
export function parseChecksum(algorithm: Algorithm, text: string): Uint8Array<ArrayBuffer> {
  const bytes = parseBase64(text);
  if (bytes === null || bytes.length !== BYTES[algorithm]) {
    throw new S3Error("InvalidRequest", `Value for ${CHECKSUM_PREFIX}${algorithm} header is invalid`);
  }
  return bytes;
}

export function parseBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return null;
  return new Uint8Array(Buffer.from(text, "base64"));
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/** What metadata says of checksums, as pairs of header and value. */
export function storedChecksums(metadata: readonly Pair[]): Pair[] {
  return metadata.filter(([name]) => name.startsWith(CHECKSUM_PREFIX) && name !== "x-amz-checksum-algorithm");
}

/**
 * The checksum of an object made of parts. Those of the parts were verified when they were uploaded, and are told again
 * by the client.
 */
export function combineChecksums(
  algorithm: Algorithm,
  type: ChecksumType,
  parts: readonly { readonly bytes: number; readonly checksum: Uint8Array<ArrayBuffer> }[],
): string {
  const first = parts[0];
  if (type === "COMPOSITE" || first === undefined) {
    const whole = checksummer(algorithm);
    for (const part of parts) whole.update(part.checksum);
    return `${toBase64(whole.digest())}-${parts.length}`;
  }
  if (algorithm === "sha1" || algorithm === "sha256") {
    throw new S3Error("InvalidRequest", `${algorithm.toUpperCase()} has no checksum of the full object`);
  }
  let checksum = first.checksum;
  for (const part of parts.slice(1)) checksum = combineCrcs(algorithm, checksum, part.checksum, part.bytes);
  return toBase64(checksum);
}
