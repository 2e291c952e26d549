import type { Changes, ServerStatus, StatusClient, ToolboxStatus } from "@mcp-status/client";
import { MCPStatusProvider } from "@mcp-status/react";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { App } from "../src/app/app";
import { BoardContext } from "../src/app/board";
import { PacedOverview } from "../src/app/paced";
import { CommandDesk } from "../src/commands/desk";
import { SessionKeeper } from "../src/session/session";
import { because, server, toolbox } from "./statuses";

const boxId = "b0000000-0000-4000-8000-000000000001";
const me = {
  role: "user",
  accountId: server().accountId,
  actor: "somebody",
  expiresAt: "2999-01-01T00:00:00Z",
};

/** A client that is told by the test what is known. */
function fakeClient(told: ServerStatus[], toolboxes: ToolboxStatus[]) {
  let servers: readonly ServerStatus[] = told;
  const views = new Map<string, ReturnType<StatusClient["get"]>>();
  const listeners = new Set<(changes: Changes) => void>();
  const connection: StatusClient["connection"] = {
    phase: "live",
    transport: "websocket",
    since: 0,
    currentUntil: 0,
    stale: false,
    retryAt: undefined,
    reason: undefined,
  };
  const client: StatusClient = {
    subscribe(_, listener) {
      listeners.add(listener);
      return { update: () => {}, unsubscribe: () => listeners.delete(listener) };
    },
    unsubscribe: (subscription) => subscription.unsubscribe(),
    get(id) {
      const known = views.get(id);
      const status = servers.find((one) => one.serverId === id);
      if (known && known.status === status) return known;
      const error = status ? undefined : ({ code: "not_found", message: "no such server" } as const);
      const view = { status, loading: false, error, stale: false };
      views.set(id, view);
      return view;
    },
    servers: () => servers,
    toolboxes: () => toolboxes,
    complete: true,
    connection,
    resume: () => {},
    signOut: vi.fn(),
    close: () => {},
  };
  const tell = (status: ServerStatus) =>
    act(() => {
      servers = servers.map((one) => (one.serverId === status.serverId ? status : one));
      const changes = {
        servers: new Set([status.serverId]),
        toolboxes: new Set<string>(),
        connection: false,
      };
      for (const listener of listeners) listener(changes);
    });
  return { client, tell };
}

const answers = new Map<string, () => Response>();
const json = (body: unknown, status = 200) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });

async function open(path: string, told: ServerStatus[], token: string | undefined = "token") {
  history.replaceState(null, "", path);
  const { client, tell } = fakeClient(told, [toolbox(boxId, "vm-7")]);
  if (token) sessionStorage.setItem("mcp-status.token", token);
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const keeper = new SessionKeeper("", sessionStorage, () => client.signOut());
  const desk = new CommandDesk(keeper.api);
  const board = { client, keeper, desk, overview: new PacedOverview(client), version: "1.2.3" };
  render(
    <BoardContext value={board}>
      <QueryClientProvider client={queries}>
        <MCPStatusProvider client={client}>
          <App />
        </MCPStatusProvider>
      </QueryClientProvider>
    </BoardContext>,
  );
  await act(() => keeper.begin(undefined));
  return { client, keeper, tell };
}

beforeEach(() => {
  answers.clear();
  answers.set("/v1/me", () => json(me));
  vi.stubGlobal("fetch", async (input: string, init: RequestInit) => {
    const answer = answers.get(`${init.method} ${input}`) ?? answers.get(input);
    return answer?.() ?? json({ detail: "There is no such thing." }, 404);
  });
  vi.stubGlobal("scrollTo", () => {});
});

afterEach(() => {
  cleanup();
  sessionStorage.clear();
  localStorage.clear();
  vi.unstubAllGlobals();
});

const failed = server({
  name: "mcp-github",
  state: "stopped",
  health: "unknown",
  lastError: because("oom_killed", "exit code 137 (out of memory)"),
});
const well = server({ name: "mcp-postgres" });

/** The part of the list that is about a toolbox. */
function groupOf(toolbox: string): HTMLElement {
  const group = screen.getByRole("heading", { name: toolbox }).closest("section");
  if (!group) throw new Error(`${toolbox} has no group`);
  return group;
}

