import type { ServerStatus } from "@mcp-status/client";
import { useMemo, useSyncExternalStore } from "react";
import { useBoard } from "../app/board";
import { expected, type Notice, type Pending } from "./desk";

/** The command that this person gave for a server or toolbox, while it is on its way. */
export function usePending(id: string): Pending | undefined {
  const { desk } = useBoard();
  return useSyncExternalStore(desk.subscribe, () => desk.snapshot().pending.get(id));
}

export function useNotices(): readonly Notice[] {
  const { desk } = useBoard();
  return useSyncExternalStore(desk.subscribe, () => desk.snapshot().notices);
}

/** A status with what the person's own command will make of it. The same object while nothing changes. */
export function useExpected(status: ServerStatus): ServerStatus {
  const pending = usePending(status.serverId);
  return useMemo(() => expected(status, pending), [status, pending]);
}
