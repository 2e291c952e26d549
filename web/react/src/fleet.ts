import {
  type ConnectionState,
  type Health,
  knownSince,
  type ServerStatus,
  type State,
  type StatusError,
  type ToolboxStatus,
} from "@mcp-status/client";
import { useMemo } from "react";
import { type HookOptions, useStatusClient } from "./context.js";
import { IDLE, useWatch } from "./hooks.js";
import { derived } from "./snapshot.js";
import { isMonitored, signedOut } from "./statuses.js";

/** A fleet in numbers. The same object until one of them changes. */
export interface FleetView {
  /** Servers in all. */
  readonly servers: number;
  readonly states: Readonly<Record<State, number>>;
  readonly health: Readonly<Record<Health, number>>;
  /** The caller's own toolboxes, by whether their agent answers. */
  readonly toolboxes: Readonly<Record<ToolboxStatus["status"], number>>;
  /** Servers that nobody has watched. */
  readonly unmonitored: number;
  /** Where the knowledge is oldest, and since when in milliseconds since 1970. Undefined: all of it is current. */
  readonly oldest: { readonly serverId: string; readonly knownSince: number } | undefined;
  readonly loading: boolean;
  readonly error: StatusError | undefined;
  readonly stale: boolean;
  /** All have been told: the numbers are those of the whole fleet. */
  readonly complete: boolean;
}

const ALL_AND_TOOLBOXES = { servers: "all", toolboxes: true } as const;

/** All that the caller may see, in numbers. */
export function useFleet(options?: HookOptions): FleetView {
  const client = useStatusClient(options?.client);
  const snapshot = useMemo(
    () =>
      derived(
        () => [client.servers(), client.toolboxes(), client.complete, client.connection] as const,
        ([servers, toolboxes, complete, connection]) =>
          fleetOf(servers, toolboxes, complete, connection, Date.now()),
      ),
    [client],
  );
  return useWatch(client, ALL_AND_TOOLBOXES, snapshot, NO_FLEET);
}

function fleetOf(
  servers: readonly ServerStatus[],
  toolboxes: readonly ToolboxStatus[],
  complete: boolean,
  connection: ConnectionState,
  now: number,
): FleetView {
  const states = { running: 0, stopped: 0, starting: 0, stopping: 0, error: 0, unknown: 0 };
  const health = { healthy: 0, degraded: 0, unhealthy: 0, unknown: 0 };
  const agents = { unseen: 0, active: 0, unresponsive: 0 };
  let unmonitored = 0;
  let oldest: FleetView["oldest"];
  for (const status of servers) {
    states[status.state] += 1;
    health[status.health] += 1;
    if (!isMonitored(status)) unmonitored += 1;
    const since = knownSince(status, connection, now);
    if (since !== undefined && since < (oldest?.knownSince ?? now)) {
      oldest = { serverId: status.serverId, knownSince: since };
    }
  }
  for (const { status } of toolboxes) agents[status] += 1;
  const error = signedOut(connection);
  const loading = !complete && error === undefined && servers.length === 0;
  return {
    servers: servers.length,
    states,
    health,
    toolboxes: agents,
    unmonitored,
    oldest,
    loading,
    error,
    stale: connection.stale,
    complete,
  };
}

const NO_FLEET: FleetView = fleetOf([], [], false, IDLE, 0);
