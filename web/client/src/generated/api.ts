// Generated from proto/openapi.json by `npm run types`. Do not edit.

/**
 * What can be asked for.
 */
export type CommandKind =
  | "start"
  | "stop"
  | "restart"
  | "delete"
  | "refresh"
  | "monitor"
  | "unmonitor"
  | "override"
  | "clear_override"
  | "register"
  | "change"
  | "unregister";
/**
 * How far a command is.
 */
export type CommandOutcomeLabel = "under_way" | "succeeded" | "failed" | "expired" | "withdrawn";
/**
 * What an agent can be told to do.
 */
export type CommandAction = "start" | "stop" | "restart" | "delete" | "refresh";
/**
 * How far the state can be relied on.
 */
export type HealthLabel = "healthy" | "degraded" | "unhealthy" | "unknown";
/**
 * What people see of a server.
 */
export type StateLabel = "running" | "stopped" | "starting" | "stopping" | "error" | "unknown";
/**
 * Whether an agent can use a server.
 */
export type ConnectionLabel = "connected" | "disconnected";
/**
 * As what a caller comes.
 */
export type RoleLabel = "user" | "admin" | "service_role";
/**
 * What about a server may have changed; one change may be several of these.
 */
export type WebhookKind = "state" | "health" | "error" | "recovery" | "deleted";
/**
 * What is posted.
 */
export type WebhookTemplate = "standard" | "slack" | "json";
/**
 * Whether a toolbox's agent answers.
 */
export type ToolboxLabel = "unseen" | "active" | "unresponsive";
/**
 * What came of an attempt.
 */
export type WebhookOutcome = "delivered" | "failed" | "dead";
/**
 * A webhook and its secret, which is shown this once.
 */
export type WebhookWithSecret = Webhook & {
  /**
   * What deliveries are signed with, `whsec_` and base64; absent where the answer is a repeated one.
   */
  secret?: string | null;
};

/**
 * The answer to a command that was accepted.
 */
export interface Accepted {
  command: CommandRecord;
  status?: Server | null;
}
/**
 * What is kept of a command: who asked for what, when, and what came of it.
 */
export interface CommandRecord {
  /**
   * Whose they are; absent for a refresh of everything by somebody who sees all.
   */
  accountId?: string | null;
  /**
   * Which one.
   */
  commandId: string;
  /**
   * By when it must have had its effect, where an agent is to do it.
   */
  deadline?: string | null;
  /**
   * When that was known.
   */
  finishedAt?: string | null;
  kind: CommandKind;
  /**
   * Why it did not succeed, or what exactly was done.
   */
  message?: string | null;
  outcome: CommandOutcomeLabel;
  /**
   * When.
   */
  requestedAt: string;
  /**
   * By whom: the subject of the token, or `service_role`.
   */
  requestedBy: string;
  /**
   * Of which server; absent where it was not of one.
   */
  serverId?: string | null;
  /**
   * On which toolbox; absent for a refresh of everything.
   */
  toolboxId?: string | null;
}
/**
 * A server's status.
 */
export interface Server {
  /**
   * Whose it is.
   */
  accountId: string;
  /**
   * How old that is now, in seconds.
   */
  age?: number | null;
  /**
   * When what is known of it was observed; absent: never.
   */
  asOf?: string | null;
  /**
   * When state, health or reason last changed; absent: nothing was announced of it yet.
   */
  changedAt?: string | null;
  command?: CommandUnderWay | null;
  /**
   * The incarnation.
   */
  containerId?: string | null;
  health: HealthLabel;
  lastError?: LastError | null;
  /**
   * When its container last started.
   */
  lastStarted?: string | null;
  /**
   * Whether anybody has it watched.
   */
  monitored: boolean;
  /**
   * Its container's name.
   */
  name: string;
  override?: Override | null;
  /**
   * Which server.
   */
  serverId: string;
  /**
   * The database or the bus is away: this is the last that was known, and may have changed since.
   */
  stale: boolean;
  state: StateLabel;
  /**
   * The database's label (`status_on_toolbox`).
   */
  statusOnToolbox: string;
  /**
   * Where it runs.
   */
  toolboxId: string;
  /**
   * Seconds since it started; only while running.
   */
  uptime?: number | null;
  /**
   * Rises with each change.
   */
  version: number;
}
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
 * An operator's word that is shown in place of what is observed.
 */
export interface Override {
  /**
   * Until when it stands.
   */
  until: string;
}
/**
 * What a server was for a while.
 */
