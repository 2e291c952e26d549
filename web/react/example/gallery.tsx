// Every look of the badge, at both sizes: `npm run example -w react`, then /gallery.html.
import type { ServerStatus } from "@mcp-status/client";
import { StatusBadge, type StatusBadgeProps } from "@mcp-status/react";
import { createRoot } from "react-dom/client";
import "@mcp-status/react/badge.css";
import "./example.css";

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;
const now = Date.now();
const ago = (ms: number) => new Date(now - ms).toISOString();

const status = (but: Partial<ServerStatus>): ServerStatus => ({
  accountId: "account",
  changedAt: ago(MINUTE),
  health: "healthy",
  lastStarted: ago(3.2 * DAY),
  name: "mcp-github",
  serverId: "server",
  state: "running",
  statusOnToolbox: "running",
  toolboxId: "toolbox",
  version: 1,
  ...but,
});
const because = (code: string, message: string) => ({ lastError: { code, message, at: ago(6 * MINUTE) } });

const looks: [string, StatusBadgeProps][] = [
  ["running, healthy", { status: status({}) }],
  ["just started", { status: status({ lastStarted: ago(12_000) }) }],
  [
    "running, degraded",
    {
      status: status({
        health: "degraded",
        ...because("health_check_starting", "its own health check has not passed yet"),
      }),
    },
  ],
  [
    "running, unhealthy",
    {
      status: status({
        health: "unhealthy",
        ...because("agent_unreachable", "the agent does not answer"),
      }),
      knownSince: now - 6 * MINUTE,
    },
  ],
  ["starting", { status: status({ state: "starting", health: "unknown" }) }],
  ["stopping", { status: status({ state: "stopping", health: "unknown" }) }],
  [
    "error",
    { status: status({ state: "error", health: "unhealthy", ...because("exit_code", "exit code 137") }) },
  ],
  ["stopped", { status: status({ state: "stopped", health: "unknown" }) }],
  [
    "unknown",
    {
      status: status({ state: "unknown", health: "unknown", ...because("agent_unreachable", "no answer") }),
      knownSince: now - 26 * MINUTE,
    },
  ],
  ["stale, running", { status: status({}), stale: true, knownSince: now - 4 * MINUTE }],
  [
    "stale, error",
    {
      status: status({ state: "error", health: "unhealthy" }),
      stale: true,
      knownSince: now - 3 * 60 * MINUTE,
    },
  ],
  ["loading", { status: undefined, loading: true }],
  ["not found", { status: undefined, error: { code: "not_found", message: "There is no such server." } }],
  ["signed out", { status: undefined, error: { code: "signed_out", message: "Nobody is signed in." } }],
];

function Gallery() {
  return (
    <table>
      <tbody>
        {looks.map(([name, props]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>
              <StatusBadge {...props} />
            </td>
            <td className="large">
              <StatusBadge {...props} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const root = document.getElementById("root");
if (root !== null) createRoot(root).render(<Gallery />);
