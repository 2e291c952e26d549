import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { Link } from "wouter";
import { ApiError } from "../api/http";
import { useToolbox } from "../api/queries";
import type { Toolbox } from "../api/types";
import { useBoard, useOverview, useSession } from "../app/board";
import { NotFound } from "../app/not-found";
import { useArrival, useTitle } from "../app/page";
import { usePending } from "../commands/hooks";
import { useCalmOrder } from "../fleet/calm";
import { everything } from "../fleet/filter";
import { groupServers } from "../fleet/groups";
import { Rows } from "../fleet/row";
import { RefreshIcon } from "../ui/icons";
import { LoadProblem } from "../ui/load-problem";
import { Ago, Time } from "../ui/time";
import { ToolboxState } from "./state";

export function ToolboxPage({ toolboxId }: { readonly toolboxId: string }) {
  const toolbox = useToolbox(toolboxId);
  const queries = useQueryClient();
  const live = useOverview().toolboxes.find((other) => other.toolboxId === toolboxId);
  const version = live?.version;
  useEffect(() => {
    if (version !== undefined) queries.invalidateQueries({ queryKey: ["toolbox", toolboxId] });
  }, [queries, toolboxId, version]);
  if (toolbox.error instanceof ApiError && (toolbox.error.status === 404 || toolbox.error.status === 400)) {
    return <NotFound />;
  }
  if (toolbox.data) return <Shown toolbox={toolbox.data} />;
  if (toolbox.error)
    return <LoadProblem error={toolbox.error} onRetry={() => toolbox.refetch()} what="This toolbox" />;
  return (
    <article aria-busy="true" className="detail">
      <h1 className="hidden">Loading a toolbox</h1>
      <span aria-hidden="true" className="skeleton title-skeleton" />
      <span aria-hidden="true" className="skeleton lede-skeleton" />
    </article>
  );
}

function Shown({ toolbox }: { readonly toolbox: Toolbox }) {
  const { toolboxId, name, problem, lastHeartbeat, agentVersion } = toolbox;
  const { desk } = useBoard();
  const session = useSession();
  const { servers, connection, complete } = useOverview();
  const pending = usePending(toolboxId);
  const heading = useArrival(toolboxId);
  const list = useRef<HTMLDivElement>(null);
  const sorted = useMemo(
    () =>
      groupServers(
        servers.filter((server) => server.toolboxId === toolboxId),
        [],
        everything,
      ),
    [servers, toolboxId],
  );
  const [group] = useCalmOrder(sorted, toolboxId, list);
  const usable = session.phase === "in" && !pending;
  useTitle(name);
  return (
    <article className="detail">
      <nav aria-label="Where this is" className="crumbs">
        <Link href="/">All servers</Link>
        <span aria-hidden="true">/</span>
        <span>Toolbox</span>
      </nav>
      <header className="detail-head">
        <div className="detail-title">
          <h1 className="title" ref={heading} tabIndex={-1}>
            {name}
          </h1>
          <ToolboxState toolbox={{ status: toolbox.status }} />
        </div>
        {toolbox.status !== "active" && <p className="lede">{agentSentence(toolbox)}</p>}
        {problem && (
          <p className="reason">
            “{problem.message}”, since <Time at={problem.at} />
          </p>
        )}
      </header>
      <div className="controls">
        <button
          aria-disabled={!usable}
          className="button"
          data-busy={pending ? true : undefined}
          onClick={() => usable && desk.refreshToolbox(toolboxId, name)}
          type="button"
        >
          <RefreshIcon />
          Refresh
        </button>
      </div>
      <dl className="figures">
        <div>
          <dt>Last sign of life</dt>
          <dd>{lastHeartbeat ? <Ago at={lastHeartbeat} /> : "never"}</dd>
        </div>
        <div>
          <dt>Agent’s version</dt>
          <dd>{agentVersion ?? "not told"}</dd>
        </div>
        <div>
          <dt>Servers</dt>
          <dd>{group?.servers.length ?? 0}</dd>
        </div>
      </dl>
      <section aria-labelledby="its-servers" className="section">
        <h2 className="section-title" id="its-servers">
          Its servers
        </h2>
        {!group && complete ? (
          <p className="muted">
            None is registered on it. <code className="mono">statusctl server add {name} CONTAINER</code>
          </p>
        ) : (
          <div ref={list}>{group && <Rows connection={connection} group={group} />}</div>
        )}
      </section>
      <section aria-labelledby="particulars" className="section">
        <h2 className="section-title" id="particulars">
          Particulars
        </h2>
        <dl className="particulars">
          <div>
            <dt>Toolbox</dt>
            <dd className="mono">{toolboxId}</dd>
          </div>
          <div>
            <dt>Account</dt>
            <dd className="mono">{toolbox.accountId}</dd>
          </div>
          <div>
            <dt>Agent’s address</dt>
            <dd className="mono">{toolbox.baseUrl ?? toolbox.publicIpAddress ?? "none"}</dd>
          </div>
          <div>
            <dt>Agent’s token</dt>
            <dd>{toolbox.hasToken ? "its own" : "the configured one"}</dd>
          </div>
        </dl>
      </section>
    </article>
  );
}

function agentSentence({ status, lastHeartbeat }: Toolbox): string {
  switch (status) {
    case "active":
      return "";
    case "unresponsive":
      return "Its agent does not answer. What is shown of its servers grows old, until nothing is known of them any more.";
    case "unseen":
      return lastHeartbeat ? "Its agent is not heard at present." : "Its agent was never heard from.";
  }
}