test("all servers: the trouble in words, by toolbox, and the search in the address", async () => {
  await open("/", [well, failed]);
  expect(screen.getByRole("heading", { level: 1 }).textContent).toBe("1 of 2 servers needs attention.");
  const group = groupOf("vm-7");
  expect(
    within(group)
      .getAllByRole("link")
      .map((link) => link.textContent),
  ).toEqual(["vm-7", expect.stringContaining("mcp-github"), expect.stringContaining("mcp-postgres")]);

  fireEvent.change(screen.getByRole("textbox", { name: "Search servers" }), {
    target: { value: "postgres" },
  });
  expect(location.search).toBe("?q=postgres");
  expect(within(groupOf("vm-7")).queryByText("mcp-github")).toBeNull();

  fireEvent.click(screen.getByRole("button", { name: "Clear" }));
  fireEvent.click(screen.getByRole("button", { name: /^Stopped/ }));
  expect(location.search).toBe("?state=stopped");
});

test("a change is shown in its row at once", async () => {
  const { tell } = await open("/", [well, failed]);
  const row = screen.getByRole("link", { name: /mcp-postgres/ });
  expect(row.textContent).toContain("RUNNING");
  tell({ ...well, state: "error", health: "unhealthy", version: 2 });
  expect(row.textContent).toContain("ERROR");
});

test("nothing is registered: how to", async () => {
  await open("/", []);
  expect(screen.getByRole("heading", { level: 1 }).textContent).toBe("No servers yet.");
});

test("a server: why, what can be done, and what comes of it", async () => {
  answers.set(`/v1/servers/${failed.serverId}`, () =>
    json({ ...failed, monitored: true, age: 1, stale: false }),
  );
  answers.set(`POST /v1/servers/${failed.serverId}/start?wait=30s`, () =>
    json({ command: { commandId: "c", outcome: "failed", message: "no such image" } }),
  );
  await open(`/servers/${failed.serverId}`, [well, failed]);
  expect(screen.getByText("Stopped because it ran out of memory and was killed.")).toBeTruthy();
  expect(screen.getByText("“exit code 137 (out of memory)”")).toBeTruthy();
  const start = screen.getByRole("button", { name: "Start" });
  const stop = screen.getByRole("button", { name: "Stop" });
  expect(start.getAttribute("aria-disabled")).toBe("false");
  expect([stop.getAttribute("aria-disabled"), stop.title]).toEqual(["true", "It is stopped"]);

  fireEvent.click(start);
  expect(screen.getByText("Starting.")).toBeTruthy();
  expect(await screen.findByText("mcp-github was not started.")).toBeTruthy();
  expect(screen.getByText("no such image", { exact: false })).toBeTruthy();
  expect(screen.queryByText("Starting.")).toBeNull();
});

test("what is shared can be looked at and not commanded", async () => {
  const shared = server({
    name: "theirs",
    accountId: "a0000000-0000-4000-8000-00000000000b",
    toolboxId: "other",
  });
  answers.set(`/v1/servers/${shared.serverId}`, () => json({ ...shared, monitored: true }));
  await open(`/servers/${shared.serverId}`, [shared]);
  expect(screen.getByText("Shared with you")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Stop" }).getAttribute("aria-disabled")).toBe("true");
  expect(screen.getByRole("switch", { name: "Monitoring" }).getAttribute("aria-disabled")).toBe("true");
});

test.each(["/servers/50000000-0000-4000-8000-00000000ffff", "/servers/nonsense", "/nowhere"])(
  "%s is the same nothing",
  async (path) => {
    await open(path, [well]);
    expect((await screen.findByRole("heading", { level: 1 })).textContent).toBe("Nothing here.");
  },
);

test("the end of a token asks for another over what was there, and goes on", async () => {
  const { keeper, client } = await open("/", [well, failed]);
  act(() => keeper.refuse("token"));
  const dialog = screen.getByRole("dialog", { name: "Sign in again" });
  expect(screen.getByText("mcp-postgres")).toBeTruthy();

  fireEvent.change(within(dialog).getByLabelText("Token"), { target: { value: " Bearer another " } });
  fireEvent.click(within(dialog).getByRole("button", { name: "Sign in" }));
  await vi.waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(keeper.token()).toBe("another");
  expect(client.signOut).not.toHaveBeenCalled();
});

test("nobody is signed in: a token that is not taken says so", async () => {
  const { client, keeper } = await open("/", [well], "");
  expect(screen.queryByText("mcp-postgres")).toBeNull();
  answers.set("/v1/me", () => json({ detail: "no" }, 401));
  fireEvent.change(screen.getByLabelText("Token"), { target: { value: "wrong" } });
  fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
  expect((await screen.findByText(/not taken/)).getAttribute("role")).toBe("alert");

  answers.set("/v1/me", () => json(me));
  fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
  fireEvent.click(await screen.findByRole("button", { name: "Sign out" }));
  expect(screen.queryByText("mcp-postgres")).toBeNull();
  expect(client.signOut).toHaveBeenCalledOnce();
  expect([keeper.token(), sessionStorage.length]).toEqual([undefined, 0]);
});
