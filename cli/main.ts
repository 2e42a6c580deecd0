/** The entry of the program: which command it is, loaded only then, so that a small one starts quickly. */
import { Command, CommanderError } from "commander";
import { UsageError } from "./commands/errors.ts";
import { VERSION } from "./version.ts";

interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

const COMMANDS: readonly Entry[] = [
  {
    name: "node",
    summary: "run a node",
    load: async () => (await import("./commands/node.ts")).nodeCommand(),
  },
  {
    name: "init",
    summary: "make a private network, to be run by node",
    load: async () => (await import("./commands/init.ts")).initCommand(),
  },
  {
    name: "demo",
    summary: "three node processes, a star catalogue in, one of them killed, every star still there",
    load: async () => (await import("./commands/demo.ts")).demoCommand(),
  },
  {
    name: "sim",
    summary: "run a scenario in the simulator and check everything that must hold",
    load: async () => (await import("./commands/sim.ts")).simCommand(),
  },
  {
    name: "kv",
    summary: "read, write and follow keys",
    load: async () => (await import("./commands/kv.ts")).kvCommand(),
  },
  {
    name: "import",
    summary: "store data from a file",
    load: async () => (await import("./commands/import.ts")).importCommand(),
  },
  {
    name: "put",
    summary: "store files, or what comes through a pipe, as objects",
    load: async () => (await transfer()).putCommand(),
  },
  { name: "get", summary: "fetch objects", load: async () => (await transfer()).getCommand() },
  { name: "ls", summary: "list buckets or objects", load: async () => (await listing()).listCommand() },
  {
    name: "rm",
    summary: "remove objects",
    load: async () => (await import("./commands/objects/removing.ts")).removeObjectsCommand(),
  },
  {
    name: "cp",
    summary: "copy objects, also into and out of the network",
    load: async () => (await transfer()).copyCommand(),
  },
  { name: "mv", summary: "move objects", load: async () => (await transfer()).moveCommand() },
  {
    name: "stat",
    summary: "what is known of an object",
    load: async () => (await listing()).statCommand(),
  },
  {
    name: "versions",
    summary: "the versions of an object",
    load: async () => (await listing()).versionsCommand(),
  },
  {
    name: "restore",
    summary: "make an older version of an object the newest again",
    load: async () => (await import("./commands/objects/removing.ts")).restoreCommand(),
  },
  {
    name: "bucket",
    summary: "buckets: how what is in them is kept, and how long",
    load: async () => (await import("./commands/objects/bucket.ts")).bucketCommand(),
  },
  { name: "status", summary: "how a node is doing", load: async () => (await network()).statusCommand() },
  {
    name: "members",
    summary: "who belongs to the network",
    load: async () => (await network()).membersCommand(),
  },
  { name: "layout", summary: "which nodes hold what", load: async () => (await network()).layoutCommand() },
  {
    name: "drain",
    summary: "move everything off a node",
    load: async () => (await departure()).drainCommand(),
  },
  {
    name: "remove",
    summary: "take a node out of the network",
    load: async () => (await departure()).removeCommand(),
  },
  {
    name: "invite",
    summary: "let a new node in",
    load: async () => (await import("./commands/invite.ts")).inviteCommand(),
  },
  {
    name: "evict",
    summary: "shut a member out for good",
    load: async () => (await import("./commands/evict.ts")).evictCommand(),
  },
  {
    name: "keys",
    summary: "the network's keys: who has them, rotate; seal a node's own",
    load: async () => (await import("./commands/keys.ts")).keysCommand(),
  },
  {
    name: "access",
    summary: "access keys of clients, and what they may do",
    load: async () => (await import("./commands/access.ts")).accessCommand(),
  },
  {
    name: "profile",
    summary: "show or try the profile that commands log in with",
    load: async () => (await profiles()).profileCommand(),
  },
  {
    name: "whoami",
    summary: "as whom commands log in, and what they may do",
    load: async () => (await profiles()).whoamiCommand(),
  },
  {
    name: "audit",
    summary: "who did what that mattered",
    load: async () => (await import("./commands/audit.ts")).auditCommand(),
  },
  {
    name: "recover",
    summary: "go on with the surviving nodes when a quorum is lost for good",
    load: async () => (await import("./commands/recover.ts")).recoverCommand(),
  },
];

function transfer() {
  return import("./commands/objects/transfer.ts");
}

function listing() {
  return import("./commands/objects/listing.ts");
}

function departure() {
  return import("./commands/departure.ts");
}

function network() {
  return import("./commands/network.ts");
}

function profiles() {
  return import("./commands/profiles.ts");
}

/** Handled by the completions library, which needs to know all commands. */
const COMPLETE = "complete";

/** Runs the program and returns its exit code: 0 done, 1 failed, 2 wrong usage. */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Command("space-opera")
    .description("One network of equal nodes that keeps data safe while nodes come and go, and its simulator")
    .version(VERSION, "-V, --version", "print the version")
    // What follows a command's name is the command's.
    .enablePositionalOptions();
  const wanted = args.find((arg) => !arg.startsWith("-"));
  for (const { name, summary, load } of COMMANDS) {
    // Only the command that is meant is loaded; the others are there to be listed.
    const needed = name === wanted || wanted === COMPLETE;
    program.addCommand(needed ? await load() : new Command(name).description(summary));
  }
  if (wanted === COMPLETE) (await import("@bomb.sh/tab/commander")).default(program);
  else {program.command(`${COMPLETE} <shell>`).description(
      "print completions for zsh, bash, fish or powershell",
    );}
  for (const command of everyCommand(program)) {
    // Help needs no colours, and asking for them would need the right to read the environment.
    command.configureOutput({
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      outputError: (text, write) => write(sentence(text)),
    });
    command.exitOverride().showHelpAfterError("Run with --help for what there is");
  }
  try {
    await program.parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const text = error instanceof Error ? error.message : String(error);
    await Deno.stderr.write(new TextEncoder().encode(`${text}\n`));
    return error instanceof UsageError ? 2 : 1;
  }
}

/** Commander's own errors in the form of all others. */
function sentence(text: string): string {
  const bare = text.replace(/^error: /, "");
  return bare.charAt(0).toUpperCase() + bare.slice(1);
}

function* everyCommand(command: Command): Generator<Command> {
  yield command;
  for (const below of command.commands) yield* everyCommand(below);
}

if (import.meta.main) {
  const code = await main(Deno.args);
  // A command that failed without an error of its own has said so already.
  Deno.exit(code === 0 ? Deno.exitCode : code);
}
