import type { ConnectionState, Selection, ServerView, StatusClient } from "@mcp-status/client";
import { useCallback, useMemo, useSyncExternalStore } from "react";
import { type Ticker, ticker } from "./clock.js";
import { type HookOptions, useStatusClient } from "./context.js";

/** On a server, and while its page is taken over: nobody was asked yet. */
export const LOADING: ServerView = { status: undefined, loading: true, error: undefined, stale: false };
export const IDLE: ConnectionState = {
  phase: "idle",
  transport: undefined,
  since: 0,
  currentUntil: undefined,
  stale: false,
  retryAt: undefined,
  reason: undefined,
};
const NOTHING: Selection = {};

/**
 * Watches a selection as long as the component is mounted. The client makes one subscription on the wire of all of
 * them, and keeps it over a remount: nothing has to be counted or delayed here. Where the snapshot is also a matter of
 * time, a clock asks for it too.
 */
export function useWatch<T>(
  client: StatusClient,
  selection: Selection,
  snapshot: () => T,
  onServer: T,
  clock?: Ticker,
): T {
  const subscribe = useCallback(
    (changed: () => void) => {
      const subscription = client.subscribe(selection, changed);
      const forget = clock?.listen(changed);
      return () => {
        forget?.();
        subscription.unsubscribe();
      };
    },
    [client, selection, clock],
  );
  return useSyncExternalStore(subscribe, snapshot, () => onServer);
}

/** What is known of one server: `{status, loading, error, stale}`. */
export function useMCPServerStatus(serverId: string, options?: HookOptions): ServerView {
  const client = useStatusClient(options?.client);
  const selection = useMemo(() => ({ servers: [serverId] }), [serverId]);
  return useWatch(client, selection, () => client.get(serverId), LOADING);
}

/** What the connection does, and whether what is shown may be old. Watches nothing by itself. */
export function useConnection(options?: HookOptions): ConnectionState {
  const client = useStatusClient(options?.client);
  return useWatch(client, NOTHING, () => client.connection, IDLE);
}

/**
 * The time, in milliseconds since 1970, down to a multiple of `everyMs`. All that ask for the same pace are told
 * together, and nobody while the page is hidden.
 *
 * 0 on a server, and while its page is taken over: there is no time that both would agree on.
 */
export function useNow(everyMs: number): number {
  return useClock(ticker(everyMs), (now) => now, 0);
}

/** What `at` makes of the time: renders when that is another, which it seldom is. */
export function useClock<T extends string | number | undefined>(
  clock: Ticker,
  at: (now: number) => T,
  onServer: T,
): T {
  return useSyncExternalStore(
    clock.listen,
    () => at(clock.now()),
    () => onServer,
  );
}
