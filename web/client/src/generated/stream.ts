// Generated from proto/schemas/v1 by `npm run types`. Do not edit.

/**
 * The word `all`.
 */
export type All = "all";
/**
 * What an agent can be told to do.
 */
export type CommandAction = "start" | "stop" | "restart" | "delete" | "refresh";
/**
 * How far the receiver has followed. Opaque; hand back the last one to resume.
 */
export type Cursor = string;
/**
 * Why a request was not granted.
 */
export type ErrorCode = "not_found" | "limit" | "unsupported" | "unauthorized";
/**
 * Why something is no longer seen.
 */
export type GoneReason = "revoked" | "moved" | "forgotten";
/**
 * Why a cursor is of no use.
 */
export type ResetReason = "malformed" | "epoch" | "future" | "too_old" | "rewound";
/**
 * Which servers.
 */
export type Selection = All | string[];
/**
 * Every message on `mcp.status.v1.{account}.{server}`.
 */
export type StatusEvent =
  | (ServerStatus & {
      kind: "status";
    })
  | (Tombstone & {
      kind: "deleted";
    });
/**
 * What notifier tells. Ignore types and fields that you do not know.
 */
export type StreamMessage =
  | {
      /**
       * When the token ends and the stream with it, unless another `auth` comes before.
       */
      expiresAt: string;
      /**
       * Seconds between the server's signs of life: pings, or comments of an event stream.
       */
      pingSeconds: number;
      /**
       * Always `mcp-status.v1`.
       */
      protocol: string;
      type: "hello";
    }
  | {
      /**
       * All that the client may see, now and later.
       */
      all?: boolean;
      /**
       * These servers.
       */
      servers?: string[];
      /**
       * Toolboxes too.
       */
      toolboxes?: boolean;
      type: "subscribed";
    }
  | {
      /**
       * That to all.
       */
      all?: boolean;
      /**
       * Those to these servers.
       */
      servers?: string[];
      /**
       * That to toolboxes.
       */
      toolboxes?: boolean;
      type: "unsubscribed";
    }
  | {
      type: "snapshot";
    }
  | {
      cursor: Cursor;
      event: StatusEvent;
      /**
       * The trace that the change belongs to.
       */
      traceparent?: string | null;
      type: "status";
    }
  | {
      cursor: Cursor;
      event: StatusEvent;
      /**
       * The trace that the change belongs to.
       */
      traceparent?: string | null;
      type: "deleted";
    }
  | {
      cursor: Cursor;
      event: ToolboxEvent;
      /**
       * The trace that the change belongs to.
       */
      traceparent?: string | null;
      type: "toolbox";
    }
  | {
      reason: GoneReason;
      /**
       * Which server, where it is one.
       */
      serverId?: string | null;
      /**
       * Which toolbox, where it is one.
       */
      toolboxId?: string | null;
      type: "gone";
    }
  | {
      cursor: Cursor;
      /**
       * After a resumed subscription to all: every server that the client may see. Forget the others.
       */
      servers?: string[] | null;
      type: "present";
    }
  | {
      reason: ResetReason;
      type: "reset";
    }
  | {
      type: "stale";
    }
  | {
      cursor: Cursor;
      type: "current";
    }
  | {
      code: ErrorCode;
      /**
       * What people read.
       */
      message: string;
      /**
       * Which servers, where it is about some.
       */
      servers?: string[];
      type: "error";
    }
  | {
      type: "pong";
    }
  | {
      /**
       * The close code of a WebSocket.
       */
      code: number;
      /**
       * Why.
       */
      reason: string;
      /**
       * Come again after this many milliseconds, where that makes sense: spread, so that not all come at once.
       */
      retryAfterMs?: number | null;
      type: "bye";
    };
/**
 * What a client asks over a WebSocket. Fields that are not known are refused.
 */
export type StreamRequest =
  | {
      /**
       * Or a ticket (`POST /v1/tickets` of status-api).
       */
      ticket?: string | null;
      /**
       * A bearer token.
       */
      token?: string | null;
      type: "auth";
    }
  | {
      /**
       * Resume from here; it must cover all that is named: not what was `not_found` or `gone` since. Absent: begin with a
       * snapshot.
       */
      cursor?: string | null;
      /**
       * To what.
       */
      servers?: Selection | null;
      /**
       * Toolboxes of one's own too.
       */
      toolboxes?: boolean;
      type: "subscribe";
    }
  | {
      /**
       * From what. `all` ends the subscription to all, not those to servers by id.
       */
      servers?: Selection | null;
      /**
       * From toolboxes too.
       */
      toolboxes?: boolean;
      type: "unsubscribe";
    }
  | {
      type: "ping";
    };

