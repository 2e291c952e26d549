import type { Problem } from "./types";

/** What status-api answered instead of what was asked for, or that it could not be asked. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    /** The HTTP status; 0: there was no answer. */
    readonly status: number,
    message: string,
    readonly problem?: Problem,
  ) {
    super(message);
  }

  /** Whether the same request may succeed in a moment. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export interface ApiOptions {
  /** status-api's address; empty: the page's own. */
  readonly base: string;
  readonly token: () => string | undefined;
  /** A token was not taken. */
  readonly onRefused: (token: string) => void;
}

export interface PostOptions {
  readonly body?: unknown;
  /** The same key gets the first answer again: a request that is repeated is done once. */
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

/** The requests of the board. Nothing of them is in a URL that would have to stay secret. */
export class Api {
  constructor(private readonly options: ApiOptions) {}

  get base(): string {
    return this.options.base;
  }

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.#send<T>(path, { method: "GET", ...(signal && { signal }) });
  }

  post<T>(path: string, { body, idempotencyKey, signal }: PostOptions = {}): Promise<T> {
    return this.#send<T>(path, {
      method: "POST",
      ...(signal && { signal }),
      ...(body !== undefined && { body: JSON.stringify(body) }),
      headers: {
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(idempotencyKey && { "idempotency-key": idempotencyKey }),
      },
    });
  }

  async #send<T>(path: string, init: RequestInit): Promise<T> {
    const token = this.options.token();
    const headers = new Headers(init.headers);
    headers.set("accept", "application/json");
    if (token) headers.set("authorization", `Bearer ${token}`);
    let answer: Response;
    try {
      answer = await fetch(this.options.base + path, {
        ...init,
        headers,
        cache: "no-store",
        credentials: "omit",
      });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new ApiError(0, "The service cannot be reached.");
    }
    if (answer.ok) return (await answer.json()) as T;
    if (answer.status === 401 && token) this.options.onRefused(token);
    const problem = await problemOf(answer);
    throw new ApiError(answer.status, problem?.detail ?? `The service answered ${answer.status}.`, problem);
  }
}

async function problemOf(answer: Response): Promise<Problem | undefined> {
  if (!answer.headers.get("content-type")?.includes("json")) return undefined;
  return (await answer.json().catch(() => undefined)) as Problem | undefined;
}

/** 128 random bits. `crypto.randomUUID` is not there on pages without TLS. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
