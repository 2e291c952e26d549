import type { ConnectionState } from "@mcp-status/client";
import { useConnection } from "@mcp-status/react";
import { Link } from "wouter";
import { KeyboardIcon, Mark, MoonIcon, SignOutIcon, SunIcon, SystemIcon } from "../ui/icons";
import { useBoard, useSession } from "./board";
import { nextTheme, useTheme } from "./theme";

const themes = {
  system: { icon: SystemIcon, name: "Theme: as the system" },
  light: { icon: SunIcon, name: "Theme: light" },
  dark: { icon: MoonIcon, name: "Theme: dark" },
};

export function Header({ onShortcuts }: { readonly onShortcuts: () => void }) {
  const theme = themes[useTheme()];
  return (
    <header className="header">
      <div className="header-inner">
        <Link className="brand" href="/">
          <Mark />
          <span>MCP status</span>
        </Link>
        <Connection />
        <div className="header-tools">
          <button
            aria-label="Keyboard shortcuts"
            className="icon-button only-wide"
            onClick={onShortcuts}
            title="Keyboard shortcuts (?)"
            type="button"
          >
            <KeyboardIcon />
          </button>
          <button
            aria-label={theme.name}
            className="icon-button"
            onClick={nextTheme}
            title={theme.name}
            type="button"
          >
            <theme.icon />
          </button>
          <Person />
        </div>
      </div>
    </header>
  );
}

/** Whether what is shown comes in as it happens. */
function Connection() {
  const connection = useConnection();
  const [tone, words] = connectionWords(connection);
  return (
    <span className="connection" data-tone={tone}>
      <span aria-hidden="true" className="connection-dot" />
      {words}
    </span>
  );
}

export function connectionWords({ phase, transport, stale }: ConnectionState): [tone: string, words: string] {
  switch (phase) {
    case "live":
      return ["live", transport === "polling" ? "Live, every 5 s" : "Live"];
    case "stale":
    case "waiting":
    case "paused":
      return ["paused", "Paused"];
    case "signed_out":
    case "closed":
      return ["paused", "Signed out"];
    default:
      return stale ? ["paused", "Reconnecting"] : ["busy", "Connecting"];
  }
}

function Person() {
  const session = useSession();
  const { keeper } = useBoard();
  if (session.phase !== "in" && session.phase !== "expired") return null;
  const { role, accountId, actor } = session.me;
  const who = role === "user" ? "Your servers" : "All accounts";
  return (
    <div className="person">
      <span className="only-wide person-name" title={`${actor}${accountId ? `, account ${accountId}` : ""}`}>
        {who}
      </span>
      <button
        aria-label="Sign out"
        className="icon-button"
        onClick={() => keeper.signOut()}
        title="Sign out"
        type="button"
      >
        <SignOutIcon />
      </button>
    </div>
  );
}
