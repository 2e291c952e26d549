import type { ServerStatus } from "@mcp-status/client";
import { act, render, screen } from "@testing-library/react";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { MCPServerStatusBadge, MCPStatusProvider, StatusBadge, type StatusBadgeProps } from "../src/index.js";
import { FakeClient, LIVE, server } from "./fake-client.js";

const NOW = Date.parse("2026-11-28T12:00:00Z");
const ago = (seconds: number) => new Date(NOW - seconds * 1_000).toISOString();
const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});

const pass = (seconds: number) => act(() => vi.advanceTimersByTime(seconds * 1_000));

/** The one badge on the page, as people and as programs meet it. */
function badge() {
  const element = document.querySelector<HTMLElement>(".mcp-status-badge");
  if (element === null) throw new Error("no badge");
  const hidden = element.querySelector(".mcp-status-hidden");
  const read = element.textContent;
  return {
    element,
    read,
    seen: hidden === null ? read : read.slice(0, -hidden.textContent.length),
    tone: element.getAttribute("data-tone"),
    shape: element.querySelector("svg")?.innerHTML,
    hover: element.title,
  };
}

const shown = (props: StatusBadgeProps) => {
  render(<StatusBadge {...props} />);
  return badge();
};

describe("StatusBadge", () => {
  const up = { lastStarted: ago(3 * DAY + 4 * HOUR) };
  const cases: [string, Partial<ServerStatus>, tone: string, seen: string][] = [
    ["running, healthy", up, "healthy", "RUNNING (3d 4h)"],
    ["running, degraded", { ...up, health: "degraded" }, "degraded", "RUNNING (3d 4h)"],
    ["running, unhealthy", { ...up, health: "unhealthy" }, "idle", "RUNNING (3d 4h)"],
    ["running, unknown", { ...up, health: "unknown" }, "idle", "RUNNING (3d 4h)"],
    ["running since nobody knows when", { lastStarted: null }, "healthy", "RUNNING"],
    ["error", { ...up, state: "error", health: "unhealthy" }, "error", "ERROR"],
    ["starting", { ...up, state: "starting", health: "unknown" }, "busy", "STARTING"],
    ["stopping", { ...up, state: "stopping", health: "unknown" }, "busy", "STOPPING"],
    ["stopped", { ...up, state: "stopped", health: "unknown" }, "idle", "STOPPED"],
    ["unknown", { ...up, state: "unknown", health: "unknown" }, "idle", "UNKNOWN"],
  ];

  test.each(cases)("%s", (_, status, tone, seen) => {
    expect(shown({ status: server("a", status) })).toMatchObject({ tone, seen });
  });

  test("no two tones share a shape, and the greys are told apart too", () => {
    const shapes = new Map<string, Set<string>>();
    for (const [, status, tone] of cases) {
      const { unmount } = render(<StatusBadge status={server("a", status)} />);
      const { shape = "" } = badge();
      shapes.set(shape, (shapes.get(shape) ?? new Set()).add(tone));
      unmount();
    }
    for (const tones of shapes.values()) expect(tones.size).toBe(1);
    expect(shapes.size).toBe(7);
  });

  test.each([
    ["not_found", "NOT FOUND"],
    ["deleted", "DELETED"],
    ["revoked", "NO ACCESS"],
    ["signed_out", "SIGNED OUT"],
    ["limit", "NOT WATCHED"],
  ] as const)("without a status: %s", (code, seen) => {
    const message = "So it is.";
    expect(shown({ status: undefined, error: { code, message } })).toMatchObject({
      tone: "idle",
      seen,
      hover: message,
      read: `${seen}. ${message}`,
    });
  });

  test("while nothing was told", () => {
    expect(shown({ status: undefined, loading: true })).toMatchObject({ tone: "idle", read: "LOADING" });
  });

  test("says why, on hover and to those who listen, and in words what the colour says", () => {
    const lastError = { code: "health_check_failing", message: "its own health check fails", at: ago(9) };
    const status = server("a", { health: "degraded", lastError });
    expect(shown({ status, stale: true })).toMatchObject({
      hover: "Degraded. Its own health check fails. Live updates are away, and it may have changed since.",
      read: "RUNNING. Degraded. Its own health check fails. Live updates are away, and it may have changed since.",
    });
  });

  test("a reason is text, never markup", () => {
    const message = "<img src=x onerror=alert(1)>";
    const { element } = shown({
      status: server("a", { state: "error", lastError: { code: "exit_code", message, at: ago(1) } }),
    });
    expect(element.querySelector("img")).toBeNull();
    expect(element.title).toContain(message);
  });

  test("what is well needs no words", () => {
    expect(shown({ status: server("a") })).toMatchObject({ hover: "", read: "RUNNING" });
  });

  test("uptime goes on by itself", () => {
    render(<StatusBadge status={server("a", { lastStarted: ago(58) })} />);
    expect(badge().seen).toBe("RUNNING (58s)");
    pass(1);
    expect(badge().seen).toBe("RUNNING (59s)");
    pass(1);
    expect(badge().seen).toBe("RUNNING (1m)");
  });

  test("old knowledge says its age, and counts no uptime that nobody knows of", () => {
    const status = server("a", { lastStarted: ago(2 * HOUR) });
    render(<StatusBadge status={status} stale knownSince={NOW - 4 * MINUTE * 1_000} />);
    expect(badge().seen).toBe("RUNNING (1h 56m) as of 4 min ago");
    pass(HOUR);
    expect(badge().seen).toBe("RUNNING (1h 56m) as of 1 h ago");
  });

  test("keeps the attributes that it is given", () => {
    const { element } = shown({ status: server("a"), className: "mine", id: "one", "aria-describedby": "x" });
    expect(element.className).toBe("mcp-status-badge mine");
    expect(element.id).toBe("one");
    expect(element.getAttribute("aria-describedby")).toBe("x");
  });

  test("has no style attribute, which a strict policy would forbid, and no class that is not its own", () => {
    const { element } = shown({ status: server("a", { state: "starting" }), stale: true, knownSince: 1 });
    for (const part of [element, ...element.querySelectorAll("*")]) {
      expect(part.hasAttribute("style")).toBe(false);
      for (const name of part.classList) expect(name).toMatch(/^mcp-status-/);
    }
  });
});

