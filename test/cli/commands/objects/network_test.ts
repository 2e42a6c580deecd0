/** The commands on objects as people use them, on one real private network of three. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openStore } from "../../../../cli/objects/open_store.ts";
import { type PrivateLab, privateThree, withPrivateLab } from "../../private_support.ts";
import { programWith, type Ran, until } from "../../support.ts";

const MiB = 1024 * 1024;
const MAIN = new URL("../../../../cli/main.ts", import.meta.url).href;

/** Bytes that no two stretches of have in common. */
function bytesOf(count: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(count / 4));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    words[i] = state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  }
  return new Uint8Array(words.buffer, 0, count);
}

/** One JSON value a line. */
function values(ran: Ran): Record<string, unknown>[] {
  return ran.stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

interface Shell {
  readonly folder: string;
  path(name: string): string;
  /** Runs a command that must end well. */
  ok(...args: string[]): Promise<Ran>;
  /** Runs one that must fail so, and returns what it says. */
  fails(code: 1 | 2, ...args: string[]): Promise<string>;
  /** Kills it without warning as soon as `when` holds. */
  killed(when: () => Promise<boolean>, ...args: string[]): Promise<void>;
}

function shellOf(lab: PrivateLab): Shell {
  const folder = join(lab.directory, "work");
  Deno.mkdirSync(folder);
  const env = { SPACE_OPERA_PROFILE: lab.profilePath };
  const run = (args: string[]) => programWith({ env, cwd: folder }, ...args);
  return {
    folder,
    path: (name) => join(folder, name),
    async ok(...args) {
      const ran = await run(args);
      assert.equal(ran.code, 0, `${args.join(" ")}: ${ran.stderr}`);
      return ran;
    },
    async fails(code, ...args) {
      const ran = await run(args);
      assert.equal(ran.code, code, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
      return ran.stderr;
    },
    async killed(when, ...args) {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--no-check", "-A", MAIN, ...args],
        env,
        cwd: folder,
        stdout: "null",
        stderr: "null",
      }).spawn();
      let ended = false;
      const status = child.status.finally(() => ended = true);
      await until(`${args[0]} to be in the middle`, async () => ended || await when());
      if (!ended) child.kill("SIGKILL");
      await status;
    },
  };
}

