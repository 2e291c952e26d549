import type { Server, ServerPage, Toolbox, ToolboxPage } from "./generated/api.js";
import type { ServerStatus, StreamMessage, ToolboxEvent } from "./generated/stream.js";
import { below, type Connect, refusal } from "./transports.js";

const PAGE = "500";

/** An answer that ends the polling. */
class Refused extends Error {
  constructor(readonly response: Response) {
    super(`HTTP ${response.status}`);
  }
}

/**
 * Asks status-api every few seconds, and tells what it answers as a stream would: each round is a snapshot. There is no
 * cursor: what a poll told, a stream does not resume.
 */
export const polling: Connect = (target, sink, { fetch, pollEvery }) => {
  const abort = new AbortController();
  const { all, toolboxes, servers } = target.opening;
  let { token } = target;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tags = new Map<string, string>();
  const stales = new Set<string>();

  async function get(path: string, query: Record<string, string> = {}, headers: Record<string, string> = {}) {
    const response = await fetch(below(target.apiUrl, path, query), {
      headers: { authorization: `Bearer ${token}`, ...headers },
      // What a browser keeps, it would answer 200 with.
      cache: "no-store",
      credentials: "omit",
      signal: abort.signal,
    });
    if (response.ok || response.status === 304 || response.status === 404) return response;
    throw new Refused(response);
  }

  async function pages<T>(path: string): Promise<{ items: T[]; stale: boolean }> {
    const items: T[] = [];
    let stale = false;
    let cursor: string | null | undefined;
    do {
      const response = await get(path, { limit: PAGE, ...(cursor && { cursor }) });
      if (!response.ok) throw new Refused(response);
      const page = (await response.json()) as (ServerPage | ToolboxPage) & { items: T[] };
      items.push(...page.items);
      stale ||= page.stale;
      cursor = page.next;
    } while (cursor);
    return { items, stale };
  }

  /** One by one with validators: what is as it was costs next to nothing. */
  async function one(
    id: string,
  ): Promise<{ status: StreamMessage | undefined; stale: boolean; isThere: boolean }> {
    const tag = tags.get(id);
    const response = await get(
      `/v1/servers/${encodeURIComponent(id)}`,
      {},
      tag ? { "if-none-match": tag } : {},
    );
    // Staleness is part of the validator: what has not changed is as stale as it was.
    if (response.status === 304) return { status: undefined, stale: stales.has(id), isThere: true };
    tags.delete(id);
    stales.delete(id);
    if (response.status === 404) return { status: undefined, stale: false, isThere: false };
    const server = (await response.json()) as Server;
    const etag = response.headers.get("etag");
    if (etag) tags.set(id, etag);
    if (server.stale) stales.add(id);
    return { status: statusMessage(server), stale: server.stale, isThere: true };
  }
  let isFirst = true;
  let wasStale = false;

  async function round(): Promise<void> {
    const [byId, found, machines] = await Promise.all([
      all ? [] : Promise.all([...servers].map(async (id) => ({ id, ...(await one(id)) }))),
      all ? pages<Server>("/v1/servers") : { items: [], stale: false },
      toolboxes ? pages<Toolbox>("/v1/toolboxes") : { items: [], stale: false },
    ]);
    if (abort.signal.aborted) return;
    if (isFirst) {
      sink.message({
        type: "hello",
        protocol: "mcp-status.v1",
        pingSeconds: pollEvery / 1000,
        expiresAt: "",
      });
    }
    isFirst = false;
    const there = byId.filter(({ isThere }) => isThere);
    const missing = byId.filter(({ isThere }) => !isThere).map(({ id }) => id);
    if (missing.length > 0) sink.message({ type: "error", code: "not_found", message: "", servers: missing });
    // No snapshot: a 404 says what it would say by omission, and a 304 leaves out what stays.
    sink.message({ type: "subscribed", servers: there.map(({ id }) => id) });
    for (const { status } of there) if (status) sink.message(status);
    sink.message({ type: "present", cursor: "" });
    sink.message({ type: "subscribed", all, toolboxes });
    sink.message({ type: "snapshot" });
    for (const server of found.items) sink.message(statusMessage(server));
    for (const toolbox of machines.items) sink.message(toolboxMessage(toolbox));
    const isStale = found.stale || machines.stale || there.some(({ stale }) => stale);
    // Before the end, so that it is never shown to be current.
    if (isStale !== wasStale) sink.message(isStale ? { type: "stale" } : { type: "current", cursor: "" });
    wasStale = isStale;
    sink.message({ type: "present", cursor: "" });
  }

  async function run(): Promise<void> {
    try {
      await round();
      if (!abort.signal.aborted) timer = setTimeout(run, pollEvery);
    } catch (error) {
      if (abort.signal.aborted) return;
      if (error instanceof Refused) sink.closed(...refusal(error.response));
      else sink.closed();
    }
  }
  void run();

  return {
    renew: (newer) => {
      token = newer;
    },
    shut: () => {
      clearTimeout(timer);
      abort.abort();
    },
  };
};

/** What the API answers as the event that a stream would tell. */
function statusMessage(server: Server): StreamMessage {
  const { age: _age, stale: _stale, override, ...rest } = server;
  const changedAt = server.changedAt ?? server.asOf ?? new Date(0).toISOString();
  const event: ServerStatus & { kind: "status" } = {
    ...rest,
    kind: "status",
    changedAt,
    ...(override && { overrideUntil: override.until }),
  };
  return { type: "status", cursor: "", event };
}

function toolboxMessage(toolbox: Toolbox): StreamMessage {
  const { accountId, toolboxId, name, status, agentVersion, lastHeartbeat, problem } = toolbox;
  // The API tells no version.
  const event: ToolboxEvent = {
    ...{ accountId, toolboxId, name, status },
    changedAt: problem?.at ?? lastHeartbeat ?? new Date(0).toISOString(),
    version: 0,
    ...(agentVersion && { agentVersion }),
    ...(lastHeartbeat && { lastHeartbeat }),
    ...(problem && { problem }),
  };
  return { type: "toolbox", cursor: "", event };
}
