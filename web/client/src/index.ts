import { Handle } from "./client.js";
import type { ClientOptions, StatusClient } from "./types.js";

export { knownSince, reasonOf, uptimeOf } from "./knowledge.js";
export type * from "./types.js";

/** Where only polling is left. */
const POLL_EVERY = 5_000;

/** A handle of the page's connection to `url`. Opens nothing until something is watched. */
export function createClient(options: ClientOptions): StatusClient {
  return new Handle(
    // A copy: it is what tells this handle from the others.
    { ...options },
    {
      WebSocket: globalThis.WebSocket,
      fetch: (input, init) => globalThis.fetch(input, init),
      pollEvery: POLL_EVERY,
    },
  );
}
