import type { Health, ServerStatus, State } from "@mcp-status/client";

type LastError = NonNullable<ServerStatus["lastError"]>;

/** Why a server is as it is, in words that follow "because". */
const because: Record<string, string> = {
  exit_code: "its process ended by itself",
  oom_killed: "it ran out of memory and was killed",
  missing: "its container is gone from the toolbox",
  not_found: "the toolbox's agent does not find its container",
  paused: "its container is paused",
  reported_error: "the toolbox's agent reports an error",
  unknown_status: "the toolbox's agent says something that is not understood",
  health_check_failing: "its own health check fails",
  health_check_starting: "its own health check has not passed yet",
  start_timeout: "it did not come up in time",
  command_failed: "a command did not succeed",
  operator_override: "an operator says so",
  not_monitored: "nobody has it watched",
  agent_unreachable: "the toolbox's agent cannot be reached",
  agent_rejected_token: "the toolbox's agent does not take our token",
  agent_bad_answer: "the toolbox's agent answers nonsense",
  docker_unavailable: "the toolbox's agent cannot reach Docker",
  not_reported: "nothing has been heard from its toolbox",
  observer_blind: "hardly any toolbox is heard at present, so the fault is probably the observer's",
};

/** Codes whose message says nothing that our own words do not say. */
const selfExplaining = new Set([
  "missing",
  "not_found",
  "paused",
  "health_check_failing",
  "health_check_starting",
  "not_monitored",
  "observer_blind",
]);

/** What the agent, Docker or an operator said themselves, where it adds something. */
export function theirWords(error: LastError | null | undefined): string | undefined {
  return error && !selfExplaining.has(error.code) ? error.message.trim() || undefined : undefined;
}

/** The reason in our words and in those it came with. */
export function whyWords(error: LastError): string {
  const because = becauseOf(error.code);
  if (!because) return error.message;
  const words = because.charAt(0).toUpperCase() + because.slice(1);
  const theirs = theirWords(error);
  return theirs ? `${words}: ${theirs}` : words;
}

/** Why, in plain words; undefined for a code that is newer than this page. */
export const becauseOf = (code: string | null | undefined): string | undefined =>
  code ? because[code] : undefined;

const states: Record<State, string> = {
  running: "Running",
  starting: "Starting",
  stopping: "Stopping",
  stopped: "Stopped",
  error: "In error",
  unknown: "Unknown",
};

/** A state and its health as people say it: `Running, degraded`. */
export function stateWords(state: State | null | undefined, health: Health | null | undefined): string {
  if (!state) return "Not observed";
  if (state !== "running" || !health || health === "healthy") return states[state];
  return `${states[state]}, ${health === "unknown" ? "health unknown" : health}`;
}

/** One sentence that says what a server does and why. */
export function sentence(status: ServerStatus): string {
  const why = becauseOf(status.lastError?.code);
  const what = whatItDoes(status);
  return why ? `${what} because ${why}.` : `${what}.`;
}

function whatItDoes({ state, health, command, asOf, lastError }: ServerStatus): string {
  switch (state) {
    case "running":
      if (health === "healthy") return "Running and healthy";
      if (health === "unknown") return "Said to be running; how well is not known";
      return `Running, but ${health}`;
    case "starting":
      return command?.action === "restart" ? "Restarting" : "Starting";
    case "stopping":
      if (command?.action === "restart") return "Stopping, to start again";
      return command?.action === "delete" ? "Being deleted" : "Stopping";
    case "stopped":
      return lastError ? "Stopped" : "Stopped, as was asked for";
    case "error":
      return "In error";
    case "unknown":
      return asOf ? "Not known any more" : "Not observed yet";
  }
}

const causes: Record<string, string> = {
  report: "Agent's report",
  age: "Silence",
  registry: "Registration",
  command: "Command",
  operator: "Operator",
};

/** What brought a change about. */
export const causeWords = (cause: string | null | undefined): string =>
  cause ? (causes[cause] ?? cause) : "";

const actions: Record<string, { doing: string; done: string }> = {
  start: { doing: "Starting", done: "started" },
  stop: { doing: "Stopping", done: "stopped" },
  restart: { doing: "Restarting", done: "restarted" },
  refresh: { doing: "Refreshing", done: "refreshed" },
  delete: { doing: "Deleting", done: "deleted" },
};

export const actionWords = (action: string) => actions[action] ?? { doing: action, done: action };