export interface Band {
  /**
   * The code of the reason there was (`lastError.code`).
   */
  code?: string | null;
  /**
   * From when.
   */
  from: string;
  health?: HealthLabel | null;
  state?: StateLabel | null;
  /**
   * Until when.
   */
  to: string;
}
/**
 * Commands, newest first.
 */
export interface CommandPage {
  /**
   * The commands of this page.
   */
  items: CommandRecord[];
  /**
   * Ask for older ones with this as `cursor`; absent after the oldest.
   */
  next?: string | null;
}
/**
 * An agent's connection to a server.
 */
export interface Connection {
  /**
   * Whose agent it is.
   */
  accountId?: string | null;
  /**
   * Whether it is in force.
   */
  active: boolean;
  /**
   * Which agent.
   */
  agentId: string;
  /**
   * Which one.
   */
  connectionId: string;
  /**
   * To which server.
   */
  serverId: string;
}
/**
 * What is to change of a connection.
 */
export interface ConnectionChange {
  /**
   * Whether it is in force.
   */
  active: boolean;
}
/**
 * Connections, in the order of their ids.
 */
export interface ConnectionPage {
  /**
   * The connections of this page.
   */
  items: Connection[];
  /**
   * Ask for the next page with this as `cursor`; absent after the last.
   */
  next?: string | null;
}
/**
 * The status of an agent's connection to a server.
 */
export interface ConnectionStatus {
  /**
   * Which agent.
   */
  agentId: string;
  /**
   * Which one.
   */
  connectionId: string;
  health: HealthLabel;
  /**
   * When what is known of the server was observed; absent: never.
   */
  lastChecked?: string | null;
  /**
   * Why it cannot.
   */
  reason?: string | null;
  /**
   * To which server.
   */
  serverId: string;
  serverStatus: StateLabel;
  /**
   * The database or the bus is away: this is the last that was known.
   */
  stale: boolean;
  status: ConnectionLabel;
  /**
   * Seconds since the server started; only while it is running.
   */
  uptime?: number | null;
}
/**
 * A delivery that will not be tried again by itself.
 */
export interface DeadLetter {
  /**
   * When.
   */
  at: string;
  /**
   * Attempts made.
   */
  attempts: number;
  /**
   * Which one.
   */
  deliveryId: string;
  /**
   * What it tells of.
   */
  eventType: string;
  /**
   * When it was to be posted first.
   */
  firstAt: string;
  /**
   * What would be posted.
   */
  payload: string;
  /**
   * Why it was given up.
   */
  reason: string;
  /**
   * Of which server, where it is of one.
   */
  serverId?: string | null;
}
/**
 * Dead letters, the oldest first.
 */
export interface DeadLetterPage {
  /**
   * The dead letters of this page.
   */
  items: DeadLetter[];
  /**
   * Ask for the next page with this as `cursor`; absent after the last.
   */
  next?: string | null;
}
/**
 * Everything the caller may see, in numbers.
 */
export interface Fleet {
  /**
   * Servers by health.
   */
  health: {
    [k: string]: number;
  };
  lag?: Lag | null;
  oldestKnowledge?: OldestKnowledge | null;
  /**
   * Servers in all.
   */
  servers: number;
  /**
   * The database or the bus is away: this is the last that was known.
   */
  stale: boolean;
  /**
   * Servers by state.
   */
  states: {
    [k: string]: number;
  };
  /**
   * Toolboxes by whether their agent answers; of the caller's own.
   */
  toolboxes: {
    [k: string]: number;
  };
  /**
   * Servers that nobody has watched.
   */
  unmonitored: number;
}
/**
 * How far the system is behind.
 */
export interface Lag {
  /**
   * Age of the oldest change that was not published yet, in seconds; 0: all are.
   */
  oldestUnpublished: number;
  /**
   * Reports that arrived and were not mapped yet.
   */
  pendingReports: number;
}
/**
 * The oldest knowledge there is.
 */
export interface OldestKnowledge {
  /**
   * How old that is now, in seconds.
   */
  age: number;
  /**
   * When it was observed.
   */
  asOf: string;
  /**
   * Of which server.
   */
  serverId: string;
}
/**
 * How many servers were in which state, over a stretch of time.
 */
export interface FleetTimeline {
  /**
   * Where it begins.
   */
  from: string;
  /**
   * The database is away: this is the last that was known.
   */
  stale: boolean;
  /**
   * By state, how many servers were in it at each point: those that the caller may see now, from the first that was
   * announced of each to its deletion. Servers of which nothing was ever announced are not counted.
   */
  states: {
    [k: string]: number[];
  };
  /**
   * Seconds between two points. The first point is a step after `from`, the last is `to`.
   */
  step: number;
  /**
   * Where it ends: now.
   */
  to: string;
}
/**
 * The changes of a server, newest first.
 */
