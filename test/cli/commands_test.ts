/** What a person types, and what a script sees: output, errors and exit codes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseTransaction } from "../../cli/commands/transaction.ts";
import { UsageError } from "../../cli/commands/errors.ts";
import { VERSION } from "../../cli/version.ts";
import { program, withLab } from "./support.ts";

Deno.test("wrong usage ends with code 2 and says what to do", async () => {
  for (
    const [args, words] of [
      [["bogus"], /^Unknown command 'bogus'/],
      [["kv", "get"], /^Missing required argument 'key'/],
      [
        ["kv", "put", "a", "b", "--ttl", "3x"],
        /^Option --ttl takes a time such as 500ms, 30s, 5m or 2h, not "3x"/,
      ],
      [["kv", "cas", "a", "b"], /one of --expect, --absent, --present, --version/],
      [["node", "--capacity", "-1"], /--capacity/],
      [["node", "--partitions", "63"], /^Option --partitions takes a power of two from 1 to \d+, not "63"/],
      [["node", "--id", "a b"], /^Option --id: A node id has 1 to 64 printable .*, not "a b"/],
    ] as const
  ) {
    const { code, stdout, stderr } = await program(...args);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, "");
    assert.match(stderr, words);
  }
});

Deno.test("every command explains itself with an example", async () => {
  const leaves = [
    "node",
    "demo",
    "kv get",
    "kv put",
    "kv del",
    "kv cas",
    "kv range",
    "kv watch",
    "kv history",
    "kv txn",
  ]
    .concat([
      "import stars",
      "status",
      "members",
      "layout show",
      "layout plan",
      "drain",
      "remove",
      "recover",
      "sim",
    ])
    .concat([
      "invite",
      "invite list",
      "invite drop",
      "evict",
      "keys",
      "keys rotate",
      "keys seal",
      "keys unseal",
      "keys passphrase",
      "access create",
      "access list",
      "access change",
      "access revoke",
      "profile show",
      "profile check",
      "whoami",
      "audit",
    ]);
  for (let i = 0; i < leaves.length; i++) {
    const { code, stdout } = await program(...leaves[i]!.split(" "), "--help");
    assert.equal(code, 0, leaves[i]);
    assert.match(stdout, new RegExp(`Examples?:\\n  space-opera ${leaves[i]!.split(" ")[0]}`), leaves[i]);
  }
});

Deno.test("--version prints the version and nothing else", async () => {
  assert.deepEqual(await program("--version"), { code: 0, stdout: `${VERSION}\n`, stderr: "" });
});

Deno.test("a network that is not there is said to be so, with code 1", async () => {
  const { code, stderr } = await program("kv", "get", "k", "--connect", "127.0.0.1:1", "--timeout", "300");
  assert.equal(code, 1);
  assert.match(stderr, /^Cannot reach a node at "127.0.0.1:1": .*Check that one runs there/);
});

Deno.test("kv, import and members work from the command line", () =>
  withLab(async (lab) => {
    const { address } = await lab.start({ id: "a" });
    const so = (...args: string[]) => program(...args, "--connect", address);
    assert.equal((await so("kv", "put", "greeting", "hello")).code, 0);
    assert.equal((await so("kv", "get", "greeting")).stdout, "hello\n");
    assert.equal((await so("kv", "get", "greeting", "--raw")).stdout, "hello");
    const missing = await so("kv", "get", "nothing");
    assert.deepEqual(missing, { code: 1, stdout: "", stderr: 'Key "nothing" does not exist\n' });
    const cas = await so("kv", "cas", "greeting", "--expect", "wrong", "x");
    assert.equal(cas.code, 1);
    assert.match(cas.stderr, /is "hello" \(\d+\.\d+\), so nothing was written/);
    const found = JSON.parse((await so("kv", "get", "greeting", "--json")).stdout);
    assert.equal(found.value, "hello");

    const file = join(lab.directory, "stars.csv");
    const rows = Array.from({ length: 30 }, (_, i) => `${i + 1},Star ${i},Ori,${i}.5,-${i}.25,3.5,`);
    await Deno.writeTextFile(file, `hip,name,constellation,ra,dec,mag,bv\n${rows.join("\n")}\n`);
    const imported = await so("import", "stars", file, "--json");
    assert.equal(JSON.parse(imported.stdout).stars, 30);
    const keys = await so("kv", "range", "--prefix", "star/", "--keys-only", "--limit", "2");
    assert.equal(keys.stdout, "star/1\nstar/10\n");

    const [member] = JSON.parse((await so("members", "--json")).stdout);
    assert.equal(member.id, "a");
    assert.equal(member.liveness, "alive");
    assert.equal(JSON.parse((await so("status", "--json")).stdout).node, "a");
  }));

Deno.test("parseTransaction() takes conditions and both branches, and names what is wrong", () => {
  const { conditions, then, otherwise } = parseTransaction(
    '{"if":[{"key":"a","absent":true},{"key":"b","value":"1"}],"then":[{"put":"a","value":"2"},{"delete":"b"}],"else":[{"get":"a"}]}',
  );
  assert.deepEqual(conditions.map(({ expect }) => expect.kind), ["absent", "value"]);
  assert.deepEqual(then.map(({ kind }) => kind), ["put", "delete"]);
  assert.deepEqual(otherwise.map(({ kind }) => kind), ["get"]);
  for (
    const wrong of ["", "[]", '{"when":[]}', '{"then":[{"put":"a"}]}', '{"if":[{"key":"a"}]}', '{"then":{}}']
  ) {
    assert.throws(() => parseTransaction(wrong), UsageError, wrong);
  }
});
