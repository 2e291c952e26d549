import type { Health, ServerStatus, State } from "@mcp-status/client";
import { needsAttention, troubleOf } from "./trouble";

export const states = [
  "running",
  "starting",
  "stopping",
  "stopped",
  "error",
  "unknown",
] as const satisfies State[];
export const healths = ["healthy", "degraded", "unhealthy", "unknown"] as const satisfies Health[];

/** What is looked for. An empty set stands for all. */
export interface Filter {
  readonly states: ReadonlySet<State>;
  readonly healths: ReadonlySet<Health>;
  /** Only what a person should look at. */
  readonly attention: boolean;
  /** Only what nobody has watched. */
  readonly unmonitored: boolean;
  readonly search: string;
}

export const everything: Filter = {
  states: new Set(),
  healths: new Set(),
  attention: false,
  unmonitored: false,
  search: "",
};

const listed = <T extends string>(value: string | null, known: readonly T[]): Set<T> => {
  const named = new Set(value?.split(",") ?? []);
  return new Set(known.filter((word) => named.has(word)));
};

/** What a URL's query says; what it says that is not understood counts as not said. */
export function filterFromQuery(query: string): Filter {
  const parameters = new URLSearchParams(query);
  return {
    states: listed(parameters.get("state"), states),
    healths: listed(parameters.get("health"), healths),
    attention: parameters.get("attention") === "yes",
    unmonitored: parameters.get("monitored") === "no",
    search: parameters.get("q") ?? "",
  };
}

/** The query that says this and nothing else: the same filter is the same address. */
export function queryFromFilter(filter: Filter): string {
  const parameters = new URLSearchParams();
  const list = <T extends string>(name: string, chosen: ReadonlySet<T>, known: readonly T[]) => {
    if (chosen.size > 0) parameters.set(name, known.filter((word) => chosen.has(word)).join(","));
  };
  list("state", filter.states, states);
  list("health", filter.healths, healths);
  if (filter.attention) parameters.set("attention", "yes");
  if (filter.unmonitored) parameters.set("monitored", "no");
  if (filter.search.trim()) parameters.set("q", filter.search);
  return parameters.toString().replaceAll("%2C", ",");
}

export const isEverything = (filter: Filter): boolean => queryFromFilter(filter) === "";

/** The set with this word if it was without, else without. */
export function toggled<T>(set: ReadonlySet<T>, word: T): Set<T> {
  const other = new Set(set);
  if (!other.delete(word)) other.add(word);
  return other;
}

/** Whether the filter lets a server through. Each word of the search must be somewhere in what a person can see of it. */
export function matcher(filter: Filter): (status: ServerStatus, toolboxName: string) => boolean {
  const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
  return (status, toolboxName) => {
    if (filter.states.size > 0 && !filter.states.has(status.state)) return false;
    if (filter.healths.size > 0 && !filter.healths.has(status.health)) return false;
    if (filter.attention && !needsAttention(troubleOf(status))) return false;
    if (filter.unmonitored && status.monitored !== false) return false;
    if (words.length === 0) return true;
    const text = [
      status.name,
      toolboxName,
      status.serverId,
      status.lastError?.code,
      status.lastError?.message,
    ]
      .join("\n")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  };
}
