import {
  type ConnectionState,
  knownSince,
  reasonOf,
  type ServerStatus,
  type StatusClient,
  type StatusError,
  uptimeOf,
} from "@mcp-status/client";
import { type ComponentPropsWithoutRef, memo, useMemo } from "react";
import { everySecond } from "./clock.js";
import { useStatusClient } from "./context.js";
import { formatAge, formatUptime } from "./format.js";
import { LOADING, useClock, useWatch } from "./hooks.js";
import { looksOf, StatusMark } from "./mark.js";
import { derived } from "./snapshot.js";

/** Attributes of the badge's own element: `id`, `className`, `aria-describedby`… */
type SpanProps = Omit<ComponentPropsWithoutRef<"span">, "children" | "title">;

/** What `StatusBadge` shows. */
export interface StatusBadgeProps extends SpanProps {
  readonly status: ServerStatus | undefined;
  /** Nothing was told yet. */
  readonly loading?: boolean | undefined;
  /** Why there is no status. */
  readonly error?: StatusError | undefined;
  /** What is shown may be old. */
  readonly stale?: boolean | undefined;
  /** Until when what is shown was certainly true, in milliseconds since 1970. Undefined: it is current. */
  readonly knownSince?: number | undefined;
}

/** A status as a badge: shape, state and uptime, the age of old knowledge, and the reason. Connects to nothing. */
export const StatusBadge = memo(function StatusBadge({
  status,
  loading = false,
  error,
  stale = false,
  knownSince,
  className,
  ...attributes
}: StatusBadgeProps) {
  const [tone, mark] = looksOf(status);
  // What is not known to run any more does not go on counting: its uptime is that of the last moment that is known.
  const uptime = useClock(everySecond, (now) => uptimeText(status, Math.min(knownSince ?? now, now)), "");
  const age = useClock(everySecond, (now) => ageText(knownSince, now), "");
  const why = whyText(status, error, stale);
  return (
    <span
      {...attributes}
      className={className === undefined ? "mcp-status-badge" : `mcp-status-badge ${className}`}
      data-tone={tone}
      data-state={status?.state ?? (loading ? "loading" : error?.code)}
      data-health={status?.health}
      data-stale={stale || undefined}
      title={why}
    >
      <StatusMark mark={mark} />
      <span className="mcp-status-state">{word(status, loading, error)}</span>
      {uptime !== "" && <span className="mcp-status-uptime">{` (${uptime})`}</span>}
      {age !== "" && <span className="mcp-status-age">{` as of ${age}`}</span>}
      {why !== undefined && <span className="mcp-status-hidden">{`. ${why}`}</span>}
    </span>
  );
});

/** What `MCPServerStatusBadge` takes. */
export interface MCPServerStatusBadgeProps extends SpanProps {
  readonly serverId: string;
  /** Default: that of the nearest `MCPStatusProvider`. */
  readonly client?: StatusClient | undefined;
}

/** The live status of one server as a badge. A thousand of them are one subscription; each renders when its own changes. */
export const MCPServerStatusBadge = memo(function MCPServerStatusBadge({
  serverId,
  client: given,
  ...attributes
}: MCPServerStatusBadgeProps) {
  const client = useStatusClient(given);
  const [selection, snapshot] = useMemo(
    () =>
      [
        { servers: [serverId] },
        derived(
          () => {
            const view = client.get(serverId);
            return [view, oldSince(view.status, client.connection, everySecond.now())] as const;
          },
          ([view, since]) => ({ ...view, knownSince: since }),
        ),
      ] as const,
    [client, serverId],
  );
  const known = useWatch(client, selection, snapshot, LOADING, everySecond);
  return <StatusBadge {...attributes} {...known} />;
});

/** Younger knowledge is called current: a reconnection is over by then, and badges do not count seconds together. */
const CURRENT_MS = 60_000;

function oldSince(status: ServerStatus | undefined, connection: ConnectionState, now: number) {
  // What is told at the very first was told just now: its age is known a moment later, when all of it is there.
  if (connection.phase !== "live" && !connection.stale) return undefined;
  const since = status && knownSince(status, connection, now);
  return since !== undefined && now - since >= CURRENT_MS ? since : undefined;
}

function uptimeText(status: ServerStatus | undefined, at: number): string {
  const seconds = status && uptimeOf(status, at);
  return seconds === undefined ? "" : formatUptime(seconds);
}

function ageText(since: number | undefined, now: number): string {
  return since === undefined ? "" : formatAge((now - since) / 1_000);
}

/** What stands where a state would, when there is none. */
const WITHOUT_STATUS: Record<StatusError["code"], string> = {
  not_found: "NOT FOUND",
  deleted: "DELETED",
  revoked: "NO ACCESS",
  signed_out: "SIGNED OUT",
  limit: "NOT WATCHED",
};

function word(status: ServerStatus | undefined, loading: boolean, error: StatusError | undefined): string {
  if (status !== undefined) return status.state.toUpperCase();
  if (error !== undefined) return WITHOUT_STATUS[error.code];
  return loading ? "LOADING" : "UNKNOWN";
}

/** What colour and shape cannot say, in words: on hover, and for those who do not see them. */
function whyText(status: ServerStatus | undefined, error: StatusError | undefined, stale: boolean) {
  const parts = [
    status?.state === "running" && status.health !== "healthy" ? HEALTHS[status.health] : undefined,
    status && reasonOf(status),
    error?.message,
    stale ? "Live updates are away, and it may have changed since." : undefined,
  ];
  const said = parts.filter((part) => part !== undefined);
  return said.length === 0 ? undefined : said.join(" ");
}

const HEALTHS = { degraded: "Degraded.", unhealthy: "Unhealthy.", unknown: "Health unknown." } as const;
