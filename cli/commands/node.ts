import type { Logger } from "@logtape/logtape";
import { Command } from "commander";
import { InvariantError } from "../../core/base/invariant.ts";
import { LIMITS, type Settings } from "../../core/base/limits.ts";
import { RECORD_BYTES_DEFAULT, RECORD_BYTES_MIN, Recorder } from "../host/recorder.ts";
import { LOG_LEVELS, type LogLevel, startLogging } from "../host/log.ts";
import { startNode } from "../host/start.ts";
import { VERSION } from "../version.ts";
import { UsageError } from "./errors.ts";
import {
  addressesOption,
  addressOption,
  bytesOption,
  choiceOption,
  integerOption,
  nodeIdOption,
  powerOfTwoOption,
} from "./options.ts";

const RECORDER_CLOSE_MS_MAX = 2000;

interface NodeFlags {
  readonly data: string;
  readonly listen: string;
  readonly advertise?: string;
  readonly join?: readonly string[];
  readonly id?: string;
  readonly zone?: string;
  readonly capacity?: number;
  readonly partitions?: number;
  readonly replicas?: number;
  readonly reserve?: number;
  readonly rebuild: boolean;
  readonly record?: string;
  readonly recordBytes?: number;
  readonly logLevel: LogLevel;
  readonly logJson?: boolean;
  readonly json?: boolean;
}

/** `space-opera node`: runs one node until it is told to stop. */
export function nodeCommand(): Command {
  return new Command("node")
    .description("run a node; without --join it begins a network of its own")
    .option("--data <dir>", "where it keeps everything", "space-opera-data")
    .option(
      "--listen <host:port>",
      "where peers and clients reach it; port 0 takes a free one",
      addressOption("--listen"),
      "127.0.0.1:7070",
    )
    .option(
      "--advertise <host:port>",
      "the address told to others, where it is not the one listened on",
      addressOption("--advertise"),
    )
    .option(
      "--join <host:port>",
      "any node of the network to join; may be given more than once",
      addressesOption("--join"),
    )
    .option(
      "--id <name>",
      "its name for life, on its first start (default: drawn at random)",
      nodeIdOption("--id"),
    )
    .option(
      "--zone <name>",
      "what fails together with it, on its first start: replicas are spread over zones",
    )
    .option(
      "--capacity <n>",
      "its share of the data against others', on its first start",
      integerOption("--capacity", 1, 1_000_000),
    )
    .option(
      "--partitions <n>",
      "of a new network: a power of two",
      powerOfTwoOption("--partitions", LIMITS.partitionsMax),
    )
    .option("--replicas <n>", "of a new network: copies of each record", integerOption("--replicas", 1, 7))
    .option(
      "--reserve <size>",
      "with less space left it takes no writes (default: 256MiB, or 1/20 of a smaller disk)",
      bytesOption("--reserve"),
    )
    .option(
      "--no-rebuild",
      "refuse to start on damaged files; without it they are set aside and peers send the data anew",
    )
    .option(
      "--record <file>",
      'write down everything it is told, for "sim replay": parts FILE.000001 and so on',
    )
    .option(
      "--record-bytes <size>",
      "what a recording may take: the oldest lives are dropped (default: 1 GiB)",
      bytesOption("--record-bytes"),
    )
    .option(
      "--log-level <level>",
      LOG_LEVELS.join(", "),
      choiceOption("--log-level", LOG_LEVELS),
      "info" as LogLevel,
    )
    .option("--log-json", "log lines of JSON")
    .option("--json", "print one line of JSON to stdout when ready")
    .addHelpText(
      "after",
      `
Examples:
  space-opera node
  space-opera node --data ./a --listen 127.0.0.1:7071
  space-opera node --data ./b --listen 127.0.0.1:7072 --join 127.0.0.1:7071
  space-opera node --record flight

Stop it with SIGTERM or Ctrl-C: it hands over what it leads first.
What each message means and what to do about it: docs/troubleshooting.md`,
    )
    .action(run);
}

async function run(flags: NodeFlags): Promise<void> {
  const log = startLogging({ level: flags.logLevel, json: flags.logJson === true });
  const settings: Partial<Settings> = {
    ...(flags.partitions === undefined ? {} : { partitions: flags.partitions }),
    ...(flags.replicas === undefined ? {} : { replicas: flags.replicas }),
  };
  const { data, listen, advertise, join, id, zone, capacity, reserve, rebuild } = flags;
  const given = { advertise, join, id, zone, capacity, reserve };
  const recorder = openRecorder(flags, log);
  const node = await startNode({
    data,
    listen,
    settings,
    rebuild,
    log,
    ...(recorder === null ? {} : { recorder }),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  });
  const stop = () => {
    log.info("Stopping");
    void node.stop();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, stop);
  node.ready.then(({ id, address, network, origin }) => {
    log.info("Node {id} of network {network} is ready at {address} ({origin})", {
      id,
      network,
      address,
      origin,
    });
    if (flags.json) console.log(JSON.stringify({ node: id, network, address, origin }));
    // What went wrong is told by `done`.
  }, () => {});
  try {
    await node.done;
    log.info("Stopped");
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    // With the place in the code: it is for those who mend that.
    log.fatal("A rule of the core was found broken: {error}", { error });
    Deno.exitCode = 1;
  } finally {
    // A disk that answers no more does not keep the process.
    await Promise.race([recorder?.close(), new Promise((done) => setTimeout(done, RECORDER_CLOSE_MS_MAX))]);
  }
}

function openRecorder({ record, recordBytes }: NodeFlags, log: Logger): Recorder | null {
  if (record === undefined) {
    if (recordBytes === undefined) return null;
    throw new UsageError("Option --record-bytes goes with --record FILE");
  }
  if (recordBytes !== undefined && recordBytes < RECORD_BYTES_MIN) {
    throw new UsageError(`Option --record-bytes takes 1MiB or more, not ${recordBytes} bytes`);
  }
  return Recorder.open({
    file: record,
    bytesMax: recordBytes ?? RECORD_BYTES_DEFAULT,
    program: VERSION,
    warn: (message) => log.warn(message),
  });
}
