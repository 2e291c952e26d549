import type { ToolboxStatus } from "@mcp-status/client";
import { act, renderHook } from "@testing-library/react";
import { type ReactNode, StrictMode } from "react";
import { beforeEach, describe, expect, test, vi } from "vitest";
import {
  MCPStatusProvider,
  type StatusFilter,
  useConnection,
  useFleet,
  useMCPServerStatus,
  useMCPServerStatuses,
} from "../src/index.js";
import { FakeClient, LIVE, server } from "./fake-client.js";

let client: FakeClient;
beforeEach(() => {
  client = new FakeClient();
});

const wrapper = ({ children }: { children: ReactNode }) => (
  <StrictMode>
    <MCPStatusProvider client={client}>{children}</MCPStatusProvider>
  </StrictMode>
);

/** Renders a hook, and keeps what each rendering gave. */
function watch<T, P = undefined>(hook: (props: P) => T, initialProps?: NoInfer<P>) {
  const seen: T[] = [];
  const options = initialProps === undefined ? { wrapper } : { wrapper, initialProps };
  const { result, rerender, unmount } = renderHook((props: P) => {
    const value = hook(props);
    seen.push(value);
    return value;
  }, options);
  return { result, rerender, unmount, seen };
}

describe("useMCPServerStatus", () => {
  test("is loading, then what is told, then the reason why nothing is", () => {
    const { result } = watch(() => useMCPServerStatus("a"));
    expect(result.current).toEqual({ status: undefined, loading: true, error: undefined, stale: false });
    act(() => client.tell(server("a")));
    expect(result.current).toEqual({ status: server("a"), loading: false, error: undefined, stale: false });
    act(() => client.connect({ phase: "waiting", stale: true }));
    expect(result.current).toMatchObject({ status: { serverId: "a" }, stale: true });
    const error = { code: "deleted", message: "It was deleted." } as const;
    act(() => client.refuse("a", error));
    expect(result.current).toMatchObject({ status: undefined, loading: false, error });
  });

  test("does not render when another server changes", () => {
    const { seen } = watch(() => useMCPServerStatus("a"));
    act(() => client.tell(server("a")));
    const before = seen.length;
    act(() => client.tell(server("b"), server("c")));
    expect(seen).toHaveLength(before);
  });

  test("watches what it is asked for, once, and lets go of it", () => {
    const { rerender, unmount } = watch((id: string) => useMCPServerStatus(id), "a");
    const watched = () => [...client.subscriptions].map(({ selection }) => selection);
    expect(watched()).toEqual([{ servers: ["a"] }]);
    rerender("b");
    expect(watched()).toEqual([{ servers: ["b"] }]);
    unmount();
    expect(watched()).toEqual([]);
  });

  test("never shows one server's status as another's", () => {
    act(() => client.tell(server("a")));
    const { seen, rerender } = watch((id: string) => ({ id, view: useMCPServerStatus(id) }), "a");
    rerender("b");
    for (const { id, view } of seen) expect(view.status?.serverId ?? id).toBe(id);
  });

  test("takes a client of its own", () => {
    const other = new FakeClient();
    other.tell(server("a", { state: "stopped" }));
    client.tell(server("a"));
    const { result } = watch(() => useMCPServerStatus("a", { client: other }));
    expect(result.current.status?.state).toBe("stopped");
  });

  test("says what is missing where there is no client", () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(() => renderHook(() => useMCPServerStatus("a"))).toThrow(/MCPStatusProvider/);
    vi.restoreAllMocks();
  });
});

