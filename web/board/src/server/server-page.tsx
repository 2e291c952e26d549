import type { ServerStatus } from "@mcp-status/client";
import { StatusBadge, useConnection, useMCPServerStatus } from "@mcp-status/react";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link } from "wouter";
import { ApiError } from "../api/http";
import { useServer } from "../api/queries";
import { useOverview } from "../app/board";
import { NotFound } from "../app/not-found";
import { useArrival, useTitle } from "../app/page";
import { useExpected } from "../commands/hooks";
import { LoadProblem } from "../ui/load-problem";
import { Ago, Time } from "../ui/time";
import { Actions } from "./actions";
import { Changes } from "./changes";
import { Monitoring } from "./monitoring";
import { Timelines } from "./timelines";
import { sentence, theirWords } from "./words";

export function ServerPage({ serverId }: { readonly serverId: string }) {
  const { status, error } = useMCPServerStatus(serverId);
  const detail = useServer(serverId);
  if (error?.code === "deleted") return <NotFound deleted />;
  if (error && error.code !== "signed_out" && error.code !== "limit") return <NotFound />;
  if (detail.error instanceof ApiError && (detail.error.status === 404 || detail.error.status === 400)) {
    return <NotFound />;
  }
  if (status) return <Server key={serverId} told={status} />;
  if (detail.error)
    return <LoadProblem error={detail.error} onRetry={() => detail.refetch()} what="This server" />;
  return <ServerSkeleton />;
}

function Server({ told }: { readonly told: ServerStatus }) {
  const { serverId, toolboxId, name } = told;
  const status = useExpected(told);
  const connection = useConnection();
  const heading = useArrival(serverId);
  const detail = useServer(serverId);
  const queries = useQueryClient();
  const toolbox = useOverview().toolboxes.find((other) => other.toolboxId === toolboxId);
  useTitle(name);

  // What was asked for is as old as the last change: each new one has it asked for again.
  const { version } = told;
  useEffect(() => {
    if (version > 0) queries.invalidateQueries({ queryKey: ["server", serverId] });
  }, [queries, serverId, version]);

  const theirs = theirWords(status.lastError);
  const asOf = newest(detail.data?.asOf, told.asOf);
  return (
    <article className="detail">
      <nav aria-label="Where this is" className="crumbs">
        <Link href="/">All servers</Link>
        <span aria-hidden="true">/</span>
        {toolbox ? (
          <Link href={`/toolboxes/${toolboxId}`}>{toolbox.name}</Link>
        ) : (
          <span>Shared with you</span>
        )}
      </nav>
      <header className="detail-head">
        <div className="detail-title">
          <h1 className="title" ref={heading} tabIndex={-1}>
            {name}
          </h1>
          <StatusBadge className="badge-large" stale={connection.stale} status={status} />
        </div>
        <p className="lede" role="status">
          {sentence(status)}
        </p>
        {theirs && <p className="reason">“{theirs}”</p>}
        <p className="facts">
          {asOf ? (
            <>
              Last observed <Ago at={asOf} />
            </>
          ) : (
            "Never observed"
          )}
          {status.state === "running" && status.lastStarted ? (
            <>
              <Dot />
              running since <Time at={status.lastStarted} />
            </>
          ) : (
            status.lastError && (
              <>
                <Dot />
                for this reason since <Time at={status.lastError.at} />
              </>
            )
          )}
          {status.overrideUntil && (
            <>
              <Dot />
              set by an operator until <Time at={status.overrideUntil} />
            </>
          )}
        </p>
      </header>
      <div className="controls">
        <Actions status={status} told={told} />
        <Monitoring status={told} />
      </div>
      <Timelines serverId={serverId} />
      <Changes serverId={serverId} />
      <Particulars status={told} />
    </article>
  );
}

const Dot = () => <span aria-hidden="true"> · </span>;

function newest(a: string | null | undefined, b: string | null | undefined): string | undefined {
  if (!a || !b) return a ?? b ?? undefined;
  return Date.parse(a) > Date.parse(b) ? a : b;
}

/** What programs and tickets call it. */
function Particulars({ status }: { readonly status: ServerStatus }) {
  return (
    <section aria-labelledby="particulars" className="section">
      <h2 className="section-title" id="particulars">
        Particulars
      </h2>
      <dl className="particulars">
        <div>
          <dt>Server</dt>
          <dd className="mono">{status.serverId}</dd>
        </div>
        <div>
          <dt>Toolbox</dt>
          <dd className="mono">{status.toolboxId}</dd>
        </div>
        <div>
          <dt>Container</dt>
          <dd className="mono">{status.containerId?.slice(0, 12) ?? "none known"}</dd>
        </div>
        <div>
          <dt>Label in the database</dt>
          <dd className="mono">{status.statusOnToolbox}</dd>
        </div>
        <div>
          <dt>Change</dt>
          <dd>
            <span className="mono">{status.version}</span>, <Time at={status.changedAt} seconds />
          </dd>
        </div>
      </dl>
    </section>
  );
}

function ServerSkeleton() {
  useTitle("Loading");
  return (
    <article aria-busy="true" className="detail">
      <h1 className="hidden">Loading a server</h1>
      <span aria-hidden="true" className="skeleton title-skeleton" />
      <span aria-hidden="true" className="skeleton lede-skeleton" />
      <span aria-hidden="true" className="skeleton band-skeleton" />
    </article>
  );
}
