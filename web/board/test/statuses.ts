import type { ServerStatus, ToolboxStatus } from "@mcp-status/client";

let nextId = 1;

/** A server that runs and is well, but for what is given. */
export function server(given: Partial<ServerStatus> = {}): ServerStatus {
  const id = String(nextId++).padStart(12, "0");
  return {
    accountId: "a0000000-0000-4000-8000-000000000001",
    changedAt: "2026-11-28T12:00:00Z",
    asOf: "2026-11-28T12:00:00Z",
    health: "healthy",
    name: `mcp-${id}`,
    serverId: `50000000-0000-4000-8000-${id}`,
    state: "running",
    statusOnToolbox: "running",
    toolboxId: "b0000000-0000-4000-8000-000000000001",
    version: 1,
    ...given,
  };
}

export function because(code: string, message = code): NonNullable<ServerStatus["lastError"]> {
  return { code, message, at: "2026-11-28T12:00:00Z" };
}

export function toolbox(toolboxId: string, name: string): ToolboxStatus {
  return {
    accountId: "a0000000-0000-4000-8000-000000000001",
    changedAt: "2026-11-28T12:00:00Z",
    name,
    status: "active",
    toolboxId,
    version: 1,
  };
}
