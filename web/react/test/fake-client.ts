import type {
  Changes,
  ConnectionState,
  Selection,
  ServerStatus,
  ServerView,
  StatusClient,
  StatusError,
  Subscription,
  ToolboxStatus,
} from "@mcp-status/client";

const LOADING: ServerView = { status: undefined, loading: true, error: undefined, stale: false };

/** A client whose knowledge a test writes. It tells at once, where the real one waits for the task's end. */
export class FakeClient implements StatusClient {
  readonly subscriptions = new Set<{ selection: Selection; listener: (changes: Changes) => void }>();
  readonly #views = new Map<string, ServerView>();
  #servers: readonly ServerStatus[] = [];
  #toolboxes: readonly ToolboxStatus[] = [];
  complete = false;
  connection: ConnectionState = {
    phase: "connecting",
    transport: undefined,
    since: 0,
    currentUntil: undefined,
    stale: false,
    retryAt: undefined,
    reason: undefined,
  };

  subscribe(selection: Selection, listener: (changes: Changes) => void): Subscription {
    const entry = { selection, listener };
    this.subscriptions.add(entry);
    return {
      update: (selection) => {
        entry.selection = selection;
      },
      unsubscribe: () => {
        this.subscriptions.delete(entry);
      },
    };
  }

  unsubscribe(subscription: Subscription) {
    subscription.unsubscribe();
  }

  get(serverId: string): ServerView {
    return this.#views.get(serverId) ?? LOADING;
  }

  servers() {
    return this.#servers;
  }

  toolboxes() {
    return this.#toolboxes;
  }

  /** Tells of servers, all in one. */
  tell(...told: ServerStatus[]) {
    const ids = new Set(told.map(({ serverId }) => serverId));
    for (const status of told) {
      this.#views.set(status.serverId, { ...LOADING, status, loading: false, stale: this.connection.stale });
    }
    this.#servers = [...this.#servers.filter(({ serverId }) => !ids.has(serverId)), ...told];
    this.#notify({ servers: ids, toolboxes: new Set(), connection: false });
  }

  tellToolbox(told: ToolboxStatus) {
    this.#toolboxes = [...this.#toolboxes.filter(({ toolboxId }) => toolboxId !== told.toolboxId), told];
    this.#notify({ servers: new Set(), toolboxes: new Set([told.toolboxId]), connection: false });
  }

  refuse(serverId: string, error: StatusError) {
    this.#views.set(serverId, { ...LOADING, loading: false, error });
    this.#servers = this.#servers.filter((status) => status.serverId !== serverId);
    this.#notify({ servers: new Set([serverId]), toolboxes: new Set(), connection: false });
  }

  /** The connection is another; with it, whether all that is shown is stale. */
  connect(change: Partial<ConnectionState>, complete = this.complete) {
    this.connection = { ...this.connection, ...change };
    this.complete = complete;
    for (const [id, view] of this.#views) {
      if (view.stale !== this.connection.stale) {
        this.#views.set(id, { ...view, stale: this.connection.stale });
      }
    }
    this.#notify({ servers: new Set(this.#views.keys()), toolboxes: new Set(), connection: true });
  }

  resume() {}
  signOut() {}
  close() {}

  #notify(changes: Changes) {
    for (const { selection, listener } of [...this.subscriptions]) {
      const { servers = [], toolboxes = false } = selection;
      const meant =
        servers === "all" ? changes.servers.size > 0 : servers.some((id) => changes.servers.has(id));
      if (changes.connection || meant || (toolboxes && changes.toolboxes.size > 0)) listener(changes);
    }
  }
}

/** A running, healthy server, but for what is said. */
export function server(serverId: string, but: Partial<ServerStatus> = {}): ServerStatus {
  return {
    accountId: "account",
    changedAt: "2026-11-28T12:00:00Z",
    health: "healthy",
    asOf: "2026-11-28T12:00:00Z",
    name: `mcp-${serverId}`,
    serverId,
    state: "running",
    statusOnToolbox: "running",
    toolboxId: "toolbox",
    version: 1,
    ...but,
  };
}

export const LIVE = { phase: "live", transport: "websocket", stale: false } as const;
