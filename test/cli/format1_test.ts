/** A data directory that the first formats left (fixtures/format1): what this build makes of it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { readUint32 } from "../../core/base/bytes.ts";
import { readSegmentHeader } from "../../core/wire/journal.ts";
import { text, until } from "./support.ts";
import { type Lives, withLives } from "./host/life/lives.ts";

const FIXTURE = new URL("../../fixtures/format1/", import.meta.url);
/** Puts of this size fill a journal until a checkpoint is due. */
const LARGE = new Uint8Array(1024 * 1024 - 1024);

async function copied(lives: Lives): Promise<string> {
  const directory = join(lives.directory, "sirius");
  await Deno.mkdir(directory);
  for await (const { name } of Deno.readDir(FIXTURE)) {
    if (name !== "README.md") await Deno.copyFile(new URL(name, FIXTURE), join(directory, name));
  }
  return directory;
}

/** Of node.json, of the tables, and of each segment, the oldest first. */
function formats(directory: string) {
  const identity = JSON.parse(Deno.readTextFileSync(join(directory, "node.json")));
  const segments = [...Deno.readDirSync(directory)].map(({ name }) => name)
    .filter((name) => name.startsWith("journal-")).sort()
    .map((name) => {
      const start = readSegmentHeader(Deno.readFileSync(join(directory, name)));
      return start.kind === "segment" ? start.header.version : start.kind;
    });
  return { identity: identity.format, tables: tablesFormat(directory), segments };
}

function tablesFormat(directory: string): number {
  const manifest = join(directory, "tables/manifest");
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
  if (names.includes("tables")) {
    assert(!names.some((name) => name.startsWith("tables.")), String(names));
    return readUint32(Deno.readFileSync(manifest), 8);
  }
  const tables = new DatabaseSync(join(directory, "tables.db"), { readOnly: true });
  const { user_version } = tables.prepare("PRAGMA user_version").get() as { user_version: number };
  tables.close();
  return user_version;
}

Deno.test("a node takes over a data directory of format 1, and a checkpoint leaves nothing of that format", () =>
  withLives(async (lives) => {
    const directory = await copied(lives);
    assert.deepEqual(formats(directory), { identity: 1, tables: 1, segments: [1] });
    const old = Deno.readFileSync(join(directory, "journal-00000001.log"));

    let node = await lives.start("sirius");
    let { address } = await node.ready;
    {
      using client = await lives.client(address);
      assert.equal(text((await client.get("star:sirius"))?.value), "white");
      assert.equal(text((await client.get("star:vega"))?.value), "blue-white");
      assert.equal(await client.get("star:antares"), null);
      await client.put("star:rigel", "blue");
    }
    await node.stop();
    assert.deepEqual(formats(directory), { identity: 2, tables: 3, segments: [1, 3] });
    // What an older version wrote is never written to.
    assert.deepEqual(Deno.readFileSync(join(directory, "journal-00000001.log")), old);

    node = await lives.start("sirius");
    ({ address } = await node.ready);
    {
      using client = await lives.client(address);
      assert.equal(text((await client.get("star:rigel"))?.value), "blue");
      await client.put("star:vega", "white");
      const isCheckpointed = () => Promise.resolve(!formats(directory).segments.includes(1));
      for (let i = 0; i < 40 && !(await isCheckpointed()); i++) await client.put("large", LARGE);
      await until("a checkpoint to remove the segment of format 1", isCheckpointed);
    }
    await node.stop();
    assert.deepEqual(formats(directory), { identity: 2, tables: 3, segments: [3] });

    node = await lives.start("sirius");
    ({ address } = await node.ready);
    using client = await lives.client(address);
    assert.deepEqual(
      await Promise.all(
        ["sirius", "vega", "rigel"].map(async (name) => text((await client.get(`star:${name}`))?.value)),
      ),
      ["white", "white", "blue"],
    );
  }));
