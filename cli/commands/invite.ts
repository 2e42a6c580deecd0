/** Invites: how a new node is let into a private network. */
import { Command } from "commander";
import { LIMITS } from "../../core/base/limits.ts";
import { isOperator } from "../../core/system/security.ts";
import type { Invite, Security } from "../../core/wire/security.ts";
import type { Client } from "../client/client.ts";
import type { Profile } from "../client/profile.ts";
import { TOKEN_ADDRESSES_MAX } from "../host/identity/token.ts";
import { makeInvite } from "../invites.ts";
import { parseAddress } from "../host/socket.ts";
import { print, table, tell } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import { addressesOption, durationOption, integerOption } from "./options.ts";
import { securityOf, timeText } from "./private.ts";

const TTL_MS = 3_600_000;
const TTL_MS_MAX = 30 * 24 * 3_600_000;

interface InviteFlags extends ConnectFlags {
  readonly zone?: string;
  readonly ttl: number;
  readonly uses: number;
  readonly address?: readonly string[];
  readonly quiet?: boolean;
}

/** `space-opera invite`: makes a token that lets a new node in. */
export function inviteCommand(): Command {
  return withConnection(new Command("invite"))
    .enablePositionalOptions()
    .description("print a token that lets a new node in; it is a secret until it is used or over")
    .option("--zone <name>", "where whoever uses it belongs, whatever it says itself")
    .option("--ttl <time>", "how long it is good for (default: 1h)", ttlOption, TTL_MS)
    .option("--uses <n>", "how many nodes it lets in", integerOption("--uses", 1, LIMITS.inviteUsesMax), 1)
    .option(
      "--address <host:port>",
      "where the new node finds the network (default: its members' addresses); may be given more than once",
      addressesOption("--address"),
    )
    .option("--quiet", "print the token and no explanations")
    .addHelpText(
      "after",
      `
Examples:
  space-opera invite
  space-opera invite --ttl 10m --zone north
  space-opera invite --quiet > token && space-opera node --data ./b --join-file token
  space-opera invite list
  space-opera invite drop 0f3a52c1d4e5b697

The token is the only line on standard output. It holds the network's addresses, the fingerprint of its authority, and
a secret of which the network keeps a hash. An operator's access key is needed.`,
    )
    .action((flags: InviteFlags) => withClient(flags, (client) => invite(client, flags)))
    .addCommand(listCommand())
    .addCommand(dropCommand());
}

async function invite(client: Client, flags: InviteFlags): Promise<void> {
  const { uses, zone = null, ttl: ttlMs, address } = flags;
  if (address !== undefined && address.length > TOKEN_ADDRESSES_MAX) {
    throw new UsageError(`Option --address can be given ${TOKEN_ADDRESSES_MAX} times, not ${address.length}`);
  }
  const made = await makeInvite(client, {
    ttlMs,
    uses,
    zone,
    ...(address === undefined ? {} : { addresses: address }),
  });
  const { id, token, addresses } = made, expires = timeText(made.expiresMs);
  if (flags.json) return print(JSON.stringify({ id, token, expires, uses, zone, addresses }));
  print(token);
  if (flags.quiet) return;
  tell(
    `Invite ${id} lets in ${
      uses === 1 ? "one node" : `${uses} nodes`
    } until ${expires}. On the new node's machine, with the token in a file that ` +
      `only you may read: space-opera node --join-file FILE`,
  );
  if (addresses.every(isLoopback)) {
    tell(
      `It names addresses of this machine only (${
        addresses.join(", ")
      }): it is of no use on another one. Start the ` +
        `nodes with --listen on an address that others reach`,
    );
  }
}

function isLoopback(address: string): boolean {
  const { host } = parseAddress(address);
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

function ttlOption(text: string): number {
  const ms = durationOption("--ttl")(text);
  if (ms >= 1000 && ms <= TTL_MS_MAX) return ms;
  throw new UsageError(`Option --ttl takes a time from 1s to ${TTL_MS_MAX / 86_400_000}d, not "${text}"`);
}

function listCommand(): Command {
  return withConnection(new Command("list"))
    .description("print invites, those used up and over for a while; without their secrets, which nobody has")
    .addHelpText("after", "\nExample:\n  space-opera invite list")
    .action((flags: ConnectFlags) =>
      withClient(flags, async (client, profile) => {
        const now = Date.now();
        const security = securityOf((await client.layout()).view);
        checkOperator(security, profile);
        const invites = security.invites.map((invite) => ({
          id: invite.id,
          state: stateOf(invite, now),
          uses: invite.uses,
          zone: invite.zone,
          expires: timeText(invite.expiresMs),
        }));
        if (flags.json) return print(JSON.stringify(invites));
        print(table(
          ["INVITE", "STATE", "USES LEFT", "ZONE", "EXPIRES"],
          invites.map(({ id, state, uses, zone, expires }) => [id, state, uses, zone ?? "-", expires]),
        ));
      })
    );
}

/** Who does not run the network is told of no invites: that is not that there are none. */
function checkOperator({ access }: Security, profile: Profile | null): void {
  const id = profile?.access?.id;
  const key = access.find((each) => each.id === id);
  if (key !== undefined && isOperator(key)) return;
  throw new Error(
    `Access key "${id}" may not see the invites: it needs the right admin on the prefix ""`,
  );
}

function stateOf({ uses, expiresMs }: Invite, now: number): "open" | "used up" | "over" {
  if (uses === 0) return "used up";
  return expiresMs <= now ? "over" : "open";
}

function dropCommand(): Command {
  return withConnection(new Command("drop"))
    .description("make an invite void")
    .argument("<id>")
    .addHelpText("after", "\nExample:\n  space-opera invite drop 0f3a52c1d4e5b697")
    .action((id: string, flags: ConnectFlags) => {
      if (!/^[0-9a-f]{16}$/.test(id)) {
        throw new UsageError(
          `An invite's id has 16 hexadecimal digits, not "${id}"; see: space-opera invite list`,
        );
      }
      return withClient(flags, async (client) => {
        await client.dropInvite(id);
        print(flags.json ? JSON.stringify({ id, dropped: true }) : `Invite ${id} is void`);
      });
    });
}
