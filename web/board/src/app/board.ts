import type { StatusClient, ToolboxStatus } from "@mcp-status/client";
import { createContext, useCallback, useContext, useSyncExternalStore } from "react";
import type { Api } from "../api/http";
import type { CommandDesk } from "../commands/desk";
import type { Session, SessionKeeper } from "../session/session";

/** What there is one of, made before anything is shown. */
export interface Board {
  readonly client: StatusClient;
  readonly keeper: SessionKeeper;
  readonly desk: CommandDesk;
  readonly version: string;
}

export const BoardContext = createContext<Board | undefined>(undefined);

export function useBoard(): Board {
  const board = useContext(BoardContext);
  if (!board) throw new Error("there is no board around this");
  return board;
}

export const useApi = (): Api => useBoard().keeper.api;

export function useSession(): Session {
  const { keeper } = useBoard();
  return useSyncExternalStore(keeper.subscribe, keeper.snapshot);
}

const toolboxesOnly = { toolboxes: true };

/** The person's own toolboxes, live. */
export function useToolboxes(): readonly ToolboxStatus[] {
  const { client } = useBoard();
  const subscribe = useCallback(
    (changed: () => void) => {
      const subscription = client.subscribe(toolboxesOnly, ({ toolboxes, connection }) => {
        if (connection || toolboxes.size > 0) changed();
      });
      return () => subscription.unsubscribe();
    },
    [client],
  );
  return useSyncExternalStore(subscribe, () => client.toolboxes());
}
