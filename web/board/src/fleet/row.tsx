import { type ConnectionState, knownSince, reasonOf, type ServerStatus } from "@mcp-status/client";
import { StatusBadge } from "@mcp-status/react";
import { memo } from "react";
import { Link } from "wouter";
import { useExpected } from "../commands/hooks";

interface RowProps {
  readonly status: ServerStatus;
  readonly connection: ConnectionState;
}

/** A server in a list. Renders only when something about this one server, or the connection, is another. */
export const Row = memo(function Row({ status: told, connection }: RowProps) {
  const status = useExpected(told);
  const reason = reasonOf(status);
  const now = Date.now();
  const known = knownSince(status, connection, now);
  return (
    <li className="row" data-quiet={status.state === "running" && status.health === "healthy" ? true : undefined}>
      <Link className="row-link" data-row="" href={`/servers/${status.serverId}`}>
        <span className="row-name">{status.name}</span>
        <span className="row-badge">
          <StatusBadge
            knownSince={known !== undefined && known < now ? known : undefined}
            stale={connection.stale}
            status={status}
          />
        </span>
        <span className="row-reason" aria-hidden="true">
          {reason}
        </span>
        {status.overrideUntil && <span className="tag">set by hand</span>}
      </Link>
    </li>
  );
});
