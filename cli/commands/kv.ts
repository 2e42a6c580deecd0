import { Command } from "commander";
import type { LogIndex, Term } from "../../core/base/ids.ts";
import { utf8Encode } from "../../core/base/bytes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import type { Expectation, KeyValue, PutOptions, Version } from "../../core/wire/requests.ts";
import { jsonOf, print, tell, textOf } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import { durationOption, integerOption, ordinaryKey } from "./options.ts";
import { transactionCommand } from "./transaction.ts";

/** `space-opera kv`: keys and values. */
export function kvCommand(): Command {
  return new Command("kv")
    .description("read, write and follow keys")
    .addHelpText("after", "\nExample:\n  space-opera kv put greeting hello && space-opera kv get greeting")
    .addCommand(getCommand())
    .addCommand(putCommand())
    .addCommand(deleteCommand())
    .addCommand(casCommand())
    .addCommand(rangeCommand())
    .addCommand(watchCommand())
    .addCommand(historyCommand())
    .addCommand(transactionCommand());
}

function getCommand(): Command {
  return withConnection(new Command("get"))
    .description("print the value of a key; exit code 1 where there is none")
    .argument("<key>", "", ordinaryKey)
    .option("--stale", "take what any replica has, which may be old")
    .option("--version <term.index>", "an earlier version, where history is kept", versionOption)
    .option("--raw", "the bytes as they are, with no line end")
    .addHelpText("after", "\nExample:\n  space-opera kv get greeting")
    .action((key: string, flags: ConnectFlags & { stale?: boolean; version?: Version; raw?: boolean }) =>
      withClient(flags, async (client) => {
        const { stale = false, version } = flags;
        const found = await client.get(key, { stale, ...(version === undefined ? {} : { version }) });
        if (flags.json) print(JSON.stringify(found === null ? null : jsonOf(found)));
        if (found === null) throw new Error(`Key "${key}" does not exist`);
        if (flags.json) return;
        if (flags.raw) await Deno.stdout.write(found.value!);
        else print(textOf(found.value!));
      })
    );
}

interface PutFlags {
  readonly ttl?: number;
  readonly lease?: string;
  readonly history?: number;
}

function withPutOptions(command: Command): Command {
  return command
    .option("--ttl <time>", "gone after this long, as in 500ms, 30s, 5m", durationOption("--ttl"))
    .option("--lease <name>", "gone when the lease of this name is")
    .option(
      "--history <n>",
      "keep up to n earlier versions",
      integerOption("--history", 0, LIMITS.historyVersionsMax),
    );
}

function putOptionsOf({ ttl, lease, history }: PutFlags): PutOptions {
  return {
    ...(ttl === undefined ? {} : { ttlMs: ttl }),
    ...(lease === undefined ? {} : { lease }),
    ...(history === undefined ? {} : { history }),
  };
}

function putCommand(): Command {
  return withConnection(withPutOptions(new Command("put")))
    .description("store a value")
    .argument("<key>", "", ordinaryKey)
    .argument("[value]", "read from standard input where left out")
    .addHelpText(
      "after",
      "\nExamples:\n  space-opera kv put greeting hello\n  space-opera kv put lamp on --ttl 30s\n  space-opera kv put photo < photo.jpg",
    )
    .action((key: string, value: string | undefined, flags: ConnectFlags & PutFlags) =>
      withClient(flags, async (client) => {
        const bytes = value === undefined ? await standardInput() : utf8Encode(value);
        const written = await client.put(key, bytes, putOptionsOf(flags));
        print(flags.json ? JSON.stringify({ key, ...written }) : `${key} ${versionText(written.version)}`);
      })
    );
}

function deleteCommand(): Command {
  return withConnection(new Command("del"))
    .description("delete a key; exit code 1 where there was none")
    .argument("<key>", "", ordinaryKey)
    .addHelpText("after", "\nExample:\n  space-opera kv del greeting")
    .action((key: string, flags: ConnectFlags) =>
      withClient(flags, async (client) => {
        const written = await client.delete(key);
        if (flags.json) print(JSON.stringify({ key, ...written }));
        if (!written.existed) throw new Error(`Key "${key}" does not exist`);
        if (!flags.json) print(`${key} ${versionText(written.version)}`);
      })
    );
}

interface CasFlags extends PutFlags {
  readonly expect?: string;
  readonly absent?: boolean;
  readonly present?: boolean;
  readonly version?: Version;
  readonly delete?: boolean;
}

