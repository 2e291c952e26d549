import type { Opening } from "./events.js";
import type { StreamMessage, StreamRequest } from "./generated/stream.js";
import type { Transport } from "./types.js";

/** What the platform gives. */
export interface Platform {
  readonly WebSocket: typeof WebSocket | undefined;
  readonly fetch: typeof fetch;
  /** Milliseconds between polls. */
  readonly pollEvery: number;
}

/** How a transport says what happens to it. Nothing after `closed`. */
export interface Sink {
  open(): void;
  message(message: StreamMessage): void;
  heard(): void;
  closed(code?: number, reason?: string, retryAfterMs?: number): void;
}

/** A connection, or the attempt at one. */
export interface Connection {
  send?(message: StreamRequest): void;
  renew?(token: string): void;
  shut(): void;
}

/** Where to connect, and as whom. */
export interface Target {
  /** notifier's address. */
  readonly url: URL;
  /** status-api's. */
  readonly apiUrl: URL;
  readonly token: string;
  readonly opening: Opening;
}

export type Connect = (target: Target, sink: Sink, platform: Platform) => Connection;

/** A path below an address, which may have a path itself. */
export function below(base: URL, path: string, query: Readonly<Record<string, string>> = {}): URL {
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/$/, "")}${path}`;
  url.search = new URLSearchParams(query).toString();
  url.hash = "";
  return url;
}

/** The message in a text; undefined: it is none. */
export function parse(text: unknown): StreamMessage | undefined {
  try {
    const message = JSON.parse(String(text));
    return typeof message?.type === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}

/** The end that an HTTP answer other than 2xx is, in the codes of WebSockets. */
export function refusal(response: Response): Parameters<Sink["closed"]> {
  const codes: Record<number, number> = { 401: 4401, 429: 4429, 503: 1013 };
  const after = Number(response.headers.get("retry-after") || Number.NaN);
  return [
    codes[response.status],
    `HTTP ${response.status}`,
    Number.isFinite(after) ? after * 1000 : undefined,
  ];
}

export type Transports = Readonly<Record<Transport, Connect>>;
