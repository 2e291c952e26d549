import type { ToolboxStatus } from "@mcp-status/client";
import type { Toolbox } from "../api/types";

const words = { active: "Agent answers", unresponsive: "Agent silent", unseen: "Agent not heard yet" };

/** Whether a toolbox's agent answers, and what is wrong with it. */
export function ToolboxState({
  toolbox,
}: {
  readonly toolbox: Pick<ToolboxStatus | Toolbox, "status" | "problem">;
}) {
  return (
    <p className="agent" data-status={toolbox.status}>
      <span aria-hidden="true" className="agent-mark" />
      <span>
        {words[toolbox.status]}
        {toolbox.problem && <span className="agent-problem">: {toolbox.problem.message}</span>}
      </span>
    </p>
  );
}
