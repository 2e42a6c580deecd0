/** What a person types to have S3: a node that serves it, and secrets for it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { withPrivateLab } from "./private_support.ts";
import { answered, type Sent, signed } from "./s3/support.ts";
import { FLAGS, program, until } from "./support.ts";

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

async function send(host: string, method: string, path: string, init: Sent) {
  const headers = signed(method, path, host, init);
  return await answered(await fetch(`http://${host}${path}`, { method, headers, body: init.body ?? null }));
}

interface Made {
  readonly id: string;
  readonly s3Secret: string | null;
}

Deno.test("node --s3 serves objects to who has a secret of access create --s3 or access s3", () =>
  withPrivateLab(async (lab) => {
    const host = `127.0.0.1:${freePort()}`;
    await lab.start({ id: "a", flags: [...FLAGS, "--s3", host] });
    const json = async (...args: string[]): Promise<Made> => {
      const { code, stdout, stderr } = await lab.run(...args, "--json");
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    };
    const first = await json("access", "create", "maps", "--allow", "so://maps/:rw", "--s3");
    assert.match(first.s3Secret ?? "", /^[A-Za-z0-9_-]{43}$/);
    const key = { id: first.id, secret: first.s3Secret! };
    assert.equal((await send(host, "PUT", "/maps", key)).status, 200);
    assert.equal((await send(host, "PUT", "/maps/vega", { ...key, body: "bright" })).status, 200);
    assert.equal((await send(host, "GET", "/maps/vega", key)).text, "bright");
    assert.equal((await send(host, "PUT", "/others", key)).code, "AccessDenied");

    const second = await json("access", "s3", "maps");
    assert.notEqual(second.s3Secret, first.s3Secret);
    const renewed = { id: first.id, secret: second.s3Secret! };
    await until(
      "the new secret to hold",
      async () => (await send(host, "GET", "/maps/vega", renewed)).text === "bright",
    );
    assert.equal((await send(host, "GET", "/maps/vega", key)).code, "SignatureDoesNotMatch");
    const shown = await lab.run("access", "s3", "maps");
    assert.match(
      shown.stdout,
      new RegExp(`^aws_access_key_id {6}${first.id}\naws_secret_access_key {2}\\S{43}\n$`),
    );

    // Secrets are among the keys, and no command shows them.
    const all = await lab.run("kv", "range", "--json");
    assert.deepEqual([all.code, all.stdout], [0, ""]);
    const asked = await lab.run("kv", "get", `\u0001k${first.id}`);
    assert.equal(asked.code, 2);
    assert.match(
      asked.stderr,
      /^Keys that begin with U\+0001, as "\\u0001kSO\w+" does, are the network's own/,
    );

    assert.equal((await json("access", "s3", "maps", "--drop")).s3Secret, null);
    await until(
      "the secret to be void",
      async () => (await send(host, "GET", "/maps/vega", renewed)).code === "InvalidAccessKeyId",
    );
    await json("access", "s3", "maps");
    const revoked = await lab.run("access", "revoke", "maps");
    assert.equal(revoked.code, 0, revoked.stderr);
    assert.match((await lab.run("access", "s3", "maps")).stderr, /^No access key is named "maps"/);
  }));

Deno.test("node takes the options of S3 together, files that are PEM, and opens no open network to others", async () => {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-test-" });
  try {
    const file = join(directory, "file"), data = ["--data", join(directory, "a")];
    await Deno.writeTextFile(file, "no certificate");
    const s3 = ["--s3", "127.0.0.1:0"];
    for (
      const [args, words] of [
        [["--s3", "nowhere"], /^Option --s3: An address is "host:port"/],
        [["--s3-domain", "s3.example.com"], /^Option --s3-domain goes with --s3 HOST:PORT/],
        [[...s3, "--s3-cert", file], /^Options --s3-cert and --s3-key go together/],
        [
          [...s3, "--s3-cert", file, "--s3-key", file],
          /^Option --s3-cert: ".*file" is no PEM file of a certificate/,
        ],
        [
          [...s3, "--s3-cert", join(directory, "none"), "--s3-key", file],
          /^Option --s3-cert: cannot read ".*none": there is no such file/,
        ],
        [["--dev", "--s3", "0.0.0.0:9000"], /^An open network is for this machine only.*--s3/],
      ] as const
    ) {
      const { code, stderr } = await program("node", ...data, "--listen", "127.0.0.1:0", ...args);
      assert.equal(code, 2, `${args.join(" ")} ${stderr}`);
      assert.match(stderr.trim().split("\n").at(-1)!, words);
    }
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const address = `127.0.0.1:${(taken.addr as Deno.NetAddr).port}`;
    const refused = await program("node", ...data, "--dev", "--listen", "127.0.0.1:0", "--s3", address);
    taken.close();
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, new RegExp(`Cannot serve S3 at "${address}": .*in use`));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