function casCommand(): Command {
  return withConnection(withPutOptions(new Command("cas")))
    .description("write only if the key is as expected; exit code 1 where it is not")
    .argument("<key>", "", ordinaryKey)
    .argument("[value]")
    .option("--expect <value>", "it has this value")
    .option("--absent", "it does not exist")
    .option("--present", "it exists")
    .option("--version <term.index>", "it has this version", versionOption)
    .option("--delete", "delete it instead of writing")
    .addHelpText(
      "after",
      "\nExamples:\n  space-opera kv cas greeting --expect hello 'hello again'\n  space-opera kv cas lock --absent mine",
    )
    .action((key: string, value: string | undefined, flags: ConnectFlags & CasFlags) => {
      if ((value === undefined) !== (flags.delete === true)) {
        throw new UsageError("Compare and set takes a value to write, or --delete");
      }
      const change = { expect: expectationOf(flags), value: value ?? null, ...putOptionsOf(flags) };
      return withClient(flags, async (client) => {
        const { applied, version, found } = await client.cas(key, change);
        if (flags.json) {
          print(JSON.stringify({ key, applied, version, found: found === null ? null : jsonOf(found) }));
        }
        if (!applied) {
          throw new Error(
            found === null
              ? `Key "${key}" does not exist, so nothing was written`
              : `Key "${key}" is ${JSON.stringify(textOf(found.value!))} (${
                versionText(found.version)
              }), so nothing was written`,
          );
        }
        if (!flags.json) print(`${key} ${versionText(version)}`);
      });
    });
}

function expectationOf({ expect, absent, present, version }: CasFlags): Expectation {
  const given: Expectation[] = [
    ...(expect === undefined ? [] : [{ kind: "value" as const, value: utf8Encode(expect) }]),
    ...(absent ? [{ kind: "absent" as const }] : []),
    ...(present ? [{ kind: "present" as const }] : []),
    ...(version === undefined ? [] : [{ kind: "version" as const, version }]),
  ];
  if (given.length !== 1) {
    throw new UsageError("Compare and set takes one of --expect, --absent, --present, --version");
  }
  return given[0]!;
}

interface RangeFlags {
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly keysOnly?: boolean;
  readonly stale?: boolean;
}

function rangeCommand(): Command {
  return withConnection(new Command("range"))
    .description("print keys and values in order, a tab between them")
    .option("--prefix <text>", "keys that begin with this", ordinaryKey)
    .option("--start <key>", "the first key wanted", ordinaryKey)
    .option("--end <key>", "the first key not wanted any more")
    .option("--limit <n>", "at most this many", integerOption("--limit", 1, Number.MAX_SAFE_INTEGER))
    .option("--reverse", "from the last to the first")
    .option("--keys-only", "leave values out")
    .option("--stale", "take what any replica has, which may be old")
    .addHelpText(
      "after",
      "\nExample:\n  space-opera kv range --prefix star/ --limit 5\n\nWith --json, one object a line.",
    )
    .action((flags: ConnectFlags & RangeFlags) => {
      const { connect: _, timeout: __, json, ...range } = flags;
      if (range.prefix !== undefined && (range.start !== undefined || range.end !== undefined)) {
        throw new UsageError("A range has a --prefix, or a --start and an --end");
      }
      return withClient(flags, async (client) => {
        for await (const item of client.range(range)) {
          print(json ? JSON.stringify(jsonOf(item)) : rowText(item));
        }
      });
    });
}

function watchCommand(): Command {
  return withConnection(new Command("watch"))
    .description("print changes as they happen, until it is interrupted")
    .argument("[key]", "", ordinaryKey)
    .option("--prefix <text>", "keys that begin with this", ordinaryKey)
    .addHelpText(
      "after",
      "\nExample:\n  space-opera kv watch --prefix star/\n\nWith --json, one object a line.",
    )
    .action((key: string | undefined, flags: ConnectFlags & { prefix?: string }) => {
      if ((key === undefined) === (flags.prefix === undefined)) {
        throw new UsageError("A watch takes a key or a --prefix");
      }
      return withClient(flags, async (client) => {
        const stream = client.watch(key === undefined ? { prefix: flags.prefix! } : { key });
        for (const signal of ["SIGINT", "SIGTERM"] as const) {
          Deno.addSignalListener(signal, () => void stream.return());
        }
        await stream.established;
        tell("Watching; Ctrl-C ends it");
        for await (const { events, gap } of stream) {
          if (gap) tell("Changes were missed that nobody knows any more; read the range");
          for (const event of events) print(flags.json ? JSON.stringify(jsonOf(event)) : rowText(event));
        }
      });
    });
}

function historyCommand(): Command {
  return withConnection(new Command("history"))
    .description("print the versions of a key that are kept, newest first")
    .argument("<key>", "", ordinaryKey)
    .addHelpText(
      "after",
      "\nExample:\n  space-opera kv put mood fine --history 10 && space-opera kv history mood",
    )
    .action((key: string, flags: ConnectFlags) =>
      withClient(flags, async (client) => {
        for (const item of await client.history(key)) {
          print(
            flags.json ? JSON.stringify(jsonOf(item)) : `${versionText(item.version)}\t${valueText(item)}`,
          );
        }
      })
    );
}

function rowText(item: KeyValue): string {
  return item.value === null ? item.key : `${item.key}\t${valueText(item)}`;
}

function valueText({ value }: KeyValue): string {
  return value === null ? "" : textOf(value);
}

function versionText({ term, index }: Version): string {
  return `${term}.${index}`;
}

function versionOption(text: string): Version {
  const match = /^(\d+)\.(\d+)$/.exec(text);
  if (match === null) throw new UsageError(`A version is term.index, as in 3.1415, not "${text}"`);
  return { term: Number(match[1]) as Term, index: Number(match[2]) as LogIndex };
}

async function standardInput(): Promise<Uint8Array> {
  return new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
}
