export type {
  Accepted,
  Band,
  CommandRecord,
  FleetTimeline,
  History,
  HistoryEntry,
  Me,
  Problem,
  Server,
  ServerTimeline,
  SignedIn,
  Toolbox,
} from "../../../client/src/generated/api";

/** `GET /board.json`: what notifier tells the page it serves. */
export interface BoardConfig {
  /** status-api's address; `null`: the page's own. */
  readonly apiUrl: string | null;
  readonly version: string;
}