describe("MCPServerStatusBadge", () => {
  let client: FakeClient;
  beforeEach(() => {
    client = new FakeClient();
    client.connect(LIVE, true);
  });

  const mount = () =>
    render(
      <MCPStatusProvider client={client}>
        <MCPServerStatusBadge serverId="a" />
      </MCPStatusProvider>,
    );

  test("follows its server", () => {
    mount();
    expect(badge().seen).toBe("LOADING");
    act(() => client.tell(server("a", { lastStarted: ago(12 * MINUTE) })));
    expect(badge()).toMatchObject({ tone: "healthy", seen: "RUNNING (12m)" });
    act(() => client.tell(server("a", { state: "stopped", health: "unknown", version: 2 })));
    expect(badge()).toMatchObject({ tone: "idle", seen: "STOPPED" });
  });

  test("is current while it is live and well, however old its last event", () => {
    client.tell(server("a", { asOf: ago(5 * DAY), lastStarted: ago(5 * DAY) }));
    mount();
    expect(badge().seen).toBe("RUNNING (5d)");
    pass(HOUR);
    expect(badge().seen).toBe("RUNNING (5d 1h)");
  });

  test("calls nothing old while the first state is being told", () => {
    client = new FakeClient();
    client.tell(server("a", { asOf: ago(HOUR), lastStarted: ago(2 * HOUR) }));
    mount();
    expect(badge().seen).toBe("RUNNING (2h)");
    act(() => client.connect({ phase: "waiting", stale: true, currentUntil: NOW - 5 * MINUTE * 1_000 }));
    expect(badge().seen).toBe("RUNNING (1h 55m) as of 5 min ago");
  });

  test("an agent's silence is old knowledge, live or not", () => {
    const lastError = { code: "agent_unreachable", message: "the agent does not answer", at: ago(60) };
    client.tell(
      server("a", {
        health: "unhealthy",
        lastStarted: ago(HOUR),
        asOf: ago(6 * MINUTE),
        lastError,
      }),
    );
    mount();
    expect(badge()).toMatchObject({
      tone: "idle",
      seen: "RUNNING (54m) as of 6 min ago",
      hover: "Unhealthy. The agent does not answer.",
    });
  });

  test("a lost connection shows at once, its age after a minute; back again, it is current", () => {
    client.tell(server("a", { lastStarted: ago(HOUR) }));
    mount();
    act(() => client.connect({ phase: "waiting", stale: true, currentUntil: NOW }));
    expect(badge().element.getAttribute("data-stale")).toBe("true");
    expect(badge().seen).toBe("RUNNING (1h)");
    pass(MINUTE);
    expect(badge().seen).toBe("RUNNING (1h) as of 1 min ago");
    pass(4 * MINUTE);
    expect(badge().seen).toBe("RUNNING (1h) as of 5 min ago");
    act(() => client.connect(LIVE));
    expect(badge().element.getAttribute("data-stale")).toBeNull();
    expect(badge().seen).toBe("RUNNING (1h 5m)");
  });

  test("is found by its words", () => {
    client.tell(
      server("a", { state: "error", lastError: { code: "exit_code", message: "exit 1", at: ago(1) } }),
    );
    mount();
    expect(screen.getByTitle("Exit 1.")).toBe(badge().element);
    expect(screen.getByText("ERROR")).toBeTruthy();
  });
});