export interface History {
  /**
   * The changes of this page.
   */
  items: HistoryEntry[];
  /**
   * Ask for older ones with this as `cursor`; absent after the oldest.
   */
  next?: string | null;
  /**
   * The database is away: only the newest change is known.
   */
  stale: boolean;
}
/**
 * One change of a server, and how long it lasted.
 */
export interface HistoryEntry {
  /**
   * When the report it rests on was observed.
   */
  asOf?: string | null;
  /**
   * When.
   */
  at: string;
  /**
   * What brought it about: `report`, `age`, `registry`, `command` or `operator`.
   */
  cause?: string | null;
  /**
   * How long until the next change, or until now, in seconds.
   */
  duration: number;
  health?: HealthLabel | null;
  lastError?: LastError | null;
  state?: StateLabel | null;
  /**
   * Its number.
   */
  version: number;
}
/**
 * Whom a token proves.
 */
export interface Me {
  /**
   * The account; absent for who has none.
   */
  accountId?: string | null;
  /**
   * Who it is: the token's subject, or the role where it has none.
   */
  actor: string;
  /**
   * When the token ends.
   */
  expiresAt: string;
  role: RoleLabel;
}
/**
 * A connection to register.
 */
export interface NewConnection {
  /**
   * Whose agent it is: the caller's, where it is not given. The server's owner lets him see the server by it.
   */
  accountId?: string | null;
  /**
   * Whether it is in force; yes, where it is not given.
   */
  active?: boolean | null;
  /**
   * Which agent.
   */
  agentId: string;
  /**
   * Which one; made up where it is not given.
   */
  connectionId?: string | null;
  /**
   * To which server.
   */
  serverId: string;
}
/**
 * A server to register.
 */
export interface NewServer {
  /**
   * Whether to watch it; yes, where it is not given.
   */
  monitored?: boolean | null;
  /**
   * Its container's name there, 1 to 255 bytes without control characters.
   */
  name: string;
  /**
   * Which one; made up where it is not given.
   */
  serverId?: string | null;
  /**
   * On which toolbox; it must be registered.
   */
  toolboxId: string;
}
/**
 * A toolbox to register.
 */
export interface NewToolbox {
  /**
   * Whose it is: the caller's, where it is not given. Only who sees all may name another.
   */
  accountId?: string | null;
  /**
   * Where its agent is reached: an http or https URL without user, query and fragment.
   */
  baseUrl?: string | null;
  /**
   * A name for people, 1 to 200 characters.
   */
  name: string;
  /**
   * Its address, where there is no base URL: an IP address or a host name.
   */
  publicIpAddress?: string | null;
  /**
   * Its agent's own token, 16 to 1024 printable characters without blanks. Never shown again.
   */
  token?: string | null;
  /**
   * Which one; made up where it is not given.
   */
  toolboxId?: string | null;
}
/**
 * A webhook to register.
 */
export interface NewWebhook {
  /**
   * Whose it is: the caller's, where it is not given. Only who sees all may name another.
   */
  accountId?: string | null;
  /**
   * Whether it is told anything; yes, where it is not given.
   */
  enabled?: boolean | null;
  filters?: WebhookFilters;
  options?: WebhookOptions;
  template?: WebhookTemplate;
  /**
   * Where it is posted to: an http or https URL without user and fragment.
   */
  url: string;
  /**
   * Which one; made up where it is not given.
   */
  webhookId?: string | null;
}
/**
 * What a webhook is told of.
 */
export interface WebhookFilters {
  /**
   * Only of these kinds of change; absent or empty: of any.
   *
   * @maxItems 5
   */
  kinds?:
    | []
    | [WebhookKind]
    | [WebhookKind, WebhookKind]
    | [WebhookKind, WebhookKind, WebhookKind]
    | [WebhookKind, WebhookKind, WebhookKind, WebhookKind]
    | [WebhookKind, WebhookKind, WebhookKind, WebhookKind, WebhookKind];
  /**
   * Only of these servers; absent or empty: of any. With `toolboxes`, a server of either list is told of.
   *
   * @maxItems 500
   */
  servers?: string[];
  /**
   * Only of servers on these toolboxes; absent or empty: on any.
   *
   * @maxItems 500
   */
  toolboxes?: string[];
}
/**
 * What keeps a webhook quiet.
 */
