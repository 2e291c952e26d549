import type { Changes, ConnectionState, ServerStatus, StatusClient, ToolboxStatus } from "@mcp-status/client";

/** All that the person may see, as of a moment ago. */
export interface Overview {
  readonly servers: readonly ServerStatus[];
  readonly toolboxes: readonly ToolboxStatus[];
  readonly connection: ConnectionState;
  /** All of it has been told. */
  readonly complete: boolean;
}

/** Milliseconds between two overviews: faster than a person counts, slower than a busy fleet changes. */
const pace = 300;

/**
 * The whole fleet for what adds it up and sorts it, at a pace that does not rise with the number of changes. What shows
 * one server watches that one, and is not paced.
 */
export class PacedOverview {
  #overview: Overview;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #taken = 0;
  #end: (() => void) | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(private readonly client: StatusClient) {
    this.#overview = this.#look();
  }

  readonly snapshot = (): Overview => this.#overview;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (!this.#end) {
      const subscription = this.client.subscribe({ servers: "all", toolboxes: true }, this.#changed);
      this.#end = () => subscription.unsubscribe();
      this.#overview = this.#look();
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#end?.();
      this.#end = undefined;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    };
  };

  readonly #changed = ({ connection }: Changes) => {
    // What the connection does is told at once: with it comes and goes that everything is there.
    if (connection) return this.#tell();
    this.#timer ??= setTimeout(this.#tell, Math.max(0, this.#taken + pace - performance.now()));
  };

  readonly #tell = () => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#taken = performance.now();
    this.#overview = this.#look();
    for (const listener of this.#listeners) listener();
  };

  #look(): Overview {
    const { client } = this;
    return {
      servers: client.servers(),
      toolboxes: client.toolboxes(),
      connection: client.connection,
      complete: client.complete,
    };
  }
}
