import type { ToolboxStatus } from "@mcp-status/client";
import type { Toolbox } from "../api/types";

const words = { active: "Agent answers", unresponsive: "Agent silent", unseen: "Agent not heard yet" };

interface ToolboxStateProps {
  readonly toolbox: Pick<ToolboxStatus | Toolbox, "status" | "problem">;
  /** Where there are many: that an agent answers is told by the mark alone. */
  readonly brief?: boolean;
}

/** Whether a toolbox's agent answers, and what is wrong with it. */
export function ToolboxState({ toolbox, brief = false }: ToolboxStateProps) {
  const { status, problem } = toolbox;
  return (
    <p className="agent" data-status={status} title={words[status]}>
      <span aria-hidden="true" className="agent-mark" />
      <span className={brief && status === "active" ? "hidden" : undefined}>
        {words[status]}
        {problem && `: ${problem.message}`}
      </span>
    </p>
  );
}
