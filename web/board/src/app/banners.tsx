import type { ServerStatus } from "@mcp-status/client";
import { useConnection, useNow } from "@mcp-status/react";
import { WarningIcon } from "../ui/icons";
import { clockTime } from "../ui/time";
import { useBoard, useSession } from "./board";

/** What a person has to know about everything that is shown below. Says it once, and again only when it changes. */
export function Banners({ servers }: { readonly servers: readonly ServerStatus[] }) {
  return (
    <div className="banners" role="status">
      <StaleBanner />
      <BlindBanner servers={servers} />
    </div>
  );
}

function StaleBanner() {
  const connection = useConnection();
  const session = useSession();
  const { client } = useBoard();
  if (!connection.stale || connection.phase === "live" || session.phase !== "in") return null;
  const since = connection.currentUntil ?? connection.since;
  const waiting = connection.phase === "waiting";
  return (
    <div className="banner" data-tone="warn">
      <WarningIcon />
      <p>
        <strong>Live updates paused since {clockTime(since)}.</strong>{" "}
        {connection.phase === "stale"
          ? "The service has lost its own source and is reconnecting."
          : lossWords(connection.reason)}{" "}
        {waiting && connection.retryAt !== undefined && <NextTry at={connection.retryAt} />}
      </p>
      {waiting && (
        <button className="button" onClick={() => client.resume()} type="button">
          Retry now
        </button>
      )}
    </div>
  );
}

/** Why the connection was lost, as a sentence. */
export function lossWords(reason: string | undefined): string {
  const text = reason?.trim();
  if (!text) return "Reconnecting.";
  if (text === "restart") return "The service is restarting.";
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}

/** Counts down for eyes only: read aloud each second it would be noise. */
function NextTry({ at }: { readonly at: number }) {
  const now = useNow(1000);
  const seconds = Math.ceil((at - now) / 1000);
  return <span aria-hidden="true">{seconds > 0 ? `Next attempt in ${seconds} s.` : "Trying again."}</span>;
}

function BlindBanner({ servers }: { readonly servers: readonly ServerStatus[] }) {
  const blind = servers.filter((server) => server.lastError?.code === "observer_blind").length;
  if (blind === 0) return null;
  return (
    <div className="banner" data-tone="warn">
      <WarningIcon />
      <p>
        <strong>The observer hears from hardly any toolbox.</strong> The fault is probably its own and not
        that of {blind === 1 ? "the server" : `the ${blind} servers`} whose health is unknown.
      </p>
    </div>
  );
}
