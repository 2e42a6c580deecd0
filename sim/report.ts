import { DEFAULT_TUNING, type Tuning } from "../core/base/tuning.ts";
import type { RepairSummary } from "./objects/stage.ts";
import type { RunResult } from "./run.ts";
import type { Scenario } from "./scenario.ts";
import { describeFault } from "./scenario_faults.ts";
import type { Spread } from "./timings.ts";
import { formatDuration, formatRatio, type Ratio } from "./units.ts";

export interface ReportOptions {
  readonly result: RunResult;
  readonly wallSeconds: number;
  /** Marks what held and what did not; plain text where colours are not wanted. */
  readonly paint: (text: string, colour: "green" | "red" | "dim" | "bold") => string;
}

/** Everything a run derives from its scenario and seed, before it begins. */
export function header(scenario: Scenario, seed: number): string {
  const { sky, cluster, network, disk, clock, workload } = scenario, { settings } = cluster;
  const zones = sky.zones === undefined ? "zones by constellation" : `${sky.zones} zones`;
  const tuned = Object.entries(cluster.tuning).filter(([name, value]) =>
    value !== DEFAULT_TUNING[name as keyof Tuning]
  );
  const { partitions: _partitions, replicas: _replicas, systemReplicas: _systemReplicas, ...timings } =
    settings;
  const { percent, ...load } = workload;
  const lines = [
    `scenario ${scenario.name}, seed ${seed}: ${scenario.about || "no description"}`,
    `  nodes     ${
      cluster.start ?? sky.nodes
    } at the start, ${sky.nodes} cast from ${sky.catalogue}, ${zones}, ${cluster.kernel} kernel, ${cluster.form}`,
    `  data      ${settings.partitions} partitions of ${settings.replicas} replicas, the system's of ${settings.systemReplicas}, ${sky.records} records stored first`,
    `  settings  ${listed(timings)}`,
    `  limits    ${tuned.length === 0 ? "as ever" : listed(Object.fromEntries(tuned))}`,
    `  network   ${listed(network)}`,
    `  disk      ${listed(disk)}`,
    `  clock     ahead by up to ${formatDuration(clock.offset)}, up to ${clock.driftPpm} ppm fast or slow`,
    `  clients   ${listed(load, ["every", "patience", "ttl"])}`,
    `  percent   ${listed(percent)}`,
    `  time      ${formatDuration(scenario.duration)} of faults, then ${
      formatDuration(scenario.converge)
    } to be well`,
    `  budget    ${
      scenario.budget === "quorum"
        ? "no quorum is hurt for good"
        : "none: anything may be hurt for good, only wrong answers count"
    }`,
    ...(scenario.security === "private"
      ? ["  security  private: invites, access keys, keys that rotate"]
      : []),
    ...scenario.faults.map((fault, i) => `  ${i === 0 ? "faults   " : "         "} ${describeFault(fault)}`),
  ];
  return lines.join("\n");
}

/** "heartbeat 50ms, loss 1/300": names end in Us, or are among `durations`, where the value is a duration. */
function listed(
  values: Readonly<Record<string, number | boolean | string | Ratio>>,
  durations: readonly string[] = [],
): string {
  return Object.entries(values).map(([name, value]) => {
    if (typeof value === "boolean") return `${name} ${value ? "on" : "off"}`;
    if (typeof value === "string") return `${name} in ${value}`;
    if (typeof value !== "number") return `${name} ${formatRatio(value)}`;
    if (durations.includes(name)) return `${name} ${formatDuration(value)}`;
    const unit = /Us(?=$|Min$|Max$)/.exec(name);
    return unit === null ? `${name} ${value}` : `${name.replace("Us", "")} ${formatDuration(value)}`;
  }).join(", ");
}

/** The report of a run for people. */
export function report({ result, wallSeconds, paint }: ReportOptions): string {
  const { network, clients, timings, nodes } = result;
  const lines = [
    `${paint("run", "bold")}       ${result.events} events in ${result.virtualSeconds} virtual seconds, ${
      wallSeconds.toFixed(1)
    } s of wall time, ${Math.round(result.events / wallSeconds)} events/s`,
    `phases    ${
      result.phases.map(({ name, from, to }) => `${name} ${formatDuration(to - from)}`).join(", ")
    }`,
    `nodes     ${nodes.running} of ${nodes.cast} run at the end, ${result.leadersElected} leaders were elected`,
    `faults    ${
      result.faults.length === 0 ? "none" : result.faults.map(([kind, n]) => `${n} ${kind}`).join(", ")
    }`,
    `network   ${result.messages} messages taken in; frames: ${
      Object.entries(network).filter(([, n]) => n > 0).map(([what, n]) => `${n} ${what}`).join(", ")
    }`,
    `clients   ${clients.operations} operations in ${clients.attempts} attempts${
      clients.refusals.map(([reason, n]) => `, ${n} ${reason}`).join("")
    }`,
  ];
  if (clients.latencyUs !== null) {
    const { p50, p90, p99, max } = clients.latencyUs;
    const [half, most, nearly, all] = [p50, p90, p99, max].map(milliseconds);
    lines.push(`latency   p50 ${half}, p90 ${most}, p99 ${nearly}, max ${all}`);
  }
  if (result.objects !== null) {
    const { operations, died, refusals, collected } = result.objects;
    lines.push(
      `objects   ${operations} operations, ${died} cut short, ${collected} times garbage collected${
        refusals.map(([reason, n]) => `, ${n} ${reason}`).join("")
      }`,
    );
    if (result.objects.repair !== null) lines.push(describeRepair(result, result.objects.repair));
  }
  lines.push(
    `noticed   suspected ${describeSpread(timings.suspected)}; declared dead ${
      describeSpread(timings.declaredDead)
    }`,
    `repaired  new leader ${describeSpread(timings.newLeader)}; whole again ${
      describeSpread(timings.replicated)
    }`,
    `sometimes ${result.sometimes.join(", ") || "nothing of note"}`,
    `digest    ${result.digest}`,
    ...result.checks.map(({ name, ok, detail }) =>
      `${ok ? paint("✓", "green") : paint("✗", "red")} ${name}  ${paint(detail, "dim")}`
    ),
  );
  return lines.join("\n");
}

/** How long after the first fault everything was there again, and what was moved for it. */
function describeRepair({ faultHistory }: RunResult, repair: RepairSummary): string {
  const { bytes, moved, owed, repairs, repairedAt } = repair;
  const from = faultHistory[0]?.time ?? 0,
    times = owed === 0 ? "" : `, ${(moved / owed).toFixed(3)} of the minimum`;
  const took = repairs === 0
    ? "nothing to repair"
    : `whole again ${formatDuration(repairedAt - from)} after the loss`;
  return `repair    of ${(bytes / 1e9).toFixed(1)} GB: ${took}, ${repairs} fragments, ${
    (moved / 1e9).toFixed(2)
  } GB moved${times}`;
}

function describeSpread(spread: Spread | null): string {
  if (spread === null) return "never needed";
  return `p50 ${milliseconds(spread.p50Us)}, max ${milliseconds(spread.maxUs)} (${spread.count})`;
}

function milliseconds(us: number): string {
  return us < 10_000 ? `${(us / 1000).toFixed(1)} ms` : `${Math.round(us / 1000)} ms`;
}
