/** `space-opera keys`: the generations of the network's keys, and what seals a node's own. */
import { Command } from "commander";
import type { SystemView } from "../../core/wire/messages.ts";
import type { NetworkKey } from "../../core/wire/security.ts";
import type { Client } from "../client/client.ts";
import { fingerprint } from "../host/identity/certificates.ts";
import { print, table, tell } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";
import { passphraseCommand, sealCommand, unsealCommand } from "./keyring.ts";
import { lacking, presentMembers, securityOf } from "./private.ts";

const LOOK_MS = 100;
/** A member that is away holds a new generation up until it is declared gone. */
const CURRENT_MS_MAX = 60_000;

export function keysCommand(): Command {
  return withConnection(new Command("keys"))
    .enablePositionalOptions()
    .description("print the generations of the network's keys, and who has them")
    .addHelpText(
      "after",
      `
Examples:
  space-opera keys
  space-opera keys rotate
  space-opera keys seal --data ./a --passphrase-file secret.txt

A generation is wanted, made, current, then former. HOLDERS have its secret; USERS still have files or certificates
that need it. Those who are AWAY are gone, and need it to come back. One that nobody needs any more is forgotten.`,
    )
    .action((flags: ConnectFlags) =>
      withClient(flags, async (client) => {
        const { view } = await client.layout();
        const keys = securityOf(view).keys.map((key) => generationOf(view, key));
        if (flags.json) return print(JSON.stringify(keys));
        print(table(
          ["GENERATION", "STATE", "AUTHORITY", "HOLDERS", "USERS", "AWAY"],
          keys.map((k) => [
            k.id,
            k.state,
            k.fingerprint?.slice(0, 16) ?? "-",
            k.holders.join(" ") || "-",
            k.users.join(" ") || "-",
            k.away.join(" ") || "-",
          ]),
        ));
      })
    )
    .addCommand(rotateCommand())
    .addCommand(sealCommand())
    .addCommand(unsealCommand())
    .addCommand(passphraseCommand());
}

function generationOf(view: SystemView, { id, state, authority }: NetworkKey) {
  const members = presentMembers(view);
  const gone = view.members.filter(({ state }) => state === "gone");
  const having = (has: (holds: number, uses: number) => boolean, among = members) =>
    among.filter(({ identity }) => identity !== undefined && has(identity.holds, identity.uses)).map((m) =>
      m.id
    );
  return {
    id,
    state,
    fingerprint: authority.length === 0 ? null : fingerprint(authority),
    holders: having((holds) => holds >= id),
    users: having((holds, uses) => uses <= id && id <= holds),
    away: having((_, uses) => uses <= id, gone),
  };
}

function rotateCommand(): Command {
  return withConnection(new Command("rotate"))
    .description("give the network a new generation of keys, and encrypt anew in the background")
    .option("--no-wait", "do not wait until it is current")
    .addHelpText(
      "after",
      `
Example:
  space-opera keys rotate

Old data stays readable meanwhile. \`space-opera keys\` tells how far it is. An operator's access key is needed.`,
    )
    .action((flags: ConnectFlags & { wait: boolean }) =>
      withClient(flags, async (client) => {
        const version = await client.rotateKeys();
        const generation = await newestSince(client, version);
        const current = flags.wait ? await untilCurrent(client, generation) : false;
        if (flags.json) return print(JSON.stringify({ generation, current }));
        if (!flags.wait) print(`Generation ${generation} of the keys is wanted`);
      })
    );
}

async function newestSince(client: Client, version: number): Promise<number> {
  for (;; await pause()) {
    const { view } = await client.layout();
    if (view.version >= version) return securityOf(view).keys.at(-1)!.id;
  }
}

/**
 * Waits until generation `id` of the keys, or a later one, is current, and says how it goes. False: it is not yet, since
 * members are away.
 */
export async function untilCurrent(client: Client, id: number): Promise<boolean> {
  for (let told = "", giveUp = performance.now() + CURRENT_MS_MAX;; await pause()) {
    const { view } = await client.layout();
    const { keys } = securityOf(view);
    const current = keys.find(({ state }) => state === "current");
    if (current !== undefined && current.id >= id) {
      tell(
        `Generation ${current.id} of the keys is current; what is on disk is encrypted anew in the background`,
      );
      return true;
    }
    const made = keys.some((key) => key.id >= id && key.state === "made");
    const line = made
      ? `Generation ${id} of the keys is made; it waits for ${
        lacking(view, id).join(", ") || "the members' word"
      }`
      : `Generation ${id} of the keys is wanted`;
    if (line !== told) tell(line);
    told = line;
    if (performance.now() < giveUp) continue;
    tell("It goes on without this command; `space-opera keys` tells how far it is");
    return false;
  }
}

function pause(): Promise<void> {
  return new Promise((done) => setTimeout(done, LOOK_MS));
}
