import { below, type Connect, parse, refusal } from "./transports.js";

/**
 * Server-sent events, read by `fetch`: an `EventSource` bears no header, hides the comments that are the server's signs of
 * life, and does not say why it failed.
 */
export const sse: Connect = ({ url, token, opening }, sink, { fetch }) => {
  const abort = new AbortController();
  const { all, toolboxes, servers, cursor } = opening;
  const address = below(url, "/v1/events", {
    ...(all && { all: "true" }),
    ...(!all && servers.size > 0 && { servers: [...servers].join(",") }),
    ...(toolboxes && { toolboxes: "true" }),
    ...(cursor && { cursor }),
  });
  const run = async () => {
    const response = await fetch(address, {
      headers: { authorization: `Bearer ${token}`, accept: "text/event-stream" },
      cache: "no-store",
      credentials: "omit",
      signal: abort.signal,
    });
    if (!response.ok || !response.body) return sink.closed(...refusal(response));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || abort.signal.aborted) break;
      sink.heard();
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      // The server writes each message in one line of data, which says its type itself.
      for (const line of lines) {
        if (abort.signal.aborted) return;
        const message = line.startsWith("data:") ? parse(line.slice(5)) : undefined;
        if (message) sink.message(message);
      }
    }
    sink.closed();
  };
  run().catch(() => {
    if (!abort.signal.aborted) sink.closed();
  });
  return { shut: () => abort.abort() };
};