Deno.test("objects go in, out, round and away with the commands, and come back byte for byte", async (t) => {
  await withPrivateLab(async (lab) => {
    const [, , c] = await privateThree(lab);
    const sh = shellOf(lab);
    await sh.ok("bucket", "create", "album", "--versions");
    await sh.ok("bucket", "create", "plain", "--stripe", "2+1");

    await t.step("a tree with strange names goes in and comes out as it was", async () => {
      const names = ["a.txt", "sub dir/é#1 %20.jpg", "sub dir/new\nline", "nil"];
      for (const name of names) {
        const path = sh.path(`tree/${name}`);
        await Deno.mkdir(join(path, ".."), { recursive: true });
        await Deno.writeTextFile(path, name === "nil" ? "" : `this is ${name}`);
      }
      const put = values(await sh.ok("put", "--recursive", "--json", "tree", "so://album/"));
      assert.deepEqual(put.map(({ to }) => to).sort(), names.map((name) => `so://album/tree/${name}`).sort());
      await sh.ok("get", "--recursive", "so://album/tree", "out");
      await sh.ok("get", "--quiet", "so://album/**.jpg", "jpg/");
      for (const name of names) {
        const content = await Deno.readTextFile(sh.path(`tree/${name}`));
        assert.equal(await Deno.readTextFile(sh.path(`out/tree/${name}`)), content);
      }
      assert.equal((await Deno.stat(sh.path("jpg/tree/sub dir/é#1 %20.jpg"))).size, 28);
      // What would steer a terminal or break a line is shown as its number; JSON has it as it is.
      const { stdout } = await sh.ok("ls", "-r", "so://album/");
      assert.equal(stdout.trimEnd().split("\n").length, names.length);
      assert.match(stdout, /new\\u\{a\}line/);
      const listed = values(await sh.ok("ls", "-r", "--json", "so://album"));
      assert.deepEqual(listed.map(({ key }) => key).sort(), names.map((name) => `tree/${name}`).sort());
      assert.deepEqual(values(await sh.ok("ls", "--json", "so://album")), [{
        bucket: "album",
        prefix: "tree/",
      }]);
      assert.match(await sh.fails(1, "ls", "so://album/none"), /^Nothing begins with "so:\/\/album\/none"/);
    });

    await t.step(
      "copies keep what is known of them, moves leave nothing, and both take patterns",
      async () => {
        await sh.ok(
          "put",
          "tree/a.txt",
          "so://album/a",
          "--meta",
          "Who=me",
          "--tag",
          "k=v",
          "--type",
          "text/x-a",
        );
        await sh.ok("cp", "so://album/a", "so://plain/b");
        const [of] = values(await sh.ok("stat", "--json", "so://plain/b"));
        assert.deepEqual([of?.metadata, of?.tags], [{ "content-type": "text/x-a", "x-amz-meta-who": "me" }, {
          k: "v",
        }]);
        await sh.ok("mv", "so://plain/?", "so://plain/moved/");
        assert.deepEqual(values(await sh.ok("ls", "-r", "--json", "so://plain")).map(({ key }) => key), [
          "moved/b",
        ]);
        await sh.ok("mv", "so://plain/moved/b", "back");
        assert.equal(await Deno.readTextFile(sh.path("back")), "this is a.txt");
        assert.equal((await sh.ok("ls", "so://plain")).stdout, "");
        assert.match(await sh.fails(2, "mv", "so://album/a", "so://album/a"), /cannot be moved onto itself/);
      },
    );

    await t.step("removed objects come back with restore, older versions by their ids", async () => {
      for (const text of ["one", "two"]) {
        await Deno.writeTextFile(sh.path("v"), text);
        await sh.ok("put", "v", "so://album/v");
      }
      await sh.ok("rm", "so://album/v");
      assert.match(await sh.fails(1, "stat", "so://album/v"), /was removed; restore brings it back/);
      const versions = values(await sh.ok("versions", "--json", "so://album/v"));
      assert.deepEqual(versions.map(({ deleted }) => deleted), [true, false, false]);
      await sh.ok("restore", "so://album/v");
      assert.equal((await sh.ok("get", "so://album/v", "-")).stdout, "two");
      await sh.ok("restore", "so://album/v", "--version", String(versions[2]?.version));
      assert.equal((await sh.ok("get", "so://album/v", "-")).stdout, "one");
      assert.match(await sh.fails(1, "restore", "so://album/v"), /was not removed; name the version/);
      assert.match(
        await sh.fails(1, "rm", "so://album/nothing"),
        /There is no object "so:\/\/album\/nothing"/,
      );
      await sh.ok("rm", "--all-versions", "so://album/v");
      assert.match(await sh.fails(1, "versions", "so://album/v"), /There is no version of/);
    });

    await t.step("rules are shown, added and dropped", async () => {
      await sh.ok("bucket", "expire", "album", "--prefix", "tmp/", "--days", "1");
      const { stdout } = await sh.ok(
        "bucket",
        "expire",
        "album",
        "--older-versions-days",
        "30",
        "--keep",
        "3",
      );
      assert.match(stdout, /rule-1: of "tmp\/…": objects after 1 day\n/);
      assert.match(stdout, /rule-2: of all: older versions after 30 days but the 3 newest of them\n/);
      const [left] = values(await sh.ok("bucket", "expire", "album", "--drop", "rule-1", "--json"));
      assert(Array.isArray(left?.lifecycle) && left.lifecycle.length === 1);
    });

    await t.step("an upload killed in the middle goes on, and sends again what has changed", async () => {
      const big = bytesOf(40 * MiB + 12_345, 7);
      await Deno.writeFile(sh.path("big"), big);
      const put = ["put", "big", "so://album/big", "--part-size", "5MiB", "--parallel", "1"];
      const store = openStore(await lab.client());
      const parts = async () => {
        const [upload] = (await store.listUploads({ bucket: "album", limit: 1 })).uploads;
        if (upload === undefined) return 0;
        const { parts } = await store.listParts({
          bucket: "album",
          key: "big",
          upload: upload.id,
          after: 0,
          limit: 1000,
        });
        return parts.reduce((sum, { bytes }) => sum + bytes, 0);
      };
      await sh.killed(async () => await parts() >= 10 * MiB, ...put);
      const had = await parts();
      big[3] = big[3]! ^ 1;
      await Deno.writeFile(sh.path("big"), big);
      const { stderr } = await sh.ok(...put);
      // On a machine that stood still it was whole before it could be killed. The first part is not as it was.
      if (had > 5 * MiB) assert.match(stderr, /MiB there before$/m);
      assert.deepEqual(values(await sh.ok("bucket", "uploads", "album", "--json")), []);
      await sh.ok("get", "so://album/big", "got");
      assert.deepEqual(await Deno.readFile(sh.path("got")), big);
      assert.match(
        await sh.fails(1, ...put, "--if-absent"),
        /There is an object "so:\/\/album\/big" already/,
      );
    });

    await t.step("a download killed in the middle goes on, and what its file lost is noticed", async () => {
      const part = async () => {
        for await (const { name } of Deno.readDir(sh.folder)) {
          if (/^\.again\.[0-9a-f]{32}\.part$/.test(name)) return sh.path(name);
        }
        return null;
      };
      const begun = async () => {
        const path = await part();
        return path !== null && (await Deno.stat(path)).size > 0;
      };
      await sh.killed(begun, "get", "so://album/big", "again");
      const path = await part();
      if (path !== null) {
        using file = await Deno.open(path, { write: true });
        await file.write(new Uint8Array(100));
      }
      await sh.ok("get", "so://album/big", "again");
      assert.deepEqual(await Deno.readFile(sh.path("again")), await Deno.readFile(sh.path("big")));
      assert.equal(await part(), null);
    });

    await t.step("a transfer outlives a node", async () => {
      const put = sh.ok("put", "big", "so://album/onward", "--part-size", "5MiB");
      await new Promise((done) => setTimeout(done, 700));
      await c.kill();
      await put;
      await sh.ok("get", "so://album/onward", "onward");
      assert.deepEqual(await Deno.readFile(sh.path("onward")), await Deno.readFile(sh.path("big")));
      assert.match((await sh.ok("status")).stdout, /^objects {3}\d+ fragments, \d+\.\d MiB$/m);
    });

    await t.step("whoever may not is refused, and nothing is left of a bucket that is removed", async () => {
      await sh.ok(
        "access",
        "create",
        "reader",
        "--allow",
        "so://album/tree/:r",
        "--profile-out",
        "reader.json",
      );
      const as = ["--profile", "reader.json"];
      await sh.ok("get", "so://album/tree/a.txt", "-", ...as);
      await sh.ok("get", "--recursive", "so://album/tree", "seen", ...as);
      assert.match(
        await sh.fails(1, "rm", "so://album/tree/a.txt", ...as),
        /may not write "so:\/\/album\/tree\/a.txt": it needs the right write/,
      );
      assert.match(await sh.fails(1, "get", "so://album/a", "-", ...as), /may not read "so:\/\/album\/a"/);
      assert.match(
        await sh.fails(1, "ls", "so://album", ...as),
        /may not list what begins with "so:\/\/album\/"/,
      );
      assert.match(await sh.fails(1, "bucket", "delete", "album"), /empty it first/);
      await sh.ok("bucket", "delete", "album", "--force");
      assert.match(await sh.fails(1, "ls", "so://album"), /There is no bucket "album"/);
    });
  });
});

