export {
  MCPServerStatusBadge,
  type MCPServerStatusBadgeProps,
  StatusBadge,
  type StatusBadgeProps,
} from "./badge.js";
export { type HookOptions, MCPStatusProvider, type MCPStatusProviderProps } from "./context.js";
export { type FleetView, useFleet } from "./fleet.js";
export { formatAge, formatUptime } from "./format.js";
export { useConnection, useMCPServerStatus, useNow } from "./hooks.js";
export { type StatusesView, type StatusFilter, useMCPServerStatuses } from "./statuses.js";
