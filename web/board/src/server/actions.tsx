import type { ServerStatus } from "@mcp-status/client";
import type { ComponentType } from "react";
import { useBoard, useSession } from "../app/board";
import type { Action } from "../commands/desk";
import { usePending } from "../commands/hooks";
import type { Session } from "../session/session";
import { RefreshIcon, RestartIcon, StartIcon, StopIcon } from "../ui/icons";
import { actionWords } from "./words";

const buttons: readonly { action: Action; label: string; icon: ComponentType }[] = [
  { action: "start", label: "Start", icon: StartIcon },
  { action: "stop", label: "Stop", icon: StopIcon },
  { action: "restart", label: "Restart", icon: RestartIcon },
  { action: "refresh", label: "Refresh", icon: RefreshIcon },
];

/** Why an action makes no sense at present; undefined: it does. */
export function notNow(action: Action, status: ServerStatus): string | undefined {
  if (action === "refresh") return undefined;
  const { state, command } = status;
  if (command) return `A ${command.action} is under way`;
  if (action === "start") {
    if (state === "running") return "It runs already";
    return state === "starting" ? "It is starting" : undefined;
  }
  if (state === "stopping") return "It is stopping";
  return state === "stopped" ? "It is stopped" : undefined;
}

/** Whether it is seen through a connection only: then it is somebody else's to command. */
export function isForeign(session: Session, { accountId }: Pick<ServerStatus, "accountId">): boolean {
  return session.phase === "in" && session.me.role === "user" && session.me.accountId !== accountId;
}

interface ActionsProps {
  /** What is shown. */
  readonly status: ServerStatus;
  /** What is known. */
  readonly told: ServerStatus;
}

export function Actions({ status, told }: ActionsProps) {
  const { desk } = useBoard();
  const session = useSession();
  const pending = usePending(told.serverId);
  const signedOut = session.phase === "in" ? undefined : "Sign in again first";
  const foreign = isForeign(session, told)
    ? "It is shared with you; its owner starts and stops it"
    : undefined;
  return (
    <div className="actions">
      <fieldset className="buttons">
        <legend className="hidden">Commands</legend>
        {buttons.map(({ action, label, icon: Icon }) => {
          const busy = pending && `${actionWords(pending.action).doing} is under way`;
          const why =
            signedOut ?? (action === "refresh" ? undefined : foreign) ?? busy ?? notNow(action, status);
          // Not `disabled`: that would take the focus away from the one who just pressed it.
          return (
            <button
              aria-disabled={why !== undefined}
              className="button"
              data-busy={pending?.action === action || undefined}
              key={action}
              onClick={() => why === undefined && desk.run(told, action)}
              title={why}
              type="button"
            >
              <Icon />
              {label}
            </button>
          );
        })}
      </fieldset>
      {foreign && <p className="muted small">{foreign}.</p>}
    </div>
  );
}
