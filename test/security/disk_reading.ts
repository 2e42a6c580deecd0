/** What can be read off a data directory without its keys: all bytes of all files, their rights, their clear headers. */
import { Buffer } from "node:buffer";
import { basename, join } from "node:path";
import { OPEN_VAULT } from "../../core/base/vault.ts";
import { readAuditFile } from "../../cli/host/audit_format.ts";
import { openPart } from "../../cli/host/recording_files.ts";
import { fileNumber } from "../../core/tables/sorted_file.ts";

export interface FileOnDisk {
  readonly path: string;
  /** The rights alone. */
  readonly mode: number;
  readonly bytes: Uint8Array;
  /** The bytes as characters: strings are searched at once, bytes one by one. */
  readonly text: string;
}

/** Every file below `directory`, in the order of their paths. Running nodes may remove some meanwhile: these are left out. */
export function filesBelow(directory: string): FileOnDisk[] {
  const files: FileOnDisk[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    const path = join(directory, name);
    if (isDirectory) files.push(...filesBelow(path));
    else {
      const file = readIfThere(path);
      if (file !== null) files.push(file);
    }
  }
  return files.sort((a, b) => a.path < b.path ? -1 : 1);
}

function readIfThere(path: string): FileOnDisk | null {
  try {
    const bytes = Deno.readFileSync(path), mode = Deno.statSync(path).mode! & 0o7777;
    return { path, mode, bytes, text: characters(bytes) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** `directory` and every folder below it, with its rights. */
export function foldersBelow(directory: string): { readonly path: string; readonly mode: number }[] {
  const folders = [{ path: directory, mode: Deno.statSync(directory).mode! & 0o7777 }];
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    if (isDirectory) folders.push(...foldersBelow(join(directory, name)));
  }
  return folders;
}

/** How bytes may stand in a file: as they are, and as hexadecimal and base64 text at whatever offset they begin. */
export function formsOf(bytes: Uint8Array): string[] {
  const forms = [characters(bytes), bytes.toHex(), bytes.toHex().toUpperCase()];
  for (let before = 0; before < 3; before++) {
    const shifted = new Uint8Array(before + bytes.length);
    shifted.set(bytes, before);
    // Characters that also hold bits of what stands before or behind say nothing.
    const from = Math.ceil(before * 8 / 6), to = Math.floor(shifted.length * 8 / 6);
    const core = shifted.toBase64().slice(from, to);
    forms.push(core, core.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return [...new Set(forms)];
}

/** The paths of the files that hold `secret` in one of its forms. */
export function holding(files: readonly FileOnDisk[], secret: Uint8Array | string): string[] {
  const forms = formsOf(typeof secret === "string" ? utf8(secret) : secret);
  return files.filter(({ text }) => forms.some((form) => text.includes(form))).map(({ path }) => path);
}

/**
 * The key generation that a file's clear header names, 0 where it says that nothing is sealed; null: a file of another
 * kind, which holds no data of users.
 */
export function generationOf({ path, bytes }: FileOnDisk): number | null {
  const name = basename(path), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (/^journal-\d+\.log$/.test(name) || fileNumber(name) !== null) return view.getUint32(12);
  if (name === "manifest") return view.getUint32(16);
  if (/^audit\.log(\.1)?$/.test(name)) return readAuditFile(bytes, OPEN_VAULT).header!.generation;
  if (/\.\d{6}$/.test(name)) return openPart(path).header!.key?.generation ?? 0;
  return null;
}

/** All files by their paths below `directory`, and what they hold, to tell whether any was touched. */
export async function stateOf(directory: string): Promise<Record<string, string>> {
  const state: Record<string, string> = {};
  for (const { path, mode, bytes } of filesBelow(directory)) {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes)));
    state[path.slice(directory.length)] = `${mode.toString(8)} ${hash.toHex()}`;
  }
  return state;
}

/** One for each byte. */
function characters(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

const utf8 = (text: string) => new TextEncoder().encode(text);
