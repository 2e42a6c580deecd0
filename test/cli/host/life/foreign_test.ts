/** A node that finds another network where its peers were. */
import assert from "node:assert/strict";
import { configureSync, getLogger, type LogRecord, resetSync } from "@logtape/logtape";
import { nodeId } from "../../../../core/base/ids.ts";
import { Transport } from "../../../../cli/host/transport.ts";
import { until } from "../../support.ts";
import { leave, replicaAt, viewOf } from "../directories.ts";
import { withLives } from "./lives.ts";

Deno.test("a node whose peers are of another network now warns of that once, and says what it may mean", () =>
  withLives(async (lives) => {
    const records: LogRecord[] = [];
    configureSync({
      reset: true,
      sinks: { records: (record) => void records.push(record) },
      loggers: [
        { category: "foreign-test", lowestLevel: "info", sinks: ["records"] },
        { category: ["logtape", "meta"], lowestLevel: "warning", sinks: [] },
      ],
    });
    const others = new Transport({
      messages() {},
      requests() {},
      clientGone() {},
      peerLost() {},
      secrets() {},
      incident() {},
      refused() {},
      deaf() {},
    });
    try {
      const address = await others.listen("127.0.0.1:0");
      others.begin({ node: nodeId("b"), network: "1".repeat(32), address, credentials: null }, () => null);
      const names = ["a", "b", "c"].map(nodeId);
      const view = viewOf(names);
      await leave(lives.directory, "a", {
        view: { ...view, members: view.members.map((member) => ({ ...member, address })) },
        records: [0, 1].flatMap((partition) => replicaAt(partition, ...names)),
        tables: [0, 1],
      });
      const node = await lives.start("a", { log: getLogger("foreign-test") });
      await node.ready;
      const told = () => records.map(({ message }) => message.map(String).join(""));
      const lost = (peer: string) => told().some((line) => line === `Lost peer ${peer}: refused: foreign`);
      await until("both peers to turn it away", () => Promise.resolve(lost("b") && lost("c")));
      await node.stop();
      const warnings = records.flatMap(({ level }, i) => level === "warning" ? [told()[i]!] : []);
      assert.equal(warnings.length, 1, warnings.join("\n"));
      assert.match(
        warnings[0]!,
        /^Peer [bc] is of another network than node a, which is of 0{32}: either the network was recovered without/,
      );
    } finally {
      await others.close();
      resetSync();
    }
  }));
