import type { ServerStatus } from "@mcp-status/client";
import { QueryClient, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useApi, useSession } from "../app/board";
import { ApiError } from "./http";
import type { FleetTimeline, History, Server, ServerTimeline, Toolbox } from "./types";

const minute = 60_000;

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        gcTime: 5 * minute,
        retry: (failures, error) => failures < 2 && error instanceof ApiError && error.passing,
      },
    },
  });
}

/** Nothing is asked for while nobody is signed in: what was there stays, and goes on being asked for afterwards. */
const useSignedIn = () => useSession().phase === "in";

/** How many servers were in which state over the last day. */
export function useFleetTimeline() {
  const api = useApi();
  const enabled = useSignedIn();
  return useQuery({
    enabled,
    queryKey: ["fleet", "timeline"],
    queryFn: ({ signal }) => api.get<FleetTimeline>("/v1/fleet/timeline?window=24h&points=48", signal),
    refetchInterval: 2 * minute,
    staleTime: minute,
  });
}

/** What only asking tells: when it was last observed, whether it is watched. */
export function useServer(serverId: string) {
  const api = useApi();
  const enabled = useSignedIn();
  return useQuery({
    enabled,
    queryKey: ["server", serverId, "detail"],
    queryFn: ({ signal }) => api.get<Server>(`/v1/servers/${serverId}`, signal),
    refetchInterval: 15_000,
  });
}

export function useTimeline(serverId: string, window: "24h" | "7d") {
  const api = useApi();
  const enabled = useSignedIn();
  return useQuery({
    enabled,
    queryKey: ["server", serverId, "timeline", window],
    queryFn: ({ signal }) =>
      api.get<ServerTimeline>(`/v1/servers/${serverId}/timeline?window=${window}`, signal),
    refetchInterval: minute,
  });
}

const historyPage = 25;

export function useHistory(serverId: string) {
  const api = useApi();
  const enabled = useSignedIn();
  return useInfiniteQuery({
    enabled,
    queryKey: ["server", serverId, "history"],
    queryFn: ({ pageParam, signal }) => {
      const cursor = pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : "";
      return api.get<History>(`/v1/servers/${serverId}/history?limit=${historyPage}${cursor}`, signal);
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
    // The newest change lasts "until now": it is asked for again when there is another.
    staleTime: minute,
  });
}

export function useToolbox(toolboxId: string) {
  const api = useApi();
  const enabled = useSignedIn();
  return useQuery({
    enabled,
    queryKey: ["toolbox", toolboxId],
    queryFn: ({ signal }) => api.get<Toolbox>(`/v1/toolboxes/${toolboxId}`, signal),
    refetchInterval: 15_000,
  });
}

/** Has a server watched, or not any more. */
export function useMonitoring(server: Pick<ServerStatus, "serverId">) {
  const api = useApi();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (watched: boolean) =>
      api.post(`/v1/servers/${server.serverId}/${watched ? "monitor" : "unmonitor"}`),
    onSettled: () => queries.invalidateQueries({ queryKey: ["server", server.serverId] }),
  });
}
