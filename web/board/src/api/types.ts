import type { Band } from "../server/timeline";

export type {
  Accepted,
  CommandAction,
  CommandRecord,
  Fleet,
  History,
  HistoryEntry,
  Problem,
  Server,
  Toolbox,
} from "../../../client/src/generated/api";

/** `GET /board.json`: what notifier tells the page it serves. */
export interface BoardConfig {
  /** status-api's address; `null`: the page's own. */
  readonly apiUrl: string | null;
  readonly version: string;
}

/** `GET /v1/me`. */
export interface Me {
  readonly accountId?: string | null;
  readonly role: "user" | "admin" | "service_role";
  readonly actor: string;
  readonly expiresAt: string;
}

/** `POST /v1/sign-ins/redeem`. */
export interface SignedIn {
  readonly token: string;
  readonly expiresAt: string;
}

/** `GET /v1/servers/{serverId}/timeline`. */
export interface ServerTimeline {
  readonly serverId: string;
  readonly from: string;
  readonly to: string;
  readonly uptime?: number | null;
  readonly bands: readonly Band[];
  readonly seconds: Readonly<Record<string, number>>;
  readonly stale: boolean;
}

/** `GET /v1/fleet/timeline`. */
export interface FleetTimeline {
  readonly from: string;
  readonly to: string;
  readonly step: number;
  readonly states: Readonly<Record<string, readonly number[]>>;
  readonly stale: boolean;
}