export interface WebhookOptions {
  /**
   * Tell of a change only when it still holds after so many seconds; 0: at once.
   */
  afterSeconds?: number;
  /**
   * Tell of one server at most once in so many seconds; what changes meanwhile is told at their end, if it is another
   * then. 0: of each change.
   */
  atMostEverySeconds?: number;
  /**
   * Do not tell of what a command brings about: changes while it is carried out, and the one that ends it, unless that is
   * an error.
   */
  notDuringOwnCommands?: boolean;
  /**
   * When so many servers change within `summaryWindow`, tell of them in one message; 0: never.
   */
  summaryFrom?: number;
  /**
   * Seconds that changes are gathered for, where `summaryFrom` is given: each waits so long. 0: 10 seconds.
   */
  summaryWindow?: number;
}
/**
 * What an operator says of a server.
 */
export interface OverrideRequest {
  /**
   * For how many seconds, 10 to 604,800 (a week).
   */
  expiresIn: number;
  health?: HealthLabel | null;
  /**
   * Why, for everybody who sees it: 1 to 300 characters.
   */
  message: string;
  state: StateLabel;
}
/**
 * An RFC 9457 problem document.
 */
export interface Problem {
  /**
   * The command that stands in the way.
   */
  commandId?: string | null;
  /**
   * This occurrence, for people.
   */
  detail: string;
  /**
   * The field or parameter that was not right.
   */
  field?: string | null;
  /**
   * The request's id, to find it in the log by.
   */
  requestId?: string | null;
  /**
   * The HTTP status.
   */
  status: number;
  /**
   * The kind, for people.
   */
  title: string;
  /**
   * What kind of problem, as a URI; `about:blank` where the status says it all.
   */
  type: string;
}
/**
 * Asks for the token that was left for a code.
 */
export interface RedeemSignIn {
  /**
   * The code.
   */
  code: string;
}
/**
 * What is to change of a server; what is absent stays.
 */
export interface ServerChange {
  /**
   * Its container's name, 1 to 255 bytes without control characters.
   */
  name?: string | null;
}
/**
 * Servers, in the order of their ids.
 */
export interface ServerPage {
  /**
   * The servers of this page.
   */
  items: Server[];
  /**
   * Ask for the next page with this as `cursor`; absent after the last.
   */
  next?: string | null;
  /**
   * The database or the bus is away: this is the last that was known.
   */
  stale: boolean;
}
/**
 * What a server was, over a stretch of time.
 */
export interface ServerTimeline {
  /**
   * One after the other without a gap, from `from` to `to`, at most 1,000. Were there more, the time is cut into 1,000
   * equal parts that each show the gravest that was in them: error, then unhealthy, stopped for a reason, unknown,
   * degraded, in transition, stopped, running; so that nothing short is lost for something harmless.
   */
  bands: Band[];
  /**
   * Where it begins. Later than was asked for where there are more than 10,000 changes: only the newest are read, and
   * nothing is told of what was not.
   */
  from: string;
  /**
   * Whole seconds in each state, by state; unobserved ones are in none. Exact, whatever the bands show.
   */
  seconds: {
    [k: string]: number;
  };
  /**
   * Which server.
   */
  serverId: string;
  /**
   * The database is away: of what was, only the newest change is known.
   */
  stale: boolean;
  /**
   * Where it ends: now.
   */
  to: string;
  /**
   * The part of the time that it ran, of the time that it should have: seconds running ÷ (seconds running + seconds in
   * error + seconds stopped for a reason, that is with a `code`). Seconds stopped without one (somebody wanted that),
   * starting, stopping, unknown or unobserved count neither way. Absent where nothing counts.
   */
  uptime?: number | null;
}
/**
 * A code for which the caller's own token is given, once.
 */
export interface SignIn {
  /**
   * The code. As good as the token itself while it works: it belongs into a link's fragment and nowhere else.
   */
  code: string;
  /**
   * Until when it works.
   */
  expiresAt: string;
}
/**
 * The token that was left for a code.
 */
export interface SignedIn {
  /**
   * When it ends.
   */
  expiresAt: string;
  /**
   * A bearer token.
   */
  token: string;
}
/**
 * A ticket: opens one stream of notifier as whoever asked for it.
 */
export interface Ticket {
  /**
   * Seconds until it works no more.
   */
  expiresIn: number;
  /**
   * The ticket, for `GET /v1/events?ticket=` or the `auth` message of a WebSocket. Works once.
   */
  ticket: string;
}
/**
 * A toolbox, as far as it may be shown: its token never is.
 */
