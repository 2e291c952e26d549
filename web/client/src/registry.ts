import { type Address, Hub } from "./hub.js";
import type { Platform } from "./transports.js";

/**
 * Where the hubs of a page are, also of another copy of this package that speaks to them in the same way. Change the number
 * with any change to what a hub offers to its handles.
 */
const KEY = Symbol.for("@mcp-status/client/hubs/1");

type Hubs = Map<string, Hub>;

/** The hub of an address: one, whoever asks. */
export function hubOf(address: Address, platform: Platform): Hub {
  const hubs = all();
  const key = address.url.href;
  let hub = hubs.get(key);
  if (!hub) {
    hub = new Hub(address, platform);
    hubs.set(key, hub);
  }
  return hub;
}

/** A hub whose last handle was closed. */
export function forget(hub: Hub): void {
  for (const [key, it] of all()) if (it === hub) all().delete(key);
}

function all(): Hubs {
  const page = globalThis as { [KEY]?: Hubs };
  page[KEY] ??= new Map();
  return page[KEY];
}
