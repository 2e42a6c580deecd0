/** The last resort: a network whose quorum is lost for good goes on with what its surviving nodes have. */
import { join } from "node:path";
import { Command } from "commander";
import { SYSTEM_PARTITION } from "../../core/base/ids.ts";
import {
  needsNothing,
  type PartitionRecovery,
  planRecovery,
  type RecoveryPlan,
} from "../../core/node/salvage.ts";
import { PROFILE_FILE } from "../host/life/founding.ts";
import { randomHex } from "../host/life/origin.ts";
import { applyRecovery, survey } from "../host/salvage.ts";
import { statOf } from "../host/stat.ts";
import { print, styled, tell } from "../terminal.ts";
import { UsageError } from "./errors.ts";
import { collect } from "./options.ts";
import {
  heldBy,
  type KeyedPlan,
  type KeyedSurvivor,
  openKeyringOf,
  renamed,
  renewProfile,
  tablesKeysOf,
  withKeys,
} from "./recover_keys.ts";
import { type SealFlags, withSealing } from "./sealing.ts";
import { formatPlan, formatSurvivor, parsePlan, parseSurvivor } from "./recovery_files.ts";

/** The plan of a recovery that was begun, in each data directory until all are done. */
const PLAN_FILE = "recovery.json";

interface ConsentFlags {
  readonly force?: boolean;
  readonly acceptLoss?: boolean;
}
interface RecoverFlags extends ConsentFlags, SealFlags {
  readonly profile?: readonly string[];
  readonly data?: readonly string[];
  readonly yes?: boolean;
  readonly json?: boolean;
}

interface ApplyFlags extends SealFlags {
  readonly data: string;
  readonly plan: string;
  readonly yes?: boolean;
  readonly profile?: readonly string[];
}

/** `space-opera recover`: makes a network of what is left of one. */
export function recoverCommand(): Command {
  const command = new Command("recover")
    .enablePositionalOptions()
    .description(
      "go on with the surviving nodes when a quorum is lost for good; writes may be lost, so read --help",
    )
    .option("--data <dir>", "a surviving node's data directory; given once for each, all stopped", collect)
    .option("--yes", "do not ask")
    .option("--json", "print JSON");
  return withConsent(withProfiles(withSealing(command, "that opens the keyrings")))
    .addHelpText(
      "after",
      `
Only when more nodes are lost than the network can stand, and none of them will ever come back. As long as each
partition can elect a leader among the nodes that are left, start those and remove the dead instead.

  - Stop every node that is left, and name the data directories of ALL of them: a node that is not named is given up.
  - Writes that only lost nodes had acknowledged are lost.
  - The survivors become a network of a new name: a lost node that comes back after all is refused.
  - Copy the data directories first.
  - Of a private network the keys and the access keys go on; invites are void. Profiles of the old network are refused:
    those in the directories, and those named with --profile, are made to fit. The new network gives itself new keys at
    once, which the lost nodes do not know.

Examples:
  space-opera recover --data ./a --data ./b

On several machines, one file from each:
  space-opera recover inspect --data ./a > a.json
  space-opera recover plan a.json b.json > plan.json
  space-opera recover apply --data ./a --plan plan.json

An interrupted recovery is completed by giving the same command again.`,
    )
    .action((flags: RecoverFlags) => recoverHere(flags))
    .addCommand(inspectCommand())
    .addCommand(planCommand())
    .addCommand(applyCommand());
}

function withProfiles(command: Command): Command {
  return command.option(
    "--profile <file>",
    "a profile of the old network, which is to let into the new one; may be given more than once",
    collect,
  );
}

function withConsent(command: Command): Command {
  return command
    .option("--force", "though the nodes that are left could go on by themselves")
    .option("--accept-loss", "begin partitions anew, empty, of which no node has the data");
}