Deno.test("what cannot be meant ends with code 2 and says what to do", async () => {
  for (
    const [args, words] of [
      [["put", "x"], /name where to as well/],
      [["put", "x", "y"], /"y" does not name an object; write so:\/\/BUCKET\/KEY/],
      [["put", "so://a/b", "so://c/d"], /"so:\/\/a\/b" is in the network already; copy it with cp/],
      [["put", "x", "so://bucket/x", "--part-size", "1MiB"], /takes 5MiB or more, not "1MiB"/],
      [["put", "x", "so://bucket/x", "--tag", "k"], /takes NAME=VALUE, not "k"/],
      [
        ["put", "x", "so://bucket/x", "--if-absent", "--if-match", "e"],
        /--if-absent or --if-match, not both/,
      ],
      [["get", "s3://a/b"], /is no place that is known here/],
      [["cp", "x", "y"], /Neither end is in the network/],
      [["cp", "so://a/b", "y", "--type", "a/b"], /Option --type is about objects that are written/],
      [["cp", "so://a/b", "so://a/c", "so://d/", "--version", "v"], /--version is about one object/],
      [["mv", "so://a/b", "-"], /"-" is a pipe, and nothing is moved through one/],
      [["rm", "-r", "so://a/b", "--version", "v"], /--version is about one version of one object/],
      [["versions", "so://a"], /add --recursive/],
      [["stat", "so://a"], /names a bucket; name an object in it/],
      [["bucket", "create", "abc", "--copies", "9"], /takes an integer from 1 to 8, not "9"/],
      [["bucket", "create", "abc", "--stripe", "0+1"], /takes DATA\+PARITY, .*, not "0\+1"/],
      [["bucket", "create", "abc", "--copies", "2", "--stripe", "2+1"], /--copies or --stripe, not both/],
      [["bucket", "expire", "abc"], /Say what expires/],
      [["bucket", "change", "abc"], /Give --versions on or --versions off/],
    ] as const
  ) {
    const { code, stdout, stderr } = await programWith({}, ...args);
    assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
    assert.equal(stdout, "");
    assert.match(stderr, words);
  }
});
