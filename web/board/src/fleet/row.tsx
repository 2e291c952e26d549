import { type ConnectionState, knownSince, reasonOf, type ServerStatus } from "@mcp-status/client";
import { StatusBadge, useMCPServerStatus } from "@mcp-status/react";
import { memo } from "react";
import { Link } from "wouter";
import { useExpected } from "../commands/hooks";
import { Time } from "../ui/time";
import type { Group } from "./groups";
import { troubleOf } from "./trouble";

/** The servers of a toolbox: those in trouble line by line, the others side by side. */
export function Rows({ group, connection }: { readonly group: Group; readonly connection: ConnectionState }) {
  return (
    <ul className="rows">
      {group.servers.map((status, index) => (
        <Row
          connection={connection}
          key={status.serverId}
          overview={status}
          prominent={index < group.prominent}
        />
      ))}
    </ul>
  );
}

interface RowProps {
  /** What the overview has; the row itself is never behind. */
  readonly overview: ServerStatus;
  readonly connection: ConnectionState;
  /** It has a line to itself, and room for the reason. */
  readonly prominent: boolean;
}

/** A server in a list. Renders only when something about this one server, or the connection, is another. */
const Row = memo(function Row({ overview, connection, prominent }: RowProps) {
  const { status: told } = useMCPServerStatus(overview.serverId);
  const status = useExpected(told ?? overview);
  const reason = reasonOf(status);
  const now = Date.now();
  const known = knownSince(status, connection, now);
  return (
    <li className={prominent ? "row prominent" : "row"} data-trouble={troubleOf(status)}>
      <Link className="row-link" data-row="" href={`/servers/${status.serverId}`}>
        <span className="row-name">{status.name}</span>
        <span className="row-badge">
          <StatusBadge
            knownSince={known !== undefined && known < now ? known : undefined}
            stale={connection.stale}
            status={status}
          />
        </span>
        {prominent && (
          <>
            {/* The badge has it for readers. */}
            <span aria-hidden="true" className="row-reason">
              {reason}
            </span>
            <span className="row-since">
              <span className="hidden">since </span>
              <Time at={status.changedAt} />
            </span>
          </>
        )}
      </Link>
    </li>
  );
}, sameRow);

/** What the overview has of the server itself is not looked at: the row has it from the source. */
function sameRow(before: RowProps, after: RowProps): boolean {
  return (
    before.overview.serverId === after.overview.serverId &&
    before.connection === after.connection &&
    before.prominent === after.prominent
  );
}
