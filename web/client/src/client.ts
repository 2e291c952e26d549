import type { Held, Hub } from "./hub.js";
import { forget, hubOf } from "./registry.js";
import type { Platform } from "./transports.js";
import type {
  Changes,
  ClientOptions,
  ConnectionState,
  Selection,
  ServerStatus,
  ServerView,
  StatusClient,
  Subscription,
  ToolboxStatus,
} from "./types.js";

const LOADING: ServerView = { status: undefined, loading: true, error: undefined, stale: false };
const IDLE: ConnectionState = {
  phase: "idle",
  transport: undefined,
  since: 0,
  currentUntil: undefined,
  stale: false,
  retryAt: undefined,
  reason: undefined,
};
const CLOSED: ConnectionState = { ...IDLE, phase: "closed" };
const NO_SERVERS: readonly ServerStatus[] = [];
const NO_TOOLBOXES: readonly ToolboxStatus[] = [];

/** A handle of the page's connection. Until it watches it holds nothing: a server that renders a page never does. */
export class Handle implements StatusClient {
  readonly #options: ClientOptions;
  readonly #platform: Platform;
  #hub: Hub | undefined;
  #isClosed = false;
  readonly #held = new Map<Subscription, Held>();

  constructor(options: ClientOptions, platform: Platform) {
    this.#options = options;
    this.#platform = platform;
  }

  subscribe(selection: Selection, listener: (changes: Changes) => void): Subscription {
    if (this.#isClosed) throw new Error("this client was closed");
    const held = this.#join().subscribe(selection, listener);
    const subscription: Subscription = {
      update: (selection) => held.update(selection),
      unsubscribe: () => this.unsubscribe(subscription),
    };
    this.#held.set(subscription, held);
    return subscription;
  }

  unsubscribe(subscription: Subscription): void {
    this.#held.get(subscription)?.end();
    this.#held.delete(subscription);
  }

  get(serverId: string): ServerView {
    return this.#hub?.get(serverId) ?? LOADING;
  }

  servers(): readonly ServerStatus[] {
    return this.#hub?.servers() ?? NO_SERVERS;
  }

  toolboxes(): readonly ToolboxStatus[] {
    return this.#hub?.toolboxes() ?? NO_TOOLBOXES;
  }

  get complete(): boolean {
    return this.#hub?.complete ?? false;
  }

  get connection(): ConnectionState {
    return this.#hub?.connection ?? (this.#isClosed ? CLOSED : IDLE);
  }

  resume(): void {
    if (!this.#isClosed) this.#join().resume();
  }

  signOut(): void {
    this.#hub?.signOut();
  }

  close(): void {
    this.#isClosed = true;
    for (const held of this.#held.values()) held.end();
    this.#held.clear();
    if (this.#hub?.leave(this.#options)) forget(this.#hub);
    this.#hub = undefined;
  }

  #join(): Hub {
    if (!this.#hub) {
      const { url, apiUrl } = this.#options;
      const page = typeof location === "undefined" ? undefined : location.origin;
      const address = new URL(url ?? page ?? unknownAddress(), page);
      this.#hub = hubOf({ url: address, apiUrl: new URL(apiUrl ?? address, page) }, this.#platform);
      this.#hub.join(this.#options);
    }
    return this.#hub;
  }
}

function unknownAddress(): never {
  throw new Error("`url` is needed where there is no page");
}
