import type { ServerStatus } from "@mcp-status/client";

/**
 * How much a server wants to be looked at, the most urgent first.
 *
 * - `failed`: it is not what it should be, and nobody asked for that.
 * - `lost`: nothing is known of it any more.
 * - `weak`: it runs, and something about it is not right.
 * - `moving`: it is starting or stopping.
 * - `quiet`: it is as somebody wanted it.
 */
export type Trouble = "failed" | "lost" | "weak" | "moving" | "quiet";

const urgency: Record<Trouble, number> = { failed: 0, lost: 1, weak: 2, moving: 3, quiet: 4 };

/** Reasons that somebody gave on purpose. */
const meant = new Set(["operator_override", "not_monitored"]);

export function troubleOf(status: ServerStatus): Trouble {
  const { state, health, lastError } = status;
  if (status.monitored === false) return "quiet";
  if (state === "error") return "failed";
  if (state === "running") {
    if (health === "healthy") return "quiet";
    if (health === "degraded") return "weak";
    // Its own check fails, or its agent has been silent for long: of that one nobody knows how it is.
    return lastError?.code === "health_check_failing" ? "failed" : "lost";
  }
  if (state === "unknown") return "lost";
  if (state === "starting" || state === "stopping") return "moving";
  // A stop has a reason only where it was not asked for: a crash, an out-of-memory kill, a container that is missing.
  return lastError && !meant.has(lastError.code) ? "failed" : "quiet";
}

/** Whether a person should look at it. */
export const needsAttention = (trouble: Trouble): boolean => urgency[trouble] <= urgency.weak;

const stateOrder: Record<string, number> = { running: 0, stopped: 1 };

const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;

/** Trouble first, then what runs before what is stopped, then by name. Total: no two servers are equal. */
export function compareServers(a: ServerStatus, b: ServerStatus): number {
  return (
    urgency[troubleOf(a)] - urgency[troubleOf(b)] ||
    (stateOrder[a.state] ?? 2) - (stateOrder[b.state] ?? 2) ||
    byName(a.name, b.name) ||
    compareIds(a.serverId, b.serverId)
  );
}

export const compareNames = byName;

export function compareIds(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export const compareTrouble = (a: Trouble, b: Trouble): number => urgency[a] - urgency[b];
