/** `space-opera audit`: who did what that mattered. */
import { Command } from "commander";
import { LIMITS } from "../../core/base/limits.ts";
import { isFormer } from "../../core/wire/members.ts";
import type { AuditEvent } from "../../core/wire/requests.ts";
import type { Client } from "../client/client.ts";
import { RequestError } from "../client/errors.ts";
import { print, table, tell } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";
import { integerOption } from "./options.ts";
import { timeText } from "./private.ts";

const LIMIT = 50;

interface AuditFlags extends ConnectFlags {
  readonly limit: number;
  readonly all?: boolean;
}

export function auditCommand(): Command {
  return withConnection(new Command("audit"))
    .description("print who did what that mattered, or was kept from it, the newest last")
    .option("--limit <n>", "at most this many", integerOption("--limit", 1, LIMITS.auditEventsMax), LIMIT)
    .option("--all", "of all members that can be reached, by time; without it, of the node connected to")
    .addHelpText(
      "after",
      `
Examples:
  space-opera audit
  space-opera audit --all --limit 200 --json

Each member keeps what was asked of itself. An operator's access key is needed.`,
    )
    .action((flags: AuditFlags) =>
      withClient(flags, async (client) => {
        const events = flags.all
          ? await ofAll(client, flags.limit)
          : await client.audit({ limit: flags.limit });
        const newestLast = merged(events).slice(-flags.limit);
        if (flags.json) return print(JSON.stringify(newestLast));
        print(table(
          ["TIME", "NODE", "WHO", "FROM", "WHAT", "OUTCOME"],
          newestLast.map((e) => [timeText(e.timeMs), e.node, e.who, e.from || "-", shown(e.what), e.outcome]),
        ));
      })
    );
}

async function ofAll(client: Client, limit: number): Promise<readonly AuditEvent[]> {
  const { view } = await client.layout();
  const asked = view.members.filter(({ state }) => !isFormer(state)).map(({ id }) => id);
  let denied: RequestError | null = null;
  const answers = await Promise.all(
    asked.map((node) =>
      client.audit({ node, limit }).catch((error: unknown) => {
        // A key that may not ask one may not ask any; who does not answer is told of, and left out.
        if (!(error instanceof RequestError)) throw error;
        if (error.reason === "denied") denied = error;
        else tell(`Node "${node}" does not answer: ${error.message}`);
        return [];
      })
    ),
  );
  if (denied !== null) throw denied;
  return answers.flat();
}

/** With dates as people read them: the core, which wrote it, has numbers alone. */
export function shown(what: string): string {
  const found = /^(invite-add [0-9a-f]+ uses \d+ until) (\d{1,15})( now \d+)?$/.exec(what);
  return found === null ? what : `${found[1]} ${timeText(Number(found[2]))}`;
}

/** Oldest first; of one time in the order of nodes, and of one node as it had them. */
function merged(events: readonly AuditEvent[]): readonly AuditEvent[] {
  return [...events].reverse().sort((a, b) =>
    a.timeMs - b.timeMs || (a.node < b.node ? -1 : a.node > b.node ? 1 : 0)
  );
}
