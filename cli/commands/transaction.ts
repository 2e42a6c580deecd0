import { Command } from "commander";
import { utf8Encode } from "../../core/base/bytes.ts";
import type { Expectation, TransactItem, TransactOp } from "../../core/wire/requests.ts";
import { jsonOf, print } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import { ordinaryKey } from "./options.ts";

/** `space-opera kv txn`: several keys of one partition at once, as JSON says. */
export function transactionCommand(): Command {
  return withConnection(new Command("txn"))
    .description("apply a transaction on keys of one partition, which share a {tag}")
    .argument("<json>", "the transaction")
    .addHelpText(
      "after",
      `
Example:
  space-opera kv txn '{
    "if":   [{"key": "{acct}/a", "value": "10"}, {"key": "{acct}/b", "absent": true}],
    "then": [{"put": "{acct}/a", "value": "5"}, {"put": "{acct}/b", "value": "5"}],
    "else": [{"get": "{acct}/a"}]
  }'

A condition has one of value, absent, present, version {term, index}. An item is a put with its value, a delete or a get.`,
    )
    .action((json: string, flags: ConnectFlags) => {
      const transaction = parseTransaction(json);
      return withClient(flags, async (client) => {
        const { held, version, results } = await client.transact(transaction);
        const found = results.map((item) => item === null ? null : jsonOf(item));
        print(JSON.stringify({ held, version, results: found }));
      });
    });
}

/** @throws {UsageError} saying which part is wrong */
export function parseTransaction(json: string): Omit<TransactOp, "kind"> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    throw new UsageError(`A transaction is JSON: ${error instanceof Error ? error.message : error}`);
  }
  const { if: conditions = [], then = [], else: otherwise = [], ...rest } = objectOf(parsed, "A transaction");
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    throw new UsageError(`A transaction has "if", "then" and "else", not "${unknown}"`);
  }
  return {
    conditions: listOf(conditions, '"if"').map(conditionOf),
    then: listOf(then, '"then"').map(itemOf),
    otherwise: listOf(otherwise, '"else"').map(itemOf),
  };
}

function conditionOf(raw: unknown): { key: string; expect: Expectation } {
  const { key, value, absent, present, version } = objectOf(raw, "A condition");
  if (typeof key !== "string") throw new UsageError(`A condition has a "key", not ${JSON.stringify(raw)}`);
  ordinaryKey(key);
  if (typeof value === "string") return { key, expect: { kind: "value", value: utf8Encode(value) } };
  if (absent === true) return { key, expect: { kind: "absent" } };
  if (present === true) return { key, expect: { kind: "present" } };
  const { term, index } = objectOf(version, `A condition on "${key}" without value, absent or present`);
  return { key, expect: { kind: "version", version: { term, index } as never } };
}

function itemOf(raw: unknown): TransactItem {
  const { put, value, delete: deleted, get } = objectOf(raw, "An item");
  if (typeof put === "string" && typeof value === "string") {
    return { kind: "put", key: ordinaryKey(put), value: utf8Encode(value) };
  }
  if (typeof deleted === "string") return { kind: "delete", key: ordinaryKey(deleted) };
  if (typeof get === "string") return { kind: "get", key: ordinaryKey(get) };
  throw new UsageError(`An item is a put with a value, a delete or a get, not ${JSON.stringify(raw)}`);
}

function objectOf(raw: unknown, what: string): Record<string, unknown> {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    throw new UsageError(`${what} is an object, not ${JSON.stringify(raw)}`);
  }
  return raw as Record<string, unknown>;
}

function listOf(raw: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(raw)) throw new UsageError(`${what} is a list, not ${JSON.stringify(raw)}`);
  return raw;
}
