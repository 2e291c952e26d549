// A page of one's own servers, live: `npm run example -w react`, then /?url=NOTIFIER. It asks for a token.
import { createClient } from "@mcp-status/client";
import { MCPServerStatusBadge, MCPStatusProvider, useFleet, useMCPServerStatuses } from "@mcp-status/react";
import { createRoot } from "react-dom/client";
import "@mcp-status/react/badge.css";
import "./example.css";

let token: string | null = null;
const client = createClient({
  url: new URL(location.href).searchParams.get("url") ?? location.origin,
  token: (reason) => {
    if (token === null || reason !== "connect") token = prompt("A token, as `statusctl token` prints it:");
    return token;
  },
});

function Servers() {
  const { statuses, loading, error } = useMCPServerStatuses();
  const { servers, states } = useFleet();
  if (loading) return <p>Loading…</p>;
  if (error) return <p>{error.message}</p>;
  return (
    <>
      <h1>
        {states.running} of {servers} running
      </h1>
      <table>
        <tbody>
          {statuses.map(({ serverId, name }) => (
            <tr key={serverId}>
              <th scope="row">{name}</th>
              <td>
                <MCPServerStatusBadge serverId={serverId} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const root = document.getElementById("root");
if (root !== null) {
  createRoot(root).render(
    <MCPStatusProvider client={client}>
      <Servers />
    </MCPStatusProvider>,
  );
}
