import { act } from "@testing-library/react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, expect, test, vi } from "vitest";
import {
  MCPServerStatusBadge,
  MCPStatusProvider,
  StatusBadge,
  useConnection,
  useFleet,
  useMCPServerStatuses,
  useNow,
} from "../src/index.js";
import { FakeClient, LIVE, server } from "./fake-client.js";

afterEach(() => {
  vi.restoreAllMocks();
  document.body.replaceChildren();
});

const STARTED = "2026-11-28T10:00:00Z";

function Everything() {
  const { statuses, loading } = useMCPServerStatuses({ states: ["running"] });
  const fleet = useFleet();
  const { phase } = useConnection();
  return (
    <p>
      <MCPServerStatusBadge serverId="a" />
      <StatusBadge status={server("b", { lastStarted: STARTED })} knownSince={Date.parse(STARTED) + 1} />
      {`${loading ? "loading" : statuses.length} ${fleet.servers} ${phase} ${useNow(1_000) === 0 ? "no" : "a"} time`}
    </p>
  );
}

const app = (client: FakeClient) => (
  <MCPStatusProvider client={client}>
    <Everything />
  </MCPStatusProvider>
);

test("on a server everything is loading, nothing is watched, and no timer runs", () => {
  vi.useFakeTimers();
  const client = new FakeClient();
  client.connect(LIVE, true);
  client.tell(server("a"));
  const html = renderToString(app(client));
  expect(html).toContain("LOADING");
  expect(html).toContain("loading 0 idle no time");
  expect(html).not.toContain("style=");
  expect(client.subscriptions.size).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test("a page is taken over without a mismatch, though the client knows more by then", async () => {
  const errors = vi.spyOn(console, "error");
  const recovered = vi.fn();
  const host = document.createElement("div");
  host.innerHTML = renderToString(app(new FakeClient()));
  document.body.append(host);

  const client = new FakeClient();
  client.connect(LIVE, true);
  client.tell(server("a"));
  const root = await act(async () => hydrateRoot(host, app(client), { onRecoverableError: recovered }));
  expect(recovered).not.toHaveBeenCalled();
  expect(errors).not.toHaveBeenCalled();
  expect(host.textContent).toContain("RUNNING");
  expect(host.textContent).toContain("1 1 live a time");
  act(() => root.unmount());
});

test("a mismatch would be told", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const recovered = vi.fn();
  const host = document.createElement("div");
  host.innerHTML = renderToString(app(new FakeClient())).replace("LOADING", "RUNNING");
  document.body.append(host);
  const root = await act(async () =>
    hydrateRoot(host, app(new FakeClient()), { onRecoverableError: recovered }),
  );
  expect(recovered).toHaveBeenCalled();
  act(() => root.unmount());
});
