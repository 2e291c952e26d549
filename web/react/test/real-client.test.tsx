import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createClient, type ServerStatus, type StatusClient } from "@mcp-status/client";
import { act, render, waitFor } from "@testing-library/react";
import { Profiler, StrictMode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { MCPServerStatusBadge, MCPStatusProvider } from "../src/index.js";
import { server } from "./fake-client.js";

const ids = Array.from({ length: 1_000 }, (_, n) => `server-${n}`);

/** As much of notifier as one page needs: it tells whoever subscribes of servers that all run. */
class Notifier {
  readonly #server = new WebSocketServer({ port: 0 });
  readonly asked: { type: string; servers?: string[] }[] = [];
  connections = 0;
  #cursor = 0;

  async start(): Promise<string> {
    this.#server.on("connection", (socket) => {
      this.connections += 1;
      socket.on("message", (data) => {
        const request = JSON.parse(String(data));
        this.asked.push(request);
        for (const answer of this.#answers(request)) socket.send(JSON.stringify(answer));
      });
    });
    if (this.#server.address() === null) await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #answers(request: { type: string; servers?: string[] }): object[] {
    if (request.type === "auth") {
      const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
      return [{ type: "hello", protocol: "mcp-status.v1", pingSeconds: 30, expiresAt }];
    }
    if (request.type !== "subscribe") return [];
    const { servers = [] } = request;
    const told = servers.map((id) => this.#status(server(id)));
    return [
      { type: "subscribed", servers },
      { type: "snapshot" },
      ...told,
      { type: "present", cursor: `1.${this.#cursor}`, servers },
    ];
  }

  #status(status: ServerStatus) {
    this.#cursor += 1;
    return { type: "status", cursor: `1.${this.#cursor}`, event: { kind: "status", ...status } };
  }

  /** Tells everybody of a change. */
  tell(status: ServerStatus) {
    const text = JSON.stringify(this.#status(status));
    for (const socket of this.#server.clients) socket.send(text);
  }

  async stop() {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
    await once(this.#server, "close");
  }
}

let notifier: Notifier;
let client: StatusClient;

beforeEach(async () => {
  // The page's own WebSocket, which a simulated page has not.
  vi.stubGlobal("WebSocket", WebSocket);
  notifier = new Notifier();
  client = createClient({ url: await notifier.start(), token: () => "token", transports: ["websocket"] });
});

afterEach(async () => {
  client.close();
  await notifier.stop();
  vi.unstubAllGlobals();
});

const words = () => [...document.querySelectorAll(".mcp-status-state")].map(({ textContent }) => textContent);

test("a thousand badges are one connection and one subscribe, also under StrictMode and over a remount", async () => {
  const rendered: string[] = [];
  const page = (key: string) => (
    <StrictMode>
      <MCPStatusProvider client={client} key={key}>
        {ids.map((id) => (
          <Profiler key={id} id={id} onRender={(who) => rendered.push(who)}>
            <MCPServerStatusBadge serverId={id} />
          </Profiler>
        ))}
      </MCPStatusProvider>
    </StrictMode>
  );
  const { rerender } = render(page("first"));
  await waitFor(() => expect(client.connection.phase).toBe("live"));
  await waitFor(() => expect(new Set(words())).toEqual(new Set(["RUNNING"])));

  rendered.length = 0;
  act(() => notifier.tell(server("server-7", { state: "stopped", health: "unknown", version: 2 })));
  await waitFor(() => expect(words()[7]).toBe("STOPPED"));
  expect(rendered).toEqual(["server-7"]);

  rerender(page("second"));
  expect(words()[7]).toBe("STOPPED");
  // Answered in order: had the remount asked for anything, it would have come before this.
  act(() => notifier.tell(server("server-8", { state: "error", health: "unhealthy", version: 2 })));
  await waitFor(() => expect(words()[8]).toBe("ERROR"));

  expect(notifier.connections).toBe(1);
  expect(notifier.asked.map(({ type }) => type)).toEqual(["auth", "subscribe"]);
  expect(new Set(notifier.asked[1]?.servers)).toEqual(new Set(ids));
});
