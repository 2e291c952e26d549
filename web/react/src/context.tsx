import type { StatusClient } from "@mcp-status/client";
import { createContext, type ReactNode, useContext } from "react";

const StatusContext = createContext<StatusClient | undefined>(undefined);

/** What `MCPStatusProvider` takes. */
export interface MCPStatusProviderProps {
  /** Made once, outside of rendering: `createClient(…)`. Whoever made it closes it. */
  readonly client: StatusClient;
  readonly children?: ReactNode;
}

/** Gives all hooks and badges below it their client. */
export function MCPStatusProvider({ client, children }: MCPStatusProviderProps) {
  return <StatusContext.Provider value={client}>{children}</StatusContext.Provider>;
}

/** Where a hook has its knowledge from. */
export interface HookOptions {
  /** Default: that of the nearest `MCPStatusProvider`. */
  readonly client?: StatusClient | undefined;
}

/** The client that is given, else the provider's. */
export function useStatusClient(given?: StatusClient): StatusClient {
  const provided = useContext(StatusContext);
  const client = given ?? provided;
  if (client === undefined) {
    throw new Error("no status client: wrap this in <MCPStatusProvider client={…}>, or give it a `client`");
  }
  return client;
}
