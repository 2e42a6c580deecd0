/** boto3: what a program asks for beyond files: conditions, tags, parts, rules, many deletions. */
import { fileURLToPath } from "node:url";
import { withS3Network } from "./network.ts";

Deno.test("boto3 uses versions, conditions, tags, parts, ranges, rules and bulk deletion", () =>
  withS3Network(async ({ run }) => {
    await run("/usr/bin/python3", fileURLToPath(new URL("./boto3_client.py", import.meta.url)));
  }));
