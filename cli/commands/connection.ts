import { type Command, Option } from "commander";
import { LIMITS } from "../../core/base/limits.ts";
import { type Client, connect } from "../client/client.ts";
import { addressesOption, integerOption } from "./options.ts";

export interface ConnectFlags {
  readonly connect: string;
  readonly timeout: number;
  readonly json?: boolean;
}

/** Adds what every command that speaks to a network takes. */
export function withConnection(command: Command): Command {
  return command
    .addOption(
      new Option("--connect <host:port>", "any node of the network, or several with commas")
        .env("SPACE_OPERA_CONNECT")
        .default("127.0.0.1:7070"),
    )
    .addOption(
      new Option("--timeout <ms>", "how long an operation may take, retries included")
        .default(10_000)
        .argParser(integerOption("--timeout", 1, LIMITS.retryUsMax / 1000)),
    )
    .option("--json", "print JSON");
}

/** Runs `use` with a client that is closed afterwards. */
export async function withClient<T>(flags: ConnectFlags, use: (client: Client) => Promise<T>): Promise<T> {
  using client = await connect({
    addresses: addressesOption("--connect")(flags.connect, []),
    timeoutMs: flags.timeout,
  });
  return await use(client);
}
