import type { HealthLabel, StateLabel, ToolboxLabel } from "./generated/api.js";
import type { ServerStatus as AnyServerStatus, ToolboxEvent as AnyToolboxEvent } from "./generated/stream.js";

/** What a server does: `running`, `stopped`, `starting`, `stopping`, `error` or `unknown`. */
export type State = StateLabel;
/** How far the state can be relied on: `healthy`, `degraded`, `unhealthy` or `unknown`. */
export type Health = HealthLabel;
/** A server's status, whole, as it was published. Never changed in place: another status is another object. */
export type ServerStatus = Readonly<Omit<AnyServerStatus, "state" | "health">> & {
  readonly state: State;
  readonly health: Health;
};
/** Whether a toolbox's agent answers, as it was published. Never changed in place. */
export type ToolboxStatus = Readonly<Omit<AnyToolboxEvent, "status">> & { readonly status: ToolboxLabel };

/** How messages come: each is tried where the one before it cannot be had. */
export type Transport = "websocket" | "sse" | "polling";

/** Why a token is wanted. */
export type TokenReason =
  /** For the first connection, or one after a pause. */
  | "connect"
  /** The one in use ends within a minute. */
  | "expiring"
  /** The one in use was not taken, or has ended. */
  | "refused";

/** Where to watch, and as whom. */
export interface ClientOptions {
  /** notifier's address. Default: the origin of the page. */
  readonly url?: string | URL;
  /** status-api's address, which answers where only polling is left. Default: `url`. */
  readonly apiUrl?: string | URL;
  /** Gives a bearer token, or `null` where nobody is signed in: the client then waits for `resume()`. */
  readonly token: (reason: TokenReason) => string | null | Promise<string | null>;
  /** Which transports, in the order in which they are tried. Default: all three. */
  readonly transports?: readonly Transport[];
  /** Milliseconds after which a page that nobody sees lets go of its connection. Default 30 000; `false`: never. */
  readonly pauseHiddenAfter?: number | false;
}

/** Why there is no status, or none any more. */
export interface StatusError {
  readonly code: /** There is no such server, or not for this caller. */
    | "not_found"
    /** It was deleted. */
    | "deleted"
    /** It is seen no longer: the connection that showed it has ended, or it is another account's. */
    | "revoked"
    /** Nobody is signed in, or the token is not taken. */
    | "signed_out"
    /** More than is granted to one connection. */
    | "limit";
  /** For people. */
  readonly message: string;
}

/** What is known of one server. The same object until something of it changes. */
export interface ServerView {
  /** Its newest status; kept while the connection is away. */
  readonly status: ServerStatus | undefined;
  /** Nothing was told of it yet. */
  readonly loading: boolean;
  /** Why there is no status. */
  readonly error: StatusError | undefined;
  /** What is shown may be old: the connection, or its source, is away. */
  readonly stale: boolean;
}

/** What the connection does. */
export type ConnectionPhase =
  /** Nobody watches. */
  | "idle"
  /** On its way, or the first state is being told. */
  | "connecting"
  /** All that is shown is current. */
  | "live"
  /** The connection is there, and its source is away. */
  | "stale"
  /** Lost; tried again at `retryAt`. */
  | "waiting"
  /** Let go because nobody sees the page. */
  | "paused"
  /** No token, or one that is not taken: `resume()` asks for another. */
  | "signed_out"
  /** Closed for good by `close()`. */
  | "closed";

/** The state of the connection. The same object until something of it changes. */
export interface ConnectionState {
  readonly phase: ConnectionPhase;
  /** How messages come at present. */
  readonly transport: Transport | undefined;
  /** Since when it is in this phase, in milliseconds since 1970. */
  readonly since: number;
  /**
   * Until when all that is shown was certainly current, in milliseconds since 1970. While `live` it is, and this is when it
   * became so. Undefined: never.
   */
  readonly currentUntil: number | undefined;
  /** What is shown may be old. False before anything was shown. */
  readonly stale: boolean;
  /** When it is tried again, in milliseconds since 1970; only while `waiting`. */
  readonly retryAt: number | undefined;
  /** Why it was lost, for people. */
  readonly reason: string | undefined;
}

/** What to watch: servers by id, or all that the caller may see; and the toolboxes that are his. */
export interface Selection {
  readonly servers?: "all" | readonly string[];
  readonly toolboxes?: boolean;
}

/** Ids of what changed since the listener was last called. Called at most once a task, never during `subscribe`. */
export interface Changes {
  readonly servers: ReadonlySet<string>;
  readonly toolboxes: ReadonlySet<string>;
  /** The connection's state changed, and with it perhaps whether everything is stale; or `complete` did. */
  readonly connection: boolean;
}

/** What `subscribe` gives, and `unsubscribe` takes. */
export interface Subscription {
  /** Changes what is watched, without a gap for what stays. */
  update(selection: Selection): void;
  /** The same as `client.unsubscribe(subscription)`. */
  unsubscribe(): void;
}

/**
 * One connection, shared by all that watch on this page.
 *
 * `createClient` twice with the same `url` gives two handles of one connection; it ends when the last handle is closed.
 */
export interface StatusClient {
  /** Watches. The listener is told of changes of what is selected, and of the connection. Throws after `close()`. */
  subscribe(selection: Selection, listener: (changes: Changes) => void): Subscription;
  /** Ends a subscription. What nobody watches is forgotten a moment later, so that a remount finds it. */
  unsubscribe(subscription: Subscription): void;
  /** What is known of a server. The same object until something of it changes. */
  get(serverId: string): ServerView;
  /** All servers that are known, in no particular order. The same array until one of them changes. */
  servers(): readonly ServerStatus[];
  /** All toolboxes that are known. The same array until one of them changes. */
  toolboxes(): readonly ToolboxStatus[];
  /** All that the caller may see has been told: what `servers()` gives is complete. */
  readonly complete: boolean;
  /** The state of the connection. */
  readonly connection: ConnectionState;
  /** Asks for a token and connects, at once: after signing in, or when a person presses "try again". */
  resume(): void;
  /** Forgets everything that was told, and signs out: nothing is shown to the next one. */
  signOut(): void;
  /** Lets go of the connection. */
  close(): void;
}
