import type { ConnectionState } from "@mcp-status/client";
import { memo, useState } from "react";
import { Link } from "wouter";
import { ToolboxState } from "../toolbox/state";
import { type Group, groupName } from "./groups";
import { Rows } from "./row";

/** Rows that are put on the page at first, and with each "more". What is out of sight costs no layout and no painting. */
const portion = 1200;

interface ListProps {
  readonly groups: readonly Group[];
  readonly connection: ConnectionState;
}

export function ServerList({ groups, connection }: ListProps) {
  const [limit, setLimit] = useState(portion);
  let room = limit;
  const shown: Group[] = [];
  for (const group of groups) {
    if (room <= 0) break;
    shown.push(group.servers.length > room ? { ...group, servers: group.servers.slice(0, room) } : group);
    room -= group.servers.length;
  }
  const hidden = groups.reduce((sum, group) => sum + group.servers.length, 0) - limit;
  return (
    <>
      {shown.map((group) => (
        <GroupSection connection={connection} group={group} key={group.toolboxId} />
      ))}
      {hidden > 0 && (
        <p className="more">
          <button className="button" onClick={() => setLimit(limit + portion)} type="button">
            Show {Math.min(hidden, portion)} more
          </button>
        </p>
      )}
    </>
  );
}

interface GroupProps {
  readonly group: Group;
  readonly connection: ConnectionState;
}

const GroupSection = memo(function GroupSection({ group, connection }: GroupProps) {
  const { toolboxId, toolbox, servers, attention } = group;
  // Without a name: hundreds of landmarks are none.
  return (
    <section className="group">
      <div className="group-head">
        <h2>{toolbox ? <Link href={`/toolboxes/${toolboxId}`}>{toolbox.name}</Link> : groupName(group)}</h2>
        {toolbox && <ToolboxState brief toolbox={toolbox} />}
        <p className="group-count">
          {servers.length === 1 ? "1 server" : `${servers.length} servers`}
          {attention > 0 && (
            <strong>
              {" "}
              · {attention} need{attention === 1 ? "s" : ""} attention
            </strong>
          )}
        </p>
      </div>
      <Rows connection={connection} group={group} />
    </section>
  );
}, sameGroup);

/** Groups are made anew with each overview; rows have what changes in them from the source. */
function sameGroup(before: GroupProps, after: GroupProps): boolean {
  const [a, b] = [before.group, after.group];
  return (
    before.connection === after.connection &&
    a.toolbox === b.toolbox &&
    a.prominent === b.prominent &&
    a.attention === b.attention &&
    a.servers.length === b.servers.length &&
    a.servers.every((server, index) => server.serverId === b.servers[index]?.serverId)
  );
}
