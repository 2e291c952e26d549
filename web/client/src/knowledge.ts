import type { ConnectionState, ServerStatus } from "./types.js";

/** Reasons that say that nobody looks or nothing is heard: what is known is as old as the last observation. */
const UNHEARD: ReadonlySet<string> = new Set([
  "agent_unreachable",
  "agent_rejected_token",
  "agent_bad_answer",
  "docker_unavailable",
  "not_reported",
  "not_monitored",
  "observer_blind",
]);

const time = (text: string | null | undefined) => (text ? Date.parse(text) : undefined);

/**
 * Until when what a status says was certainly true, in milliseconds since 1970; undefined: it was never observed.
 *
 * An observation that changes nothing publishes no event, so the `asOf` of a healthy server may be hours old although
 * it was seen a moment ago. Were it not seen, its health would have aged, and an event would have said so: as long as
 * the connection is live, what has not aged is true now.
 */
export function knownSince(
  status: ServerStatus,
  connection: ConnectionState,
  now: number,
): number | undefined {
  const asOf = time(status.asOf);
  const code = status.lastError?.code;
  // A word of the agent that nobody understands was heard all the same.
  const unheard = status.state === "unknown" && code !== "unknown_status";
  const aged = unheard || status.monitored === false || UNHEARD.has(code ?? "");
  const known = aged ? asOf : now;
  if (connection.phase === "live" || known === undefined) return known;
  const until = connection.currentUntil ?? asOf;
  return until === undefined ? undefined : Math.min(known, until);
}

/** Seconds since it started, at `now`; undefined unless it runs. */
export function uptimeOf(status: ServerStatus, now: number): number | undefined {
  const started = status.state === "running" ? time(status.lastStarted) : undefined;
  return started === undefined ? undefined : Math.max(0, Math.floor((now - started) / 1000));
}

/** Why it is as it is, as a sentence for people; undefined where nobody asks. */
export function reasonOf(status: ServerStatus): string | undefined {
  const text = status.lastError?.message.trim();
  if (text) return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
  if (status.command) return `A ${status.command.action} is being carried out.`;
  if (status.state === "unknown") return "It was never observed.";
  return undefined;
}
