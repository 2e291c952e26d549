import { type ConnectionState, knownSince, reasonOf, type ServerStatus } from "@mcp-status/client";
import { StatusBadge } from "@mcp-status/react";
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
          prominent={index < group.prominent}
          status={status}
        />
      ))}
    </ul>
  );
}

interface RowProps {
  readonly status: ServerStatus;
  readonly connection: ConnectionState;
  /** It has a line to itself, and room for the reason. */
  readonly prominent: boolean;
}

/** A server in a list. Renders only when something about this one server, or the connection, is another. */
const Row = memo(function Row({ status: told, connection, prominent }: RowProps) {
  const status = useExpected(told);
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
});
