import { below, type Connect, type Connection, type Platform, parse } from "./transports.js";

/** The protocol's name, which the server confirms. */
const PROTOCOL = "mcp-status.v1";

function address(url: URL): URL {
  const socket = below(url, "/v1/ws");
  socket.protocol = socket.protocol.replace("http", "ws");
  return socket;
}

/** The token is in the first message: browsers send no headers with a WebSocket. */
export const websocket: Connect = ({ url }, sink, { WebSocket }) => {
  if (!WebSocket) return failed(sink.closed);
  const socket = open(url, WebSocket);
  if (!socket) return failed(sink.closed);
  socket.onopen = () => sink.open();
  socket.onmessage = ({ data }) => {
    const message = parse(data);
    if (message) sink.message(message);
  };
  socket.onclose = ({ code, reason }) => sink.closed(code, reason);
  return {
    send: (message) => {
      if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
    },
    shut: () => shut(socket),
  };
};

/** Whether a WebSocket can be had. */
export function probe(url: URL, { WebSocket }: Platform, tell: (works: boolean) => void): Connection {
  if (!WebSocket) return failed(() => tell(false));
  const socket = open(url, WebSocket);
  if (!socket) return failed(() => tell(false));
  socket.onopen = () => {
    shut(socket);
    tell(true);
  };
  socket.onclose = () => tell(false);
  return { shut: () => shut(socket) };
}

/** Undefined: the page's own policy forbids it. */
function open(url: URL, socket: typeof WebSocket): WebSocket | undefined {
  try {
    const opening = new socket(address(url), [PROTOCOL]);
    // An error is always followed by a close, which says as much; outside of browsers one that nobody hears is fatal.
    opening.onerror = () => {};
    return opening;
  } catch {
    return undefined;
  }
}

function shut(socket: WebSocket): void {
  socket.onopen = null;
  socket.onmessage = null;
  socket.onclose = null;
  socket.close(1000);
}

function failed(tell: () => void): Connection {
  queueMicrotask(() => tell());
  return { shut: () => {} };
}
