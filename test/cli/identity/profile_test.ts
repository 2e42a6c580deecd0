/** Profiles: found where they should be, read strictly, and never where others may read them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import {
  type FoundProfile,
  learn,
  parseProfile,
  type Profile,
  PROFILE_BYTES_MAX,
  PROFILE_VARIABLE,
  ProfileError,
  type ProfileErrorReason,
  profileFrom,
  readProfile,
  writeProfile,
} from "../../../cli/client/profile.ts";
import { nodeId } from "../../../core/base/ids.ts";
import { Credentials, makeAccessKey } from "../../../cli/host/identity/access_key.ts";
import { fingerprint, readAuthority } from "../../../cli/host/identity/certificates.ts";
import { publicKeyOfSeed } from "../../../cli/host/identity/ed25519.ts";
import { generation, NETWORK, OTHER_NETWORK, withDirectory } from "./support.ts";

const key = (n: number) => publicKeyOfSeed(new Uint8Array(32).fill(n));
const refused = (reason: ProfileErrorReason) => (error: unknown) =>
  error instanceof ProfileError && error.reason === reason;

async function profile(): Promise<Profile> {
  const two = await generation({ id: 2 }), one = await generation();
  return {
    network: NETWORK,
    addresses: ["127.0.0.1:7070", "[::1]:7071"],
    fingerprint: fingerprint(two.authority),
    authorities: [readAuthority(two.authority), readAuthority(one.authority)],
    members: [{ node: nodeId("sirius"), key: key(1) }, { node: nodeId("vega"), key: key(2) }],
    access: new Credentials(makeAccessKey()),
  };
}

const shown = (profile: Profile) => ({ ...profile, access: profile.access?.reveal() ?? null });
const none = () => undefined;

Deno.test("readProfile() gives back what writeProfile() was given, in a file of its owner alone", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "new", "deep", "profile.json");
    const given = await profile();
    writeProfile(path, given);
    assert.deepEqual(shown(readProfile(path)), shown(given));
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    assert.equal(Deno.statSync(join(directory, "new")).mode! & 0o777, 0o700);
    const pinned: Profile = { ...given, authorities: [], members: [], access: null };
    writeProfile(path, pinned);
    assert.deepEqual(shown(readProfile(path)), shown(pinned));
  }));

Deno.test("profileFrom() takes the first that there is", () =>
  withDirectory(async (directory) => {
    const home = join(directory, "home"), cwd = join(directory, "cwd");
    const places = {
      option: join(directory, "option.json"),
      variable: join(directory, "variable.json"),
      here: join(cwd, "space-opera-data", "profile.json"),
      home: join(home, ".config", "space-opera", "profile.json"),
    };
    const all = { HOME: home, [PROFILE_VARIABLE]: places.variable };
    const env = (names: Record<string, string>) => (name: string) => names[name];
    const found = (result: FoundProfile | null) => result?.path;
    const inCwd = { directory: cwd };
    assert.equal(profileFrom(inCwd, env({ HOME: home })), null);
    assert.equal(profileFrom(inCwd, env({ HOME: "", [PROFILE_VARIABLE]: "" })), null);
    const given = await profile();
    for (const path of Object.values(places)) writeProfile(path, given);
    assert.equal(found(profileFrom({ ...inCwd, profile: places.option }, env(all))), places.option);
    assert.equal(found(profileFrom(inCwd, env(all))), places.variable);
    assert.equal(found(profileFrom(inCwd, env({ HOME: home }))), places.here);
    await Deno.remove(places.here);
    assert.equal(found(profileFrom(inCwd, env({ HOME: home }))), places.home);
    assert.equal(profileFrom(inCwd, none), null);
  }));

Deno.test("a profile that was named has to be there, and one that is wrong is not passed over", () =>
  withDirectory(async (directory) => {
    const missing = join(directory, "none.json");
    assert.throws(() => profileFrom({ profile: missing }, none), refused("missing"));
    assert.throws(
      () => profileFrom({}, (name) => name === PROFILE_VARIABLE ? missing : undefined),
      refused("missing"),
    );
    const here = join(directory, "space-opera-data", "profile.json");
    const home = join(directory, ".config", "space-opera", "profile.json");
    for (const path of [here, home]) writeProfile(path, await profile());
    await Deno.writeTextFile(here, "{");
    assert.throws(
      () => profileFrom({ directory }, (name) => name === "HOME" ? directory : undefined),
      refused("damaged"),
    );
  }));

Deno.test("attack: a profile that others may read is refused, with the command that mends it", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "profile.json");
    writeProfile(path, await profile());
    await Deno.chmod(path, 0o644);
    assert.throws(() => profileFrom({ profile: path }, none), (error) => {
      return refused("rights")(error) && (error as Error).message.includes(`chmod 600 "${path}"`);
    });
  }));

Deno.test("files that are no profiles are refused, each by its reason, and the file is named", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "profile.json");
    const given = await profile();
    writeProfile(path, given);
    const whole = await Deno.readTextFile(path);
    const secret = given.access!.reveal().secret.slice(12);
    const foreign = await generation({ network: OTHER_NETWORK });
    // deno-lint-ignore no-explicit-any -- edits of JSON
    const edits: ((file: any) => void)[] = [
      (file) => file.format = "1",
      (file) => file.network = "ab",
      (file) => file.addresses = [],
      (file) => file.addresses = ["nowhere"],
      (file) => file.addresses = ["a:1\u001b[2J"],
      (file) => file.addresses = Array(65).fill("a:1"),
      (file) => file.addresses = "a:1",
      (file) => file.authority = null,
      (file) => file.authority.fingerprint = "00".repeat(32),
      (file) => file.authority.fingerprint = "x",
      (file) => file.authority.certificates.reverse(),
      (file) => file.authority.certificates[1] = file.authority.certificates[0],
      (file) => file.authority.certificates[1] = foreign.authority.toBase64(),
      (file) => file.authority.certificates[1] = "AAAA",
      (file) => file.authority.certificates[1] = "A",
      (file) => file.authority.certificates = Array(9).fill("AAAA"),
      (file) => file.members = {},
      (file) => file.members[0].key = "01" + "00".repeat(31),
      (file) => file.members[0].key = file.members[1].key,
      (file) => file.members[0].node = "two words",
      (file) => file.members[0] = 1,
      (file) => file.access.id = "x",
      (file) => file.access.secret += "A",
      (file) => delete file.access,
    ];
    for (const edit of edits) {
      const file = JSON.parse(whole);
      edit(file);
      await Deno.writeTextFile(path, JSON.stringify(file));
      assert.throws(() => readProfile(path), (error) => {
        const { message } = error as Error;
        return refused("damaged")(error) && message.includes(path) && !message.includes(secret);
      }, edit.toString());
    }
    await Deno.writeTextFile(path, whole.replace('"format": 1', '"format": 2'));
    assert.throws(() => readProfile(path), refused("newer"));
    await Deno.writeTextFile(path, whole.replace('"secret":', '"secret"'));
    assert.throws(() => readProfile(path), (error) => !(error as Error).message.includes(secret));
    await Deno.writeFile(path, Uint8Array.of(0xff));
    assert.throws(() => readProfile(path), refused("damaged"));
    await Deno.truncate(path, PROFILE_BYTES_MAX + 1);
    assert.throws(() => readProfile(path), refused("unreadable"));
    assert.throws(() => readProfile(directory), refused("unreadable"));
  }));

Deno.test("writeProfile() says why it cannot, and writes nothing that could not be read", () =>
  withDirectory(async (directory) => {
    const given = await profile();
    const file = join(directory, "file");
    await Deno.writeTextFile(file, "");
    assert.throws(() => writeProfile(join(file, "profile.json"), given), refused("unwritable"));
    const path = join(directory, "profile.json");
    assert.throws(() => writeProfile(path, { ...given, addresses: [] }), RangeError);
    assert.throws(() => writeProfile(path, { ...given, fingerprint: "00".repeat(32) }), RangeError);
    assert.throws(() => readProfile(path), refused("missing"));
  }));

Deno.test("learn() takes what is new, and is the same object where nothing is", async () => {
  const given = await profile();
  assert.equal(learn(given, {}), given);
  const { addresses, members } = given;
  const authorities = given.authorities.map(({ der }) => der);
  assert.equal(learn(given, { addresses, members, authorities: authorities.toReversed() }), given);
  const three = await generation({ id: 3 });
  const next = learn(given, { authorities: [...authorities, three.authority], members: members.slice(1) });
  assert.deepEqual(next.authorities.map((authority) => authority.generation), [3, 2, 1]);
  assert.equal(next.fingerprint, fingerprint(three.authority));
  assert.deepEqual(next.members, members.slice(1));
  assert.equal(next.access, given.access);
});

Deno.test("a profile that is printed does not show the secret", async () => {
  const given = await profile();
  const { secret } = given.access!.reveal();
  for (const text of [JSON.stringify(given), Deno.inspect(given, { depth: 9 }), String(given.access)]) {
    assert.ok(!text.includes(secret.slice(12)), text);
  }
});

Deno.test("whatever text comes, parseProfile() throws ProfileError and nothing else", () => {
  const field = fc.jsonValue();
  const any = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.json(),
    fc.record({
      format: fc.constantFrom(1, 2),
      network: fc.oneof(fc.constant(NETWORK), field),
      addresses: fc.oneof(fc.constant(["a:1"]), field),
      authority: fc.oneof(
        fc.record({ fingerprint: fc.constant("ab".repeat(32)), certificates: field }),
        field,
      ),
      members: fc.oneof(fc.constant([]), field),
      access: field,
    }).map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(any, (text) => {
      try {
        parseProfile("profile.json", text);
      } catch (error) {
        if (!(error instanceof ProfileError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});