async function recoverHere(
  { data = [], yes = false, json = false, profile: profiles = [], ...flags }: RecoverFlags,
): Promise<void> {
  if (data.length === 0) {
    throw new UsageError("Name the data directories of all nodes that are left, with --data");
  }
  const begun = data.map((path) => readPlan(join(path, PLAN_FILE))).find((plan) => plan !== null) ?? null;
  if (begun !== null) tell(`Completing the recovery of network ${begun.from} that was begun before`);
  const plan = begun ?? planOf(await surveyAll(data, flags));
  checkConsent(plan, flags);
  tell(describe(plan));
  if (!yes) confirm(plan);
  for (const path of data) writeWhole(join(path, PLAN_FILE), formatPlan(plan));
  for (const path of data) await apply(path, plan, { ...flags, profiles });
  for (const path of data) Deno.removeSync(join(path, PLAN_FILE));
  if (json) return print(formatPlan(plan));
  print(
    `Network ${plan.network} goes on with ${plan.survivors.join(", ")}: start ${
      plan.survivors.length > 1 ? "them" : "it"
    } again`,
  );
}

async function surveyAll(paths: readonly string[], flags: SealFlags): Promise<KeyedSurvivor[]> {
  const survivors: KeyedSurvivor[] = [];
  for (const path of paths) survivors.push(await surveyed(path, flags));
  return survivors;
}

async function surveyed(path: string, flags: SealFlags): Promise<KeyedSurvivor> {
  const keyring = await openKeyringOf(path, flags);
  return { ...await survey(path, tablesKeysOf(keyring)), held: heldBy(keyring) };
}

function planOf(survivors: readonly KeyedSurvivor[]): KeyedPlan {
  const plan = planRecovery(survivors, randomHex(16));
  const helds = plan.survivors.map((node) => survivors.find((s) => s.node === node)!.held);
  return withKeys(plan, helds, Date.now());
}

/**
 * This node's part of a plan. The keyring bears the new name before the journal does, and node.json at the end: in between
 * the node does not start, and a second call completes it.
 */
async function apply(
  path: string,
  plan: KeyedPlan,
  { profiles, ...flags }: SealFlags & { readonly profiles: readonly string[] },
): Promise<boolean> {
  const keyring = await openKeyringOf(path, flags);
  if (keyring === null || plan.issuedMs === null) return await applyRecovery(path, plan);
  const whole = await renamed(plan, keyring);
  if (keyring.network !== plan.network) keyring.rename(plan.network, whole.authorities);
  const done = await applyRecovery(path, whole.plan, tablesKeysOf(keyring));
  const own = join(path, PROFILE_FILE);
  for (const profile of [...(statOf(own)?.isFile === true ? [own] : []), ...profiles]) {
    if (!renewProfile(profile, plan.from, whole.plan.view)) continue;
    tell(`The profile "${profile}" lets into the new network now`);
  }
  return done;
}

function inspectCommand(): Command {
  return withSealing(new Command("inspect"), "that opens its keyring")
    .description("print what a stopped node has, as JSON for `recover plan`")
    .requiredOption("--data <dir>", "its data directory")
    .addHelpText("after", "\nExample:\n  space-opera recover inspect --data ./a > a.json")
    .action(async ({ data, ...flags }: { data: string } & SealFlags) => {
      print(formatSurvivor(await surveyed(data, flags)));
    });
}

function planCommand(): Command {
  return withConsent(new Command("plan"))
    .description(
      "print what to do, as JSON for `recover apply`, from what `recover inspect` said of all nodes left",
    )
    .argument("<file...>")
    .addHelpText("after", "\nExample:\n  space-opera recover plan a.json b.json > plan.json")
    .action((files: string[], consent: ConsentFlags) => {
      const plan = planOf(files.map((file) => parseSurvivor(file, readText(file))));
      checkConsent(plan, consent);
      tell(describe(plan));
      print(formatPlan(plan));
    });
}

