import type { ServerStatus } from "@mcp-status/client";
import { useMonitoring, useServer } from "../api/queries";
import { useBoard, useSession } from "../app/board";
import { refusal } from "../commands/desk";
import { isForeign } from "./actions";

/** Whether anybody looks at it: off, its state is not known any more. */
export function Monitoring({ status }: { readonly status: ServerStatus }) {
  const { desk } = useBoard();
  const session = useSession();
  const detail = useServer(status.serverId);
  const change = useMonitoring(status);
  const known = detail.data?.monitored ?? status.monitored !== false;
  const watched = change.isPending ? change.variables : known;
  const usable = session.phase === "in" && !isForeign(session, status) && !change.isPending;
  const toggle = () =>
    change.mutate(!known, {
      onError: (error) =>
        desk.tell(
          "bad",
          `Monitoring of ${status.name} was not switched ${known ? "off" : "on"}.`,
          refusal(error),
        ),
    });
  return (
    <div className="setting">
      <span id="monitoring">Monitoring</span>
      <button
        aria-checked={watched}
        aria-describedby="monitoring-help"
        aria-disabled={!usable}
        aria-labelledby="monitoring"
        className="switch"
        onClick={() => usable && toggle()}
        role="switch"
        type="button"
      />
      <span className="muted small" id="monitoring-help">
        {watched ? "Looked at regularly" : "Nobody looks at it"}
      </span>
    </div>
  );
}
