import type { StatusClient } from "@mcp-status/client";
import { createContext, useContext, useSyncExternalStore } from "react";
import type { Api } from "../api/http";
import type { CommandDesk } from "../commands/desk";
import type { Session, SessionKeeper } from "../session/session";
import type { Overview, PacedOverview } from "./paced";

/** What there is one of, made before anything is shown. */
export interface Board {
  readonly client: StatusClient;
  readonly overview: PacedOverview;
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

/** All that the person may see, at a pace for sums and orders. */
export function useOverview(): Overview {
  const { overview } = useBoard();
  return useSyncExternalStore(overview.subscribe, overview.snapshot);
}