export interface Toolbox {
  /**
   * Whose it is.
   */
  accountId: string;
  /**
   * How old that is now, in seconds.
   */
  age?: number | null;
  /**
   * The agent's version.
   */
  agentVersion?: string | null;
  /**
   * Where its agent is reached, where that was given.
   */
  baseUrl?: string | null;
  /**
   * Whether it has a token of its own.
   */
  hasToken: boolean;
  /**
   * When the agent last gave a sign of life.
   */
  lastHeartbeat?: string | null;
  /**
   * The name people gave it.
   */
  name: string;
  problem?: LastError | null;
  /**
   * Its address, which the agent is reached at when there is no base URL.
   */
  publicIpAddress?: string | null;
  /**
   * Its servers, in the order of their ids; absent in a list of toolboxes.
   */
  servers?: Server[] | null;
  /**
   * The database or the bus is away: this is the last that was known.
   */
  stale: boolean;
  status: ToolboxLabel;
  /**
   * Which one.
   */
  toolboxId: string;
}
/**
 * What is to change of a toolbox; what is absent stays.
 */
export interface ToolboxChange {
  /**
   * Where its agent is reached; empty: no longer here.
   */
  baseUrl?: string | null;
  /**
   * A name for people, 1 to 200 characters.
   */
  name?: string | null;
  /**
   * Its address; empty: no longer here.
   */
  publicIpAddress?: string | null;
  /**
   * Its agent's own token, 16 to 1024 printable characters without blanks. Never shown again.
   */
  token?: string | null;
}
/**
 * Toolboxes, in the order of their ids.
 */
export interface ToolboxPage {
  /**
   * The toolboxes of this page.
   */
  items: Toolbox[];
  /**
   * Ask for the next page with this as `cursor`; absent after the last.
   */
  next?: string | null;
  /**
   * The database or the bus is away: this is the last that was known.
   */
  stale: boolean;
}
/**
 * A webhook, as far as it may be shown: its secret is only when it is made.
 */
export interface Webhook {
  /**
   * Whose it is.
   */
  accountId: string;
  /**
   * When it was made: it is told of what changes from then on.
   */
  createdAt: string;
  /**
   * Whether it is told anything.
   */
  enabled: boolean;
  filters: WebhookFilters;
  options: WebhookOptions;
  /**
   * Until when the secret before the present one signs as well; absent: it does not.
   */
  previousSecretUntil?: string | null;
  template: WebhookTemplate;
  /**
   * Where it is posted to.
   */
  url: string;
  /**
   * Which one.
   */
  webhookId: string;
}
/**
 * One attempt, as the delivery log keeps it.
 */
export interface WebhookAttempt {
  /**
   * When.
   */
  at: string;
  /**
   * The how-many-eth; 0: none was made.
   */
  attempt: number;
  /**
   * Of which delivery.
   */
  deliveryId: string;
  /**
   * Milliseconds it took.
   */
  durationMs: number;
  /**
   * Why it failed.
   */
  error?: string | null;
  /**
   * What it told of.
   */
  eventType: string;
  /**
   * When the next attempt is.
   */
  next?: string | null;
  outcome: WebhookOutcome;
  /**
   * The beginning of what the endpoint answered, where it failed. Plain text, never markup.
   */
  response?: string | null;
  /**
   * Of which server, where it was of one.
   */
  serverId?: string | null;
  /**
   * What the endpoint answered.
   */
  status?: number | null;
  /**
   * To which endpoint.
   */
  webhookId: string;
}
/**
 * What is to change of a webhook; what is absent stays.
 */
export interface WebhookChange {
  /**
   * Whether it is told anything.
   */
  enabled?: boolean | null;
  filters?: WebhookFilters | null;
  options?: WebhookOptions | null;
  template?: WebhookTemplate | null;
  /**
   * Where it is posted to.
   */
  url?: string | null;
}
/**
 * Attempts, the newest first.
 */
export interface WebhookLog {
  /**
   * The attempts: at most the last hundred, of at most seven days.
   */
  items: WebhookAttempt[];
}
/**
 * Webhooks, in the order of their ids.
 */
export interface WebhookPage {
  /**
   * The webhooks of this page.
   */
  items: Webhook[];
  /**
   * Ask for the next page with this as `cursor`; absent after the last.
   */
  next?: string | null;
}
/**
 * A secret to be replaced.
 */
export interface WebhookRotation {
  /**
   * For how many seconds the present secret signs as well; a day, where it is not given.
   */
  overlapSeconds?: number | null;
}
/**
 * What was sent on its way.
 */
export interface WebhookSent {
  /**
   * The deliveries: what the receiver finds in `webhook-id`, and people in the delivery log.
   */
  deliveryIds: string[];
}