describe("useMCPServerStatuses", () => {
  const fleet = [
    server("a", { name: "mcp-github" }),
    server("b", { name: "mcp-postgres", state: "error", health: "unhealthy", toolboxId: "other" }),
    server("c", { name: "mcp-files", state: "stopped", health: "unknown", monitored: false }),
  ];

  test.each<[StatusFilter, string[]]>([
    [{}, ["c", "a", "b"]],
    [{ states: ["error", "stopped"] }, ["c", "b"]],
    [{ health: ["healthy"] }, ["a"]],
    [{ toolboxId: "other" }, ["b"]],
    [{ name: "HUB" }, ["a"]],
    [{ name: "" }, ["c", "a", "b"]],
    [{ monitored: true }, ["a", "b"]],
    [{ monitored: false }, ["c"]],
    [{ states: [] }, []],
    [{ ids: ["b", "a", "b"] }, ["a", "b"]],
    [{ ids: ["b", "a"], states: ["running"] }, ["a"]],
    [{ name: "mcp", states: ["running", "error"], toolboxId: "toolbox" }, ["a"]],
  ])("%j lists %j, by name", (filter, ids) => {
    client.tell(...fleet);
    const { result } = watch(() => useMCPServerStatuses(filter));
    expect(result.current.statuses.map(({ serverId }) => serverId)).toEqual(ids);
  });

  test("is loading until something or everything was told", () => {
    const { result } = watch(() => useMCPServerStatuses());
    expect(result.current).toEqual({
      statuses: [],
      loading: true,
      error: undefined,
      stale: false,
      complete: false,
    });
    act(() => client.tell(server("a")));
    expect(result.current).toMatchObject({ loading: false, complete: false });
    act(() => client.connect(LIVE, true));
    expect(result.current).toMatchObject({ loading: false, complete: true });
  });

  test("an empty fleet is complete, not loading", () => {
    client.connect(LIVE, true);
    const { result } = watch(() => useMCPServerStatuses());
    expect(result.current).toMatchObject({ statuses: [], loading: false, complete: true });
  });

  test("by id: only those are watched, and it is complete when each was told or refused", () => {
    const { result } = watch(() => useMCPServerStatuses({ ids: ["a", "x"] }));
    expect([...client.subscriptions].map(({ selection }) => selection)).toEqual([{ servers: ["a", "x"] }]);
    act(() => client.tell(server("a")));
    expect(result.current).toMatchObject({ loading: false, complete: false });
    act(() => client.refuse("x", { code: "not_found", message: "There is no such server." }));
    expect(result.current).toMatchObject({ complete: true, error: undefined });
    expect(result.current.statuses).toHaveLength(1);
  });

  test("by id: those that are over a limit are an error, since the list lacks them", () => {
    const error = { code: "limit", message: "Too many." } as const;
    const { result } = watch(() => useMCPServerStatuses({ ids: ["a", "x"] }));
    act(() => client.refuse("x", error));
    expect(result.current.error).toEqual(error);
  });

  test("signed out is an error, and what was told stays", () => {
    client.tell(server("a"));
    const { result } = watch(() => useMCPServerStatuses());
    act(() => client.connect({ phase: "signed_out", stale: true, reason: "The token has ended." }));
    expect(result.current).toMatchObject({
      error: { code: "signed_out", message: "The token has ended." },
      stale: true,
      loading: false,
    });
    expect(result.current.statuses).toHaveLength(1);
  });

  test("signed out before anything was told is not loading", () => {
    client.connect({ phase: "signed_out" });
    const { result } = watch(() => useMCPServerStatuses());
    expect(result.current).toMatchObject({ error: { code: "signed_out" }, loading: false, complete: false });
  });

  test("renders only when something that is listed changes, though the filter is written in place", () => {
    client.tell(...fleet);
    const { seen, result, rerender } = watch(() => useMCPServerStatuses({ states: ["running"] }));
    const before = seen.length;
    const first = result.current;
    act(() => client.tell(server("b", { name: "mcp-postgres", state: "stopped", version: 2 })));
    act(() => client.connect({ since: 5 }));
    expect(seen).toHaveLength(before);
    rerender(undefined);
    expect(result.current).toBe(first);
    expect(client.subscriptions.size).toBe(1);
    act(() => client.tell(server("a", { name: "mcp-github", version: 2 })));
    expect(result.current.statuses).toMatchObject([{ serverId: "a", version: 2 }]);
  });

  test("another filter is another list at once", () => {
    client.tell(...fleet);
    const { rerender, result } = watch((name: string) => useMCPServerStatuses({ name }), "git");
    expect(result.current.statuses).toHaveLength(1);
    rerender("mcp");
    expect(result.current.statuses).toHaveLength(3);
  });
});

describe("useFleet", () => {
  const toolbox = (toolboxId: string, status: ToolboxStatus["status"]): ToolboxStatus => ({
    accountId: "account",
    changedAt: "2026-11-28T12:00:00Z",
    name: toolboxId,
    status,
    toolboxId,
    version: 1,
  });
  const silent = (id: string, asOf: string) =>
    server(id, {
      state: "unknown",
      health: "unknown",
      asOf,
      lastError: { code: "agent_unreachable", message: "No answer.", at: asOf },
    });

  test("counts", () => {
    client.connect(LIVE, true);
    client.tell(
      server("a"),
      server("b", { health: "degraded" }),
      server("c", { state: "stopped", health: "unknown", monitored: false }),
      silent("d", "2026-11-28T10:00:00Z"),
      silent("e", "2026-11-28T09:00:00Z"),
    );
    client.tellToolbox(toolbox("t1", "active"));
    client.tellToolbox(toolbox("t2", "unresponsive"));
    const { result } = watch(() => useFleet());
    expect(result.current).toEqual({
      servers: 5,
      states: { running: 2, stopped: 1, starting: 0, stopping: 0, error: 0, unknown: 2 },
      health: { healthy: 1, degraded: 1, unhealthy: 0, unknown: 3 },
      toolboxes: { unseen: 0, active: 1, unresponsive: 1 },
      unmonitored: 1,
      oldest: { serverId: "e", knownSince: Date.parse("2026-11-28T09:00:00Z") },
      loading: false,
      error: undefined,
      stale: false,
      complete: true,
    });
  });

  test("names no oldest knowledge while all of it is current", () => {
    client.connect(LIVE, true);
    client.tell(server("a"));
    const { result } = watch(() => useFleet());
    expect(result.current.oldest).toBeUndefined();
  });

  test("renders only when a number changes", () => {
    client.connect(LIVE, true);
    client.tell(server("a"));
    const { seen, result } = watch(() => useFleet());
    const before = seen.length;
    act(() => client.tell(server("a", { version: 2, containerId: "another" })));
    expect(seen).toHaveLength(before);
    act(() => client.tellToolbox(toolbox("t1", "active")));
    expect(result.current.toolboxes.active).toBe(1);
  });
});

describe("useConnection", () => {
  test("tells what the connection does, and watches nothing", () => {
    const { result } = watch(() => useConnection());
    expect([...client.subscriptions].map(({ selection }) => selection)).toEqual([{}]);
    act(() => client.connect({ phase: "waiting", retryAt: 7 }));
    expect(result.current).toMatchObject({ phase: "waiting", retryAt: 7 });
  });
});
