import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { Handle } from "../src/client.js";
import type { StreamMessage, StreamRequest } from "../src/generated/stream.js";
import type { Platform } from "../src/transports.js";
import type { ClientOptions, StatusClient } from "../src/types.js";
import { Notifier, type Session } from "./notifier.js";

/** What a browser gives, in Node. */
export const platform: Platform = {
  WebSocket: WebSocket as unknown as typeof globalThis.WebSocket,
  fetch,
  pollEvery: 50,
};

type Send = (message: StreamMessage) => void;

/** notifier and status-api on a real port, before the model's truth. */
export class Service {
  readonly notifier = new Notifier();
  readonly #http: Server;
  readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "mcp-status.v1" });
  readonly #open = new Set<{ pump(): void; end(): void }>();
  readonly #tcp = new Set<Socket>();
  /** Tokens that are taken. */
  tokens = new Set(["good"]);
  /** What was asked over WebSockets. */
  readonly requests: StreamRequest[] = [];
  /** Paths of HTTP requests, in their order, and what they were answered with. */
  readonly log: string[] = [];
  blocks = { websocket: false, sse: false };
  opened = 0;

  private constructor() {
    this.#http = createServer((request, response) => this.#answer(request, response));
    this.#http.on("connection", (socket) => {
      this.#tcp.add(socket);
      socket.on("close", () => this.#tcp.delete(socket));
    });
    this.#http.on("upgrade", (request, socket, head) => {
      if (this.blocks.websocket) socket.destroy();
      else this.#sockets.handleUpgrade(request, socket, head, (client) => this.#serve(client));
    });
  }

  static async start(): Promise<Service> {
    const service = new Service();
    service.#http.listen(0, "127.0.0.1");
    await once(service.#http, "listening");
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  get streams(): number {
    return this.#open.size;
  }

  client(options: Partial<ClientOptions> = {}): StatusClient {
    return new Handle({ url: this.url, token: () => "good", ...options }, platform);
  }

  change(...ids: string[]): void {
    for (const id of ids) this.notifier.change(id);
    this.pump();
  }

  pump(): void {
    for (const stream of this.#open) stream.pump();
  }

  /** Every connection is cut, without a word. */
  cut(): void {
    for (const socket of this.#tcp) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this.#sockets.close();
    this.#http.close();
    await once(this.#http, "close");
  }

  #hello(): StreamMessage {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    return { type: "hello", protocol: "mcp-status.v1", pingSeconds: 30, expiresAt };
  }

  #session(send: Send, end: () => void): { session: Session; pump(): void; end(): void } {
    const session = this.notifier.connect();
    const pump = () => {
      for (let message = session.next(); message; message = session.next()) send(message);
    };
    const stream = {
      session,
      pump,
      end: () => {
        session.close();
        this.#open.delete(stream);
        end();
      },
    };
    this.#open.add(stream);
    this.opened += 1;
    return stream;
  }

  #serve(client: WebSocket): void {
    const send: Send = (message) => client.send(JSON.stringify(message));
    let stream: { session: Session; pump(): void; end(): void } | undefined;
    client.on("message", (data) => {
      const request = JSON.parse(String(data)) as StreamRequest;
      this.requests.push(request);
      if (request.type === "auth") {
        if (!this.tokens.has(request.token ?? "")) {
          send({ type: "bye", code: 4401, reason: "unauthorized" });
          client.close(4401, "unauthorized");
          return;
        }
        stream ??= this.#session(send, () => client.close());
        send(this.#hello());
      } else if (request.type === "ping") send({ type: "pong" });
      else {
        stream?.session.ask(request);
        stream?.pump();
      }
    });
    client.on("close", () => stream?.end());
  }

  #answer(request: IncomingMessage, response: ServerResponse): unknown {
    const url = new URL(request.url ?? "", this.url);
    const token = request.headers.authorization?.replace("Bearer ", "") ?? "";
    const json = (status: number, body: unknown, headers = {}) => {
      this.log.push(`${url.pathname} ${status}`);
      response
        .writeHead(status, { "content-type": "application/json", ...headers })
        .end(JSON.stringify(body));
    };
    if (!this.tokens.has(token)) return json(401, {});
    if (url.pathname === "/v1/events") return this.blocks.sse ? json(502, {}) : this.#events(url, response);
    const all = [...this.notifier.facts.values()].flatMap(({ event }) =>
      event.kind === "status" ? event : [],
    );
    const shown = all.map((event) => ({ ...event, monitored: true, stale: false, age: 1 }));
    if (url.pathname === "/v1/toolboxes") return json(200, { items: [], stale: false });
    if (url.pathname === "/v1/servers") {
      const from = shown.findIndex(({ serverId }) => serverId === url.searchParams.get("cursor")) + 1;
      const items = shown.slice(from, from + 2);
      const next = from + 2 < shown.length ? items.at(-1)?.serverId : undefined;
      return json(200, { items, next, stale: false });
    }
    const one = shown.find(({ serverId }) => url.pathname === `/v1/servers/${serverId}`);
    if (!one) return json(404, {});
    const etag = `W/"${one.version}"`;
    if (request.headers["if-none-match"] === etag) {
      this.log.push(`${url.pathname} 304`);
      response.writeHead(304).end();
      return;
    }
    json(200, one, { etag });
  }

  #events(url: URL, response: ServerResponse): void {
    this.log.push(`/v1/events${url.search}`);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("retry: 2000\n\n");
    const send: Send = (message) => {
      // In pieces, as networks do it.
      const text = `event: ${message.type}\ndata: ${JSON.stringify(message)}\n\n`;
      response.write(text.slice(0, 30));
      response.write(text.slice(30));
    };
    const stream = this.#session(send, () => response.end());
    send(this.#hello());
    const { searchParams: query } = url;
    const cursor = query.get("cursor");
    stream.session.ask({
      type: "subscribe",
      servers: query.has("all") ? "all" : (query.get("servers") ?? "").split(","),
      ...(cursor && { cursor }),
    });
    stream.pump();
    response.on("close", () => stream.end());
  }
}
