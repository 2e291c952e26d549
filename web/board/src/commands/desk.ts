import type { ServerStatus } from "@mcp-status/client";
import { type Api, ApiError, randomKey } from "../api/http";
import type { Accepted, CommandRecord } from "../api/types";
import { actionWords } from "../server/words";

export type Action = "start" | "stop" | "restart" | "refresh";

/** A command on its way, as the person who gave it sees it before anybody else does. */
export interface Pending {
  readonly action: Action;
  /** What was known when it was given: anything newer is the truth. */
  readonly version: number;
}

/** What came of something a person did. */
export interface Notice {
  readonly id: number;
  readonly tone: "ok" | "bad";
  readonly text: string;
  /** Why, where it did not come off. */
  readonly detail?: string;
}

interface Desk {
  readonly pending: ReadonlyMap<string, Pending>;
  readonly notices: readonly Notice[];
}

/** What of the bus and of services goes by is tried again, under the same key, so that it is done once. */
const attempts = 3;
const pauseMs = 1500;
/** A page keeps the last few notices; older ones were either read or are of no interest any more. */
const mostNotices = 4;

/** Gives commands and keeps what came of them, wherever on the board the person is by then. */
export class CommandDesk {
  #desk: Desk = { pending: new Map(), notices: [] };
  #nextId = 1;
  /** Rises when everything is forgotten: what was under way for one person is not told to the next. */
  #epoch = 0;
  readonly #listeners = new Set<() => void>();

  constructor(private readonly api: Api) {}

  readonly snapshot = (): Desk => this.#desk;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Gives a command and waits until it is over. A second one on the same server is not given meanwhile. */
  async run(server: Pick<ServerStatus, "serverId" | "name" | "version">, action: Action): Promise<void> {
    const { serverId, name, version } = server;
    if (this.#desk.pending.has(serverId)) return;
    const epoch = this.#epoch;
    this.#pend(serverId, { action, version });
    const words = actionWords(action);
    try {
      const command = await this.#carriedOut(`/v1/servers/${serverId}/${action}?wait=30s`);
      if (epoch !== this.#epoch) return;
      if (command.outcome === "succeeded") this.tell("ok", `${name} was ${words.done}.`);
      else this.tell("bad", `${name} was not ${words.done}.`, command.message ?? outcomeWords(command));
    } catch (error) {
      if (epoch !== this.#epoch) return;
      this.tell("bad", `${name} was not ${words.done}.`, refusal(error));
    } finally {
      if (epoch === this.#epoch) this.#pend(serverId, undefined);
    }
  }

  /** Has everything of a toolbox looked at now. */
  async refreshToolbox(toolboxId: string, name: string): Promise<void> {
    if (this.#desk.pending.has(toolboxId)) return;
    const epoch = this.#epoch;
    this.#pend(toolboxId, { action: "refresh", version: 0 });
    try {
      const command = await this.#carriedOut(`/v1/toolboxes/${toolboxId}/refresh?wait=30s`);
      if (epoch !== this.#epoch) return;
      if (command.outcome === "succeeded") this.tell("ok", `${name} was refreshed.`);
      else this.tell("bad", `${name} was not refreshed.`, command.message ?? outcomeWords(command));
    } catch (error) {
      if (epoch === this.#epoch) this.tell("bad", `${name} was not refreshed.`, refusal(error));
    } finally {
      if (epoch === this.#epoch) this.#pend(toolboxId, undefined);
    }
  }

  tell(tone: Notice["tone"], text: string, detail?: string): void {
    const notice: Notice = { id: this.#nextId++, tone, text, ...(detail && { detail }) };
    this.#set({ ...this.#desk, notices: [...this.#desk.notices, notice].slice(-mostNotices) });
  }

  readonly dismiss = (id: number): void => {
    this.#set({ ...this.#desk, notices: this.#desk.notices.filter((notice) => notice.id !== id) });
  };

  forget(): void {
    this.#epoch += 1;
    this.#set({ pending: new Map(), notices: [] });
  }

  /** Sends it, and asks on for as long as it is under way. */
  async #carriedOut(path: string): Promise<CommandRecord> {
    const idempotencyKey = randomKey();
    let { command } = await persistent(() => this.api.post<Accepted>(path, { idempotencyKey }));
    while (command.outcome === "under_way") {
      const { commandId } = command;
      command = await persistent(() => this.api.get<CommandRecord>(`/v1/commands/${commandId}?wait=30s`));
    }
    return command;
  }

  #pend(id: string, pending: Pending | undefined) {
    const all = new Map(this.#desk.pending);
    if (pending) all.set(id, pending);
    else all.delete(id);
    this.#set({ ...this.#desk, pending: all });
  }

  #set(desk: Desk) {
    this.#desk = desk;
    for (const listener of this.#listeners) listener();
  }
}

async function persistent<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (attempt >= attempts || !(error instanceof ApiError && error.passing)) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs * attempt));
    }
  }
}

function outcomeWords({ outcome }: CommandRecord): string {
  if (outcome === "expired") return "It was not done in time.";
  return outcome === "withdrawn" ? "It was taken back before it began." : "It did not come off.";
}

/** Why a command was not taken, for people. */
export function refusal(error: unknown): string {
  if (!(error instanceof ApiError)) return "The service cannot be reached.";
  switch (error.status) {
    case 401:
      return "You are not signed in any more.";
    case 403:
      return "It is shared with you; only its owner may do this.";
    case 404:
      return "It does not exist any more.";
    case 409:
      return "Another command is still being carried out on it.";
    default:
      return error.message;
  }
}

/**
 * What to show while a command is on its way: where it leads, at once. As soon as anything newer is known, that.
 */
export function expected(status: ServerStatus, pending: Pending | undefined): ServerStatus {
  if (!pending || pending.action === "refresh" || status.version > pending.version) return status;
  const state = pending.action === "start" ? "starting" : "stopping";
  return { ...status, state, health: "unknown", lastError: null, uptime: null };
}
