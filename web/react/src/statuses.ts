import type {
  ConnectionState,
  Health,
  ServerStatus,
  State,
  StatusClient,
  StatusError,
} from "@mcp-status/client";
import { useMemo } from "react";
import { type HookOptions, useStatusClient } from "./context.js";
import { useWatch } from "./hooks.js";
import { derived } from "./snapshot.js";

/** Which servers to list; what is absent restricts nothing. */
export interface StatusFilter {
  /** Only these, and only these are watched. Absent: all that the caller may see. */
  readonly ids?: readonly string[];
  readonly states?: readonly State[];
  readonly health?: readonly Health[];
  readonly toolboxId?: string;
  /** A part of the name, in capitals or not. */
  readonly name?: string;
  /** Only those that somebody has watched, or only those that nobody has. */
  readonly monitored?: boolean;
}

/** What is known of many servers. The same object until something of it changes. */
export interface StatusesView {
  /** Those that the filter lets through, by name. The same array until one of them changes. */
  readonly statuses: readonly ServerStatus[];
  /** Nothing was told yet. */
  readonly loading: boolean;
  /** Why they are not told, or not all. A server that is not there is simply not listed. */
  readonly error: StatusError | undefined;
  /** What is shown may be old: the connection, or its source, is away. */
  readonly stale: boolean;
  /** All have been told: none is missing from the list. */
  readonly complete: boolean;
}

const NO_STATUSES: StatusesView = {
  statuses: [],
  loading: true,
  error: undefined,
  stale: false,
  complete: false,
};
const ALL = { servers: "all" } as const;

/** All servers, or those that a filter lets through: `{statuses, loading, error, stale, complete}`. */
export function useMCPServerStatuses(filter: StatusFilter = {}, options?: HookOptions): StatusesView {
  const client = useStatusClient(options?.client);
  // A filter is mostly written in place, and another object with each rendering: what it says is what counts.
  const said = JSON.stringify(filter);
  const [selection, snapshot] = useMemo(() => {
    const filter: StatusFilter = JSON.parse(said);
    return filter.ids === undefined
      ? ([ALL, allStatuses(client, filter)] as const)
      : ([{ servers: filter.ids }, theseStatuses(client, filter, filter.ids)] as const);
  }, [client, said]);
  return useWatch(client, selection, snapshot, NO_STATUSES);
}

function allStatuses(client: StatusClient, filter: StatusFilter) {
  const wanted = matcher(filter);
  return derived(
    () => [client.servers(), client.complete, client.connection] as const,
    ([servers, complete, connection]) =>
      statusesView(servers.filter(wanted), complete, signedOut(connection), connection),
  );
}

function theseStatuses(client: StatusClient, filter: StatusFilter, ids: readonly string[]) {
  const wanted = matcher(filter);
  const distinct = [...new Set(ids)];
  return derived(
    () => [client.connection, ...distinct.map((id) => client.get(id))] as const,
    ([connection, ...views]) => {
      const statuses = views.flatMap(({ status }) =>
        status !== undefined && wanted(status) ? [status] : [],
      );
      const limit = views.find(({ error }) => error?.code === "limit")?.error;
      const complete = views.every(({ loading }) => !loading);
      return statusesView(statuses, complete, signedOut(connection) ?? limit, connection);
    },
  );
}

function statusesView(
  statuses: ServerStatus[],
  complete: boolean,
  error: StatusError | undefined,
  { stale }: ConnectionState,
): StatusesView {
  const loading = !complete && error === undefined && statuses.length === 0;
  return { statuses: statuses.sort(byName), loading, error, stale, complete };
}

/** By character and not by language: names are technical, and a thousand are sorted with each change. */
function byName(a: ServerStatus, b: ServerStatus): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.serverId < b.serverId ? -1 : 1;
}

function matcher({ states, health, toolboxId, name, monitored }: StatusFilter) {
  const part = name?.toLowerCase();
  return (status: ServerStatus) =>
    (states === undefined || states.includes(status.state)) &&
    (health === undefined || health.includes(status.health)) &&
    (toolboxId === undefined || status.toolboxId === toolboxId) &&
    (part === undefined || status.name.toLowerCase().includes(part)) &&
    (monitored === undefined || isMonitored(status) === monitored);
}

/** Whether somebody has it watched, which goes without saying. */
export function isMonitored(status: ServerStatus): boolean {
  return status.monitored !== false;
}

/** Why nothing is told at all. */
export function signedOut({ phase, reason }: ConnectionState): StatusError | undefined {
  return phase === "signed_out"
    ? { code: "signed_out", message: reason ?? "Nobody is signed in." }
    : undefined;
}
