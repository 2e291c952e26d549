import type { ServerStatus, ToolboxStatus } from "@mcp-status/client";
import { type Filter, matcher } from "./filter";
import {
  compareIds,
  compareNames,
  compareServers,
  compareTrouble,
  needsAttention,
  type Trouble,
  troubleOf,
} from "./trouble";

/** A toolbox and those of its servers that are looked for. */
export interface Group {
  readonly toolboxId: string;
  /** Absent where the servers are seen through a connection: their toolbox is somebody else's. */
  readonly toolbox: ToolboxStatus | undefined;
  /** Trouble first. */
  readonly servers: readonly ServerStatus[];
  /** How many of them, from the first, have a line to themselves: those that a person should look at. */
  readonly prominent: number;
  /** How many of them a person should look at. */
  readonly attention: number;
  /** The most urgent among them. */
  readonly worst: Trouble;
}

export const sharedName = "Shared with you";

export const groupName = (group: Pick<Group, "toolbox">): string => group.toolbox?.name ?? sharedName;

/** The servers that are looked for, by toolbox, those with the worst trouble first. */
export function groupServers(
  servers: readonly ServerStatus[],
  toolboxes: readonly ToolboxStatus[],
  filter: Filter,
): Group[] {
  const known = new Map(toolboxes.map((toolbox) => [toolbox.toolboxId, toolbox]));
  const matches = matcher(filter);
  const byToolbox = new Map<string, ServerStatus[]>();
  for (const server of servers) {
    const toolbox = known.get(server.toolboxId);
    if (!matches(server, groupName({ toolbox }))) continue;
    const members = byToolbox.get(server.toolboxId);
    if (members) members.push(server);
    else byToolbox.set(server.toolboxId, [server]);
  }
  const groups = [...byToolbox].map(([toolboxId, members]): Group => {
    members.sort(compareServers);
    const troubles = members.map(troubleOf);
    const attention = troubles.filter(needsAttention).length;
    return {
      toolboxId,
      toolbox: known.get(toolboxId),
      servers: members,
      prominent: attention,
      attention,
      worst: troubles[0] ?? "quiet",
    };
  });
  return groups.sort(
    (a, b) =>
      // What is on its way says nothing about a toolbox: it would jump up and down with each restart.
      compareTrouble(settled(a.worst), settled(b.worst)) ||
      compareNames(groupName(a), groupName(b)) ||
      compareIds(a.toolboxId, b.toolboxId),
  );
}

const settled = (trouble: Trouble): Trouble => (trouble === "moving" ? "quiet" : trouble);

/**
 * The groups in an order that was shown before, with what they hold now: nothing moves under a person's pointer.
 *
 * What is new comes last, what is gone goes.
 */
export function inOrderOf(groups: readonly Group[], shown: readonly Group[]): Group[] {
  return alike(groups, shown, (group) => group.toolboxId).map((group) => {
    const before = shown.find((other) => other.toolboxId === group.toolboxId);
    if (!before) return group;
    const servers = alike(group.servers, before.servers, (server) => server.serverId);
    const lines = new Set(before.servers.slice(0, before.prominent).map((server) => server.serverId));
    return { ...group, servers, prominent: servers.filter((server) => lines.has(server.serverId)).length };
  });
}

function alike<T>(items: readonly T[], shown: readonly T[], id: (item: T) => string): T[] {
  const place = new Map(shown.map((item, index) => [id(item), index]));
  const at = (item: T) => place.get(id(item)) ?? Number.POSITIVE_INFINITY;
  return [...items].sort((a, b) => (at(a) === at(b) ? 0 : at(a) - at(b)));
}

/** Whether the second shows the same things in the same places. */
export function sameOrder(a: readonly Group[], b: readonly Group[]): boolean {
  return (
    a.length === b.length &&
    a.every((group, index) => {
      const other = b[index];
      return (
        other !== undefined &&
        other.toolboxId === group.toolboxId &&
        other.prominent === group.prominent &&
        other.servers.length === group.servers.length &&
        other.servers.every((server, place) => server.serverId === group.servers[place]?.serverId)
      );
    })
  );
}
