/**
 * Where a passphrase comes from: a file, the environment, or a person at a terminal. Never from an argument, which every
 * process of the machine can read.
 */
import { PrivateFileError, readPrivateFile } from "./private_file.ts";
import { checkOutside, PASSPHRASE_CHARS_MAX, Sealing } from "./sealing.ts";

export const PASSPHRASE_VARIABLE = "SPACE_OPERA_PASSPHRASE";
const FILE_BYTES_MAX = 4 * PASSPHRASE_CHARS_MAX + 2;
/** How often a person may type two that differ. */
const TRIES_MAX = 3;

/** A terminal as it is needed here; see TERMINAL. */
export interface PassphraseTerminal {
  /** False: there is no person to ask. */
  readonly interactive: boolean;
  /** Whether keys come one by one and are not shown. */
  setRaw(raw: boolean): void;
  /** What was typed since; null: the terminal is gone. */
  read(): Promise<Uint8Array | null>;
  write(text: string): void;
}

export interface PassphraseOptions {
  /** The value of --passphrase-file. */
  readonly file?: string;
  /** A file in here is refused: whoever takes the directory has both. */
  readonly outside: string;
  readonly env: (name: string) => string | undefined;
  readonly terminal?: PassphraseTerminal;
  /** What is asked. */
  readonly prompt?: string;
  /** It is chosen now: it must be long enough, and a person types it twice. */
  readonly fresh?: boolean;
}

/**
 * missing: none was given, and there is nobody to ask. unreadable: the file of it. differ: what was typed twice was not
 * the same. interrupted: by the person.
 */
export type PassphraseErrorReason = "missing" | "unreadable" | "differ" | "interrupted";

export class PassphraseError extends Error {
  override readonly name = "PassphraseError";
  constructor(readonly reason: PassphraseErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/**
 * The first that is given: file, environment, person.
 * @throws {PassphraseError}
 * @throws {SealingError} "weak" of a new one; "inside" of a file in the data directory
 */
export async function readPassphrase(options: PassphraseOptions): Promise<Sealing> {
  const sealing = options.fresh === true ? Sealing.newPassphrase : Sealing.passphrase;
  if (options.file !== undefined) return sealing(fromFile(options.file, options.outside));
  const text = options.env(PASSPHRASE_VARIABLE);
  if (text !== undefined && text !== "") return sealing(text);
  const terminal = options.terminal ?? TERMINAL;
  if (!terminal.interactive) {
    throw new PassphraseError(
      "missing",
      `A passphrase is needed and there is no terminal to ask at. Give it with --passphrase-file or ${PASSPHRASE_VARIABLE}`,
    );
  }
  const prompt = options.prompt ?? "Passphrase: ";
  return sealing(options.fresh === true ? await askTwice(terminal, prompt) : await ask(terminal, prompt));
}

/** The process's own terminal: keys from standard input, questions on standard error. */
export const TERMINAL: PassphraseTerminal = {
  get interactive() {
    return Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
  },
  setRaw: (raw) => Deno.stdin.setRaw(raw),
  async read() {
    const buffer = new Uint8Array(1024);
    const count = await Deno.stdin.read(buffer);
    return count === null ? null : buffer.subarray(0, count);
  },
  write: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
};

/** The line break that editors and echo put at the end of a file is not of the passphrase. */
function fromFile(path: string, outside: string): string {
  let bytes;
  try {
    bytes = readPrivateFile(path, FILE_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof PrivateFileError)) throw error;
    throw new PassphraseError("unreadable", `Cannot use the passphrase file: ${error.message}`, {
      cause: error,
    });
  }
  if (bytes === null) {
    throw new PassphraseError(
      "unreadable",
      `There is no passphrase file "${path}". Make it, or name another`,
    );
  }
  checkOutside(path, outside);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new PassphraseError(
      "unreadable",
      `The passphrase file "${path}" is not text in UTF-8. Use --key-file for bytes`,
    );
  }
}

async function askTwice(terminal: PassphraseTerminal, prompt: string): Promise<string> {
  for (let i = 0; i < TRIES_MAX; i++) {
    const first = await ask(terminal, prompt);
    if (first === await ask(terminal, "Again: ")) return first;
    terminal.write("The two differ. Try again\n");
  }
  throw new PassphraseError("differ", "The passphrase was not typed twice alike. Nothing was changed");
}

const ENTER = ["\r", "\n"], BACKSPACE = ["\b", "\x7f"];
const INTERRUPT = "\x03", END = "\x04", CLEAR_LINE = "\x15", ESCAPE = "\x1b";

/** Reads one line without showing it. What was typed beyond its end is dropped: nobody saw where it went. */
async function ask(terminal: PassphraseTerminal, prompt: string): Promise<string> {
  const decoder = new TextDecoder();
  let typed: string[] = [];
  // First: what is typed as soon as the question is there is not to be shown.
  terminal.setRaw(true);
  terminal.write(prompt);
  try {
    for (;;) {
      const bytes = await terminal.read();
      for (const key of bytes === null ? [END] : decoder.decode(bytes, { stream: true })) {
        if (ENTER.includes(key)) return typed.join("");
        if (key === INTERRUPT || key === END) {
          throw new PassphraseError("interrupted", "No passphrase was given");
        }
        if (key === ESCAPE) break; // an arrow, for instance: it and what follows it are no letters
        if (key === CLEAR_LINE) typed = [];
        else if (BACKSPACE.includes(key)) typed.pop();
        else if (key >= " " && typed.length <= PASSPHRASE_CHARS_MAX) typed.push(key);
      }
    }
  } finally {
    terminal.setRaw(false);
    terminal.write("\n");
  }
}