/**
 * A command that is being carried out.
 */
export interface CommandUnderWay {
  action: CommandAction;
  /**
   * Which one.
   */
  commandId: string;
  /**
   * By when it must have had its effect.
   */
  deadline: string;
  /**
   * When it was asked for.
   */
  requestedAt: string;
}
/**
 * Why, and since when.
 */
export interface LastError {
  /**
   * Since when this code has been the reason.
   */
  at: string;
  /**
   * What programs branch on.
   */
  code: string;
  /**
   * What people read. Plain text, never markup.
   */
  message: string;
}
/**
 * State and health before a change.
 */
export interface Previous {
  /**
   * The health.
   */
  health: string;
  /**
   * The state.
   */
  state: string;
}
/**
 * A server's status, whole: a subscriber needs no earlier message to understand it.
 */
export interface ServerStatus {
  /**
   * Whose it is.
   */
  accountId: string;
  /**
   * How old the knowledge is: when the report it rests on was observed. Absent: never observed.
   */
  asOf?: string | null;
  /**
   * `report`, `age`, `registry`, `command` or `operator`; absent for an event that was rebuilt from the database.
   */
  cause?: string | null;
  /**
   * When the change was decided.
   */
  changedAt: string;
  /**
   * The command that is being carried out, which is why the state is a transitional one.
   */
  command?: CommandUnderWay | null;
  /**
   * The incarnation.
   */
  containerId?: string | null;
  /**
   * `healthy`, `degraded`, `unhealthy` or `unknown`.
   */
  health: string;
  /**
   * Why the state is what it is, where people will ask.
   */
  lastError?: LastError | null;
  /**
   * When its container last started.
   */
  lastStarted?: string | null;
  /**
   * `false`: nobody has it watched, and it is not known what becomes of it.
   */
  monitored?: boolean;
  /**
   * Its container's name.
   */
  name: string;
  /**
   * State and health are an operator's word and not observed; until when.
   */
  overrideUntil?: string | null;
  /**
   * What it was before; absent for the first event, and for one that was rebuilt from the database.
   */
  previous?: Previous | null;
  /**
   * Which server.
   */
  serverId: string;
  /**
   * `running`, `stopped`, `starting`, `stopping`, `error` or `unknown`.
   */
  state: string;
  /**
   * The database's label (`status_on_toolbox`).
   */
  statusOnToolbox: string;
  /**
   * Where it runs.
   */
  toolboxId: string;
  /**
   * Seconds since it started, at `changedAt`; only while running. Derive the present one from `lastStarted`.
   */
  uptime?: number | null;
  /**
   * Rises by one with each change of this server. Drop what is not newer than what you have.
   */
  version: number;
}
/**
 * The last message of a server that is gone.
 */
export interface Tombstone {
  /**
   * Whose it was.
   */
  accountId: string;
  /**
   * When it was noticed.
   */
  changedAt: string;
  /**
   * Which server.
   */
  serverId: string;
  /**
   * Where it was.
   */
  toolboxId: string;
  /**
   * One more than its last.
   */
  version: number;
}
/**
 * Every message on `toolbox.status.v1.{account}.{toolbox}`.
 */
export interface ToolboxEvent {
  /**
   * Whose it is.
   */
  accountId: string;
  /**
   * The agent's version.
   */
  agentVersion?: string | null;
  /**
   * When the change was decided.
   */
  changedAt: string;
  /**
   * When the agent last gave a sign of life.
   */
  lastHeartbeat?: string | null;
  /**
   * Its name.
   */
  name: string;
  /**
   * What is wrong with its agent.
   */
  problem?: LastError | null;
  /**
   * `unseen`, `active` or `unresponsive`.
   */
  status: string;
  /**
   * Which toolbox.
   */
  toolboxId: string;
  /**
   * Rises by one with each change of this toolbox.
   */
  version: number;
}
