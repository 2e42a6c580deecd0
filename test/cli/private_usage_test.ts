/** What the commands of private networks say to wrong usage, and where there is no private network. */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { shown } from "../../cli/commands/audit.ts";
import { rightsOption, rightText } from "../../cli/commands/rights.ts";
import { UsageError } from "../../cli/commands/errors.ts";
import { program, programWith, withLab } from "./support.ts";

Deno.test("wrong usage of the commands for private networks ends with code 2 and says what to do", async () => {
  for (
    const [args, words] of [
      [["access", "create", "crew"], /^An access key needs rights: give --allow PREFIX:LETTERS/],
      [
        ["access", "create", "crew", "--allow", "star/"],
        /takes PREFIX:LETTERS of r, w and a, .*, not "star\/"/,
      ],
      [["access", "create", "", "--allow", ":r"], /has 1 to 64 bytes, not the 0 of ""/],
      [
        ["access", "create", "c", "--allow", ":r", "--profile-out", "support.ts"],
        /is a file "support.ts" already/,
      ],
      [["access", "change", "crew"], /^Give --allow or --name, or both/],
      [["invite", "--ttl", "0s"], /^Option --ttl takes a time from 1s to 30d, not "0s"/],
      [["invite", "--uses", "1001"], /^Option --uses takes an integer from 1 to 1000, not "1001"/],
      [["invite", "--address", "nowhere"], /^Option --address: .*"nowhere"/],
      [
        ["invite", "drop", "x"],
        /^An invite's id has 16 hexadecimal digits, not "x"; see: space-opera invite list/,
      ],
      [["evict"], /^Missing required argument 'node'/],
      [["audit", "--limit", "0"], /^Option --limit takes an integer from 1/],
      [
        ["keys", "seal", "--data", "none", "--key-file", "k", "--passphrase-file", "p"],
        /There is no keyring/,
      ],
    ] as const
  ) {
    const { code, stdout, stderr } = await program(...args);
    assert.equal(code, args[1] === "seal" ? 1 : 2, stderr);
    assert.equal(stdout, "");
    assert.match(stderr, words);
  }
});

Deno.test("where there is no profile, the commands that need one say where they looked", async () => {
  const cwd = await Deno.makeTempDir();
  try {
    const none = await programWith({ cwd }, "profile", "show");
    assert.equal(none.code, 1);
    assert.match(
      none.stderr,
      /no --profile, no SPACE_OPERA_PROFILE, and no file "space-opera-data\/profile.json"/,
    );
    const path = join(cwd, "mine.json");
    for (const named of [{ args: ["--profile", path] }, { args: [], env: { SPACE_OPERA_PROFILE: path } }]) {
      const missing = await programWith({ cwd, env: named.env ?? {} }, "whoami", ...named.args);
      assert.equal(missing.code, 1);
      assert(missing.stderr.startsWith(`There is no profile "${path}". Name another`), missing.stderr);
    }
    await Deno.writeTextFile(path, "{}", { mode: 0o644 });
    const rights = await programWith({ cwd }, "whoami", "--profile", path);
    assert.match(
      rights.stderr,
      /^Cannot use the profile: .* may be used by others \(mode 644\). Run: chmod 600/,
    );
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
});

Deno.test("an open network has no keys, invites or access keys, and says so", () =>
  withLab(async (lab) => {
    const { address } = await lab.start({ id: "a" });
    for (const args of [["invite"], ["keys"], ["access", "list"], ["evict", "a", "--yes"]]) {
      const { code, stderr } = await program(...args, "--connect", address);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^Network [0-9a-f]{32} is open: it has no keys, invites or access keys\. A private one/,
      );
    }
    const who = await program("whoami", "--json", "--connect", address);
    assert.equal(JSON.parse(who.stdout).open, true);
  }));

Deno.test("rights are read as they are written", () => {
  const parse = rightsOption("--allow");
  const arbRight = fc.record({
    prefix: fc.string({ maxLength: 40, unit: "grapheme" }),
    read: fc.boolean(),
    write: fc.boolean(),
    admin: fc.boolean(),
  }, { noNullPrototype: true }).filter(({ read, write, admin }) => read || write || admin);
  fc.assert(fc.property(arbRight, (right) => assert.deepEqual(parse(rightText(right), []), [right])));
  assert.deepEqual(parse("a:b:ar", undefined), [{ prefix: "a:b", read: true, write: false, admin: true }]);
  const given = parse("x:r", undefined);
  for (const wrong of ["", "x", "x:", "x:rr", "x:q", ":", "x:rwar", "x:w", `${"k".repeat(1281)}:r`]) {
    assert.throws(() => parse(wrong, given), UsageError, wrong);
  }
});

Deno.test("the audit shows dates, of events of before too, and leaves all else as it is", () => {
  const date = "invite-add 0f3a52c1d4e5b697 uses 1 until 2026-11-21T16:10:31Z";
  assert.equal(shown("invite-add 0f3a52c1d4e5b697 uses 1 until 1795277431813"), date);
  assert.equal(shown("invite-add 0f3a52c1d4e5b697 uses 1 until 1795277431813 now 1795273831813"), date);
  for (const what of ["evict d2", 'put "invite-add 0f uses 1 until 1795277431813"', "join d2 at a:1"]) {
    assert.equal(shown(what), what);
  }
});

Deno.test("completions know the commands and options of private networks", async () => {
  const complete = async (...words: string[]) => (await program("complete", "--", ...words)).stdout;
  const commands = await complete("");
  for (const name of ["init", "invite", "evict", "keys", "access", "profile", "whoami", "audit"]) {
    assert.match(commands, new RegExp(`^${name}\\t`, "m"), name);
  }
  assert.match(await complete("keys", ""), /^rotate\t/m);
  assert.match(await complete("access", "create", "--"), /^--allow\t/m);
});
