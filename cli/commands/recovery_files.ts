/**
 * What `recover` writes for itself and for people to carry from machine to machine: what a survivor has, and the plan.
 * JSON, with views as base64 of their canonical form. Nothing of it is believed before it was checked: a plan that was
 * damaged or made up would be carried out on the last copies of the data.
 */
import { z } from "zod";
import { isNodeId, logIndex, nodeId, partitionId, term } from "../../core/base/ids.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { WireError } from "../../core/wire/cbor.ts";
import { isWhole } from "../../core/wire/members.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import { decodeView, encodeView } from "../../core/wire/shared_codec.ts";
import { KEYRING_GENERATIONS_MAX } from "../host/identity/keyring_file.ts";
import type { KeyedPlan, KeyedSurvivor } from "./recover_keys.ts";

/** 1 had views as JSON, which has no bytes. */
const FORMAT = 2;
const TEXT_CHARS_MAX = 64 * 1024 * 1024;

/** A file that is not what `recover` wrote. */
export class RecoveryFileError extends Error {
  override readonly name = "RecoveryFileError";
}

const count = z.int().min(0);
const network = z.string().regex(/^[0-9a-f]{32}$/, { error: "a network has 32 hexadecimal digits" });
const node = z.string().refine(isNodeId, { error: "no node has this name" }).transform(nodeId);
const nodes = z.array(node).max(LIMITS.membersMax);
const partition = z.int().min(0).max(LIMITS.partitionsMax).transform(partitionId);
const index = count.transform(logIndex), inTerm = count.transform(term);
const replicas = z.array(node).max(LIMITS.replicasMax);
const view = z.string().transform((text, context): SystemView => {
  const read = viewOf(text);
  if (typeof read !== "string") return read;
  context.addIssue({ code: "custom", message: read });
  return z.NEVER;
});

const holding = z.strictObject({
  partition,
  term: inTerm,
  exists: z.boolean(),
  hollow: z.boolean(),
  lastIndex: index,
  lastTerm: inTerm,
  applied: z.strictObject({ index, term: inTerm }),
  configuration: z.strictObject({ voters: replicas, outgoing: replicas, learners: replicas }),
});
const survivor = z.strictObject({
  format: z.literal(FORMAT),
  kind: z.literal("survivor"),
  node,
  network,
  view,
  viewAtEnd: view,
  holdings: z.array(holding).max(LIMITS.partitionsMax + 1),
  held: z.array(count).max(KEYRING_GENERATIONS_MAX).nullable(),
});
const plan = z.strictObject({
  format: z.literal(FORMAT),
  kind: z.literal("plan"),
  from: network,
  network,
  survivors: nodes.min(1),
  lost: nodes,
  partitions: z.array(z.strictObject({
    partition,
    kind: z.enum(["keep", "choose", "begin"]),
    node,
    term: inTerm,
    lastIndex: index,
    lastTerm: inTerm,
    rebase: z.boolean(),
    drop: nodes,
    knownLost: z.boolean(),
  })).max(LIMITS.partitionsMax + 1),
  view,
  issuedMs: count.nullable(),
});

export function formatSurvivor({ view, viewAtEnd, ...rest }: KeyedSurvivor): string {
  const views = { view: encodeView(view).toBase64(), viewAtEnd: encodeView(viewAtEnd).toBase64() };
  return JSON.stringify({ format: FORMAT, kind: "survivor", ...rest, ...views });
}

/** @throws {RecoveryFileError} */
export function parseSurvivor(file: string, text: string): KeyedSurvivor {
  const { format: _format, kind: _kind, ...found } = parsed(file, text, survivor, "survivor");
  return found;
}

export function formatPlan({ view, ...rest }: KeyedPlan): string {
  return JSON.stringify({ format: FORMAT, kind: "plan", ...rest, view: encodeView(view).toBase64() });
}

/** @throws {RecoveryFileError} */
export function parsePlan(file: string, text: string): KeyedPlan {
  const { format: _format, kind: _kind, ...found } = parsed(file, text, plan, "plan");
  return found;
}

function parsed<T>(file: string, text: string, schema: z.ZodType<T>, kind: "survivor" | "plan"): T {
  const json = jsonOf(file, text);
  const head = json !== null && typeof json === "object" ? json as { format?: unknown; kind?: unknown } : {};
  if (head.kind !== kind) {
    const command = kind === "plan" ? "plan" : "inspect";
    throw new RecoveryFileError(`File "${file}" is not what \`space-opera recover ${command}\` printed`);
  }
  if (head.format !== FORMAT) {
    const shown = typeof head.format === "number" ? head.format : "none";
    throw new RecoveryFileError(`File "${file}" has format ${shown}, and this program knows ${FORMAT}`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const place = issue.path.length === 0 ? "" : `${issue.path.map(String).join(".")}: `;
  throw new RecoveryFileError(`File "${file}" is damaged: ${place}${issue.message}`);
}

function jsonOf(file: string, text: string): unknown {
  if (text.length > TEXT_CHARS_MAX) {
    throw new RecoveryFileError(`File "${file}" has more than ${TEXT_CHARS_MAX} characters`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    // The second where it nests deeper than the runtime's stack.
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    throw new RecoveryFileError(`Cannot read "${file}": ${error.message}`);
  }
}

/** The view, or what is wrong with it. */
function viewOf(text: string): SystemView | string {
  try {
    const view = decodeView(Uint8Array.fromBase64(text));
    return isWhole(view) ? view : "its parts do not fit together";
  } catch (error) {
    if (error instanceof WireError || error instanceof SyntaxError) return error.message;
    throw error;
  }
}
