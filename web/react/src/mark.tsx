import type { ServerStatus } from "@mcp-status/client";
import type { ReactElement } from "react";

/** What a badge's colour says. */
export type Tone = "healthy" | "degraded" | "error" | "busy" | "idle";

/** What a badge's shape says: a tone's own, and which grey it is. */
export type Mark = "dot" | "triangle" | "cross" | "arc" | "square" | "hollow-triangle" | "ring";

/** Tone and shape of a status; of none, the empty ring. */
export function looksOf(status: ServerStatus | undefined): readonly [Tone, Mark] {
  switch (status?.state) {
    case "running":
      if (status.health === "healthy") return ["healthy", "dot"];
      if (status.health === "degraded") return ["degraded", "triangle"];
      // It may well run, and nobody vouches for it.
      return ["idle", "hollow-triangle"];
    case "error":
      return ["error", "cross"];
    case "starting":
    case "stopping":
      return ["busy", "arc"];
    case "stopped":
      return ["idle", "square"];
    default:
      return ["idle", "ring"];
  }
}

/** Shapes on a grid of twelve, optically of one size. They are told apart without their colours. */
const SHAPES: Record<Mark, ReactElement> = {
  dot: <circle cx="6" cy="6" r="4" fill="currentColor" />,
  triangle: (
    <path
      d="M6 2 L10.6 10 H1.4 Z"
      fill="currentColor"
      stroke="currentColor"
      strokeWidth="1.4"
      strokeLinejoin="round"
    />
  ),
  cross: <path d="M3 3 L9 9 M9 3 L3 9" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />,
  arc: (
    <g fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round">
      <circle cx="6" cy="6" r="4" opacity="0.25" />
      <path d="M6 2 A4 4 0 0 1 10 6" />
    </g>
  ),
  square: <rect x="2.2" y="2.2" width="7.6" height="7.6" rx="1.5" fill="currentColor" />,
  "hollow-triangle": (
    <path
      d="M6 2 L10.6 10 H1.4 Z"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinejoin="round"
    />
  ),
  ring: <circle cx="6" cy="6" r="3.6" fill="none" stroke="currentColor" strokeWidth="1.5" />,
};

/** The shape, for eyes only: the words beside it say the same. */
export function StatusMark({ mark }: { readonly mark: Mark }) {
  return (
    <svg
      className="mcp-status-mark"
      width="1em"
      height="1em"
      viewBox="0 0 12 12"
      aria-hidden="true"
      focusable="false"
    >
      {SHAPES[mark]}
    </svg>
  );
}