function applyCommand(): Command {
  return withProfiles(withSealing(new Command("apply"), "that opens its keyring"))
    .description("carry out a plan on one stopped node; to be done on each")
    .requiredOption("--data <dir>", "its data directory")
    .requiredOption("--plan <file>", "what `recover plan` printed")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample:\n  space-opera recover apply --data ./a --plan plan.json")
    .action(async ({ data, plan: file, yes, profile: profiles = [], ...flags }: ApplyFlags) => {
      const plan = parsePlan(file, readText(file));
      tell(describe(plan));
      if (yes !== true) confirm(plan);
      const done = await apply(data, plan, { ...flags, profiles });
      print(done ? `"${data}" belongs to network ${plan.network} now` : `"${data}" belonged to it already`);
    });
}

function checkConsent(plan: RecoveryPlan, { force = false, acceptLoss = false }: ConsentFlags): void {
  if (needsNothing(plan) && !force) {
    throw new Error(
      `Every partition can elect a leader among ${
        plan.survivors.join(", ")
      }: nothing is lost, and nothing was changed. ` +
        `Start these nodes and remove the dead (space-opera remove NODE --force)`,
    );
  }
  const empty = plan.partitions.filter(isDataLost).map(({ partition }) => partition);
  if (empty.length > 0 && !acceptLoss) {
    throw new Error(
      `No node that is left has the data of ${empty.length} partitions: ${
        listed(empty)
      }. Name more nodes, or begin ` +
        `these partitions empty with --accept-loss. Nothing was changed`,
    );
  }
}

/** The system partition's state is in every node's journal. */
function isDataLost({ kind, partition }: PartitionRecovery): boolean {
  return kind === "begin" && partition !== SYSTEM_PARTITION;
}

function describe({ from, survivors, lost, partitions }: RecoveryPlan): string {
  const chosen = partitions.filter(({ kind }) => kind === "choose");
  const empty = partitions.filter(isDataLost).map(({ partition }) => partition);
  const certain = chosen.filter(({ knownLost }) => knownLost).map(({ partition }) => partition);
  const lines = [
    lost.length === 0
      ? styled("red", `Network ${from} goes on with ${survivors.join(", ")} alone, for good`)
      : styled("red", `Network ${from} goes on without ${lost.length} of its nodes, for good`),
    `  surviving           ${survivors.join(", ")}`,
    `  given up            ${lost.join(", ") || "none"}`,
    `  quorum is left      ${partitions.filter(({ kind }) => kind === "keep").length} partitions`,
    `  quorum is lost      ${chosen.length} partitions: what only the lost nodes had acknowledged is lost`,
  ];
  if (certain.length > 0) {
    lines.push(`  writes surely lost  in ${certain.length} partitions: ${listed(certain)}`);
  }
  if (empty.length > 0) lines.push(`  ALL DATA LOST       of ${empty.length} partitions: ${listed(empty)}`);
  return lines.join("\n");
}

function listed(partitions: readonly number[]): string {
  const first = partitions.slice(0, 20).join(", ");
  return partitions.length > 20 ? `${first} and ${partitions.length - 20} more` : first;
}

function confirm({ from }: RecoveryPlan): void {
  const word = from.slice(0, 8);
  if (!Deno.stdin.isTerminal()) {
    throw new UsageError("Nobody can be asked here. Give --yes to go on, once you have read what is lost");
  }
  const typed = prompt(
    `This cannot be undone. Type the first 8 digits of the network's name, ${word}, to go on:`,
  );
  if (typed?.trim() !== word) throw new Error("Nothing was changed");
}

function writeWhole(file: string, text: string): void {
  Deno.writeTextFileSync(`${file}.new`, text, { mode: 0o600 });
  Deno.renameSync(`${file}.new`, file);
}

/** The plan of a recovery that was begun here; null: none was. */
function readPlan(file: string): KeyedPlan | null {
  return statOf(file) === null ? null : parsePlan(file, readText(file));
}

function readText(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot read "${file}": ${why}`);
  }
}
