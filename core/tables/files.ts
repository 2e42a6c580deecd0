/** What the tables ask of a file system. All calls are synchronous and throw what the system says where they fail. */
export interface TableFiles {
  /** The names there are. */
  list(): string[];
  /** Makes a file that is not there yet, for this user alone. */
  create(name: string): WritableFile;
  /** null: there is none of this name. */
  open(name: string): ReadableFile | null;
  /** Atomically; a file that has the new name already is replaced. */
  rename(from: string, to: string): void;
  remove(name: string): void;
  /** Makes durable which names there are. */
  syncDirectory(): void;
  /** 32 bytes from a cryptographic source. */
  salt(): Uint8Array;
  /** What people call the file: its path. */
  describe(name: string): string;
}

/** A file that only grows. */
export interface WritableFile {
  append(bytes: Uint8Array): void;
  sync(): void;
  close(): void;
}

export interface ReadableFile {
  /** Reads into all of `into` unless the file ends before. How many bytes were read. */
  read(at: number, into: Uint8Array): number;
  size(): number;
  close(): void;
}
