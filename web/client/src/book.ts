import type { StatusEvent, ToolboxEvent } from "./generated/stream.js";
import type { ServerStatus, StatusError, ToolboxStatus } from "./types.js";

/** What a message is about. */
export interface Scope {
  readonly all: boolean;
  readonly toolboxes: boolean;
  readonly servers: ReadonlySet<string>;
}

interface Entry {
  status: ServerStatus | undefined;
  error: StatusError | undefined;
  /** What is not newer is dropped: another replica may be behind. */
  version: number;
  /** A snapshot is to tell it again, or that it is not there. */
  isInDoubt: boolean;
}

/** A snapshot that tells what was known already changes nothing. */
const isAgain = (event: StatusEvent, known: ServerStatus) =>
  event.version === known.version && event.changedAt === known.changedAt;

const isSame = (a: ToolboxEvent, b: ToolboxStatus) =>
  a.name === b.name &&
  a.status === b.status &&
  a.agentVersion === b.agentVersion &&
  a.lastHeartbeat === b.lastHeartbeat &&
  a.problem?.code === b.problem?.code &&
  a.problem?.message === b.problem?.message;

interface Machine {
  status: ToolboxStatus;
  isInDoubt: boolean;
}

/** Forgets by omission: what a snapshot did not tell again is not there. */
const NOT_THERE: StatusError = { code: "not_found", message: "There is no such server." };
const DELETED: StatusError = { code: "deleted", message: "The server was deleted." };
const REVOKED: StatusError = { code: "revoked", message: "The server can no longer be seen." };

/** What was told, by id: the newest of each server and toolbox. Knows nothing of connections. */
export class Book {
  readonly #servers = new Map<string, Entry>();
  readonly #toolboxes = new Map<string, Machine>();
  #serverList: readonly ServerStatus[] | undefined;
  #toolboxList: readonly ToolboxStatus[] | undefined;
  /** Ids of what changed since they were last taken out. */
  changedServers = new Set<string>();
  changedToolboxes = new Set<string>();

  get(id: string): Readonly<Pick<Entry, "status" | "error">> | undefined {
    return this.#servers.get(id);
  }

  get isEmpty(): boolean {
    return this.#servers.size === 0 && this.#toolboxes.size === 0;
  }

  servers(): readonly ServerStatus[] {
    this.#serverList ??= [...this.#servers.values()].flatMap(({ status }) => status ?? []);
    return this.#serverList;
  }

  toolboxes(): readonly ToolboxStatus[] {
    this.#toolboxList ??= [...this.#toolboxes.values()].map(({ status }) => status);
    return this.#toolboxList;
  }

  /** Takes a server's event, unless it is not newer. */
  server(event: StatusEvent): void {
    const entry = this.#servers.get(event.serverId);
    if (entry && !entry.isInDoubt && event.version <= entry.version) return;
    if (entry?.status && event.kind === "status" && isAgain(event, entry.status)) {
      entry.isInDoubt = false;
      return;
    }
    if (event.kind === "deleted") this.#put(event.serverId, undefined, DELETED, event.version);
    else this.#put(event.serverId, event as ServerStatus, undefined, event.version);
  }

  /** A server is not to be had, or no longer. Whatever is told of it later is news, so no version is kept. */
  lost(id: string, code: "not_found" | "revoked" | "limit"): void {
    const error = code === "revoked" ? REVOKED : code === "limit" ? LIMIT : NOT_THERE;
    this.#put(id, undefined, error, -1);
  }

  toolbox(event: ToolboxEvent): void {
    const known = this.#toolboxes.get(event.toolboxId);
    // Polls tell no version.
    if (event.version === 0 && known) {
      known.isInDoubt = false;
      const polled = { ...event, version: known.status.version };
      if (!isSame(polled, known.status)) this.#putToolbox(polled);
      return;
    }
    if (known && !known.isInDoubt && event.version <= known.status.version) return;
    if (event.status === "unseen") {
      this.lostToolbox(event.toolboxId);
    } else {
      this.#putToolbox(event);
    }
  }

  lostToolbox(id: string): void {
    if (this.#toolboxes.delete(id)) this.#toolboxChanged(id);
  }

  /** A snapshot of it follows: what is shown stays until then, and its versions count for nothing. */
  doubt(scope: Scope): void {
    const entries = scope.all
      ? this.#servers.values()
      : [...scope.servers].map((id) => this.#servers.get(id));
    for (const entry of entries) if (entry) entry.isInDoubt = true;
    if (scope.toolboxes) for (const machine of this.#toolboxes.values()) machine.isInDoubt = true;
  }

  /** The snapshot has been told: what it left out is not there. */
  settle(scope: Scope): void {
    const ids = scope.all ? [...this.#servers.keys()] : scope.servers;
    for (const id of ids) {
      const entry = this.#servers.get(id);
      if (entry?.isInDoubt) this.#omitted(id, NOT_THERE);
    }
    if (!scope.toolboxes) return;
    for (const [id, { isInDoubt }] of [...this.#toolboxes]) if (isInDoubt) this.lostToolbox(id);
  }

  /** These are all that may be seen. */
  keepOnly(servers: readonly string[]): void {
    const seen = new Set(servers);
    for (const [id, { status }] of [...this.#servers])
      if (status && !seen.has(id)) this.#omitted(id, REVOKED);
  }

  /** Forgets what nobody watches. */
  retain(wanted: Scope): void {
    for (const [id, { status }] of [...this.#servers]) {
      const keep = wanted.servers.has(id) || (wanted.all && status);
      if (!keep) this.forget(id);
    }
    if (!wanted.toolboxes) for (const id of [...this.#toolboxes.keys()]) this.lostToolbox(id);
  }

  clear(): void {
    for (const id of [...this.#servers.keys()]) this.forget(id);
    for (const id of [...this.#toolboxes.keys()]) this.lostToolbox(id);
  }

  #put(id: string, status: ServerStatus | undefined, error: StatusError | undefined, version: number): void {
    const former = this.#servers.get(id);
    this.#servers.set(id, { status, error, version, isInDoubt: false });
    if (status || former?.error !== error) this.#serverChanged(id);
  }

  #putToolbox(event: ToolboxEvent): void {
    this.#toolboxes.set(event.toolboxId, { status: event as ToolboxStatus, isInDoubt: false });
    this.#toolboxChanged(event.toolboxId);
  }

  #omitted(id: string, error: StatusError): void {
    const entry = this.#servers.get(id);
    // That it was deleted says more.
    this.#put(id, undefined, entry?.error ?? error, -1);
  }

  forget(id: string): void {
    if (this.#servers.delete(id)) this.#serverChanged(id);
  }

  #serverChanged(id: string): void {
    this.changedServers.add(id);
    this.#serverList = undefined;
  }

  #toolboxChanged(id: string): void {
    this.changedToolboxes.add(id);
    this.#toolboxList = undefined;
  }
}

const LIMIT: StatusError = {
  code: "limit",
  message: "More servers are watched than one connection is granted.",
};
