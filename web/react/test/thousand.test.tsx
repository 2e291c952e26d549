import { act, render } from "@testing-library/react";
import { Profiler, StrictMode } from "react";
import { expect, test, vi } from "vitest";
import { MCPServerStatusBadge, MCPStatusProvider, useMCPServerStatuses } from "../src/index.js";
import { FakeClient, LIVE, server } from "./fake-client.js";

const NOW = Date.parse("2026-11-28T12:00:00Z");
const ids = Array.from({ length: 1_000 }, (_, n) => `server-${n}`);

/** A thousand badges, each a day or more old, and who of them rendered since the last look. */
function page() {
  const client = new FakeClient();
  client.connect(LIVE, true);
  const started = new Date(NOW - 86_400_000).toISOString();
  const status = (id: string) => server(id, { lastStarted: started });
  client.tell(...ids.map(status));
  const rendered: string[] = [];
  const view = render(
    <MCPStatusProvider client={client}>
      {ids.map((id) => (
        <Profiler key={id} id={id} onRender={(who) => rendered.push(who)}>
          <MCPServerStatusBadge serverId={id} />
        </Profiler>
      ))}
    </MCPStatusProvider>,
  );
  return { client, status, view, look: () => rendered.splice(0) };
}

function List() {
  return useMCPServerStatuses().statuses.map(({ serverId }) => (
    <MCPServerStatusBadge key={serverId} serverId={serverId} />
  ));
}

test("of a thousand badges only the one whose server changed renders", () => {
  const { client, status, look } = page();
  expect(look()).toHaveLength(1_000);
  act(() => client.tell({ ...status("server-7"), state: "stopped", health: "unknown", version: 2 }));
  expect(look()).toEqual(["server-7"]);
  act(() => client.tell({ ...status("server-8"), version: 2 }, { ...status("server-9"), version: 2 }));
  expect(look()).toEqual(["server-8", "server-9"]);
});

test("a list that changes renders no badge whose server did not", () => {
  const client = new FakeClient();
  client.connect(LIVE, true);
  client.tell(...ids.map((id) => server(id)));
  render(
    <MCPStatusProvider client={client}>
      <List />
    </MCPStatusProvider>,
  );
  // A badge asks for its server whenever it renders.
  const asked = vi.spyOn(client, "get");
  act(() => client.tell(server("server-7", { state: "stopped", health: "unknown", version: 2 })));
  expect(new Set(asked.mock.calls.map(([id]) => id))).toEqual(new Set(["server-7"]));
});

test("a tick renders only badges whose text it changes", () => {
  vi.useFakeTimers({ now: NOW });
  const { client, status, look } = page();
  const young = new Date(NOW - 5_000).toISOString();
  act(() => client.tell({ ...status("server-3"), lastStarted: young, version: 2 }));
  look();
  act(() => vi.advanceTimersByTime(1_000));
  expect(look()).toEqual(["server-3"]);
  expect(vi.getTimerCount()).toBe(1);
});

test("each badge watches its server once, under StrictMode too, and none when the page is left", () => {
  const client = new FakeClient();
  const { unmount } = render(
    <StrictMode>
      <MCPStatusProvider client={client}>
        {ids.map((id) => (
          <MCPServerStatusBadge key={id} serverId={id} />
        ))}
      </MCPStatusProvider>
    </StrictMode>,
  );
  const watched = [...client.subscriptions].flatMap(({ selection }) => selection.servers ?? []);
  expect(watched.sort()).toEqual([...ids].sort());
  unmount();
  expect(client.subscriptions.size).toBe(0);
});
