import { useHistory } from "../api/queries";
import type { HistoryEntry } from "../api/types";
import { LoadProblem } from "../ui/load-problem";
import { formatDuration, Time } from "../ui/time";
import { toneOf } from "./timeline";
import { causeWords, stateWords, whyWords } from "./words";

/** What changed, the newest first. */
export function Changes({ serverId }: { readonly serverId: string }) {
  const history = useHistory(serverId);
  const entries = history.data?.pages.flatMap((page) => page.items) ?? [];
  const stale = history.data?.pages.some((page) => page.stale);
  return (
    <section aria-labelledby="changes" className="section">
      <h2 className="section-title" id="changes">
        Changes
      </h2>
      {history.error && entries.length === 0 ? (
        <LoadProblem error={history.error} onRetry={() => history.refetch()} what="The changes" />
      ) : (
        <table className="changes">
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">State</th>
              <th scope="col">Why</th>
              <th scope="col">Cause</th>
              <th scope="col">Lasted</th>
            </tr>
          </thead>
          <tbody>
            {entries.map((entry, index) => (
              <Change entry={entry} key={entry.version} present={index === 0} />
            ))}
          </tbody>
        </table>
      )}
      {history.isPending && <span aria-hidden="true" className="skeleton band-skeleton" />}
      {stale && <p className="muted">The database is away: only the newest change is known at present.</p>}
      {history.hasNextPage && (
        <p className="more">
          <button
            aria-disabled={history.isFetchingNextPage}
            className="button"
            onClick={() => history.isFetchingNextPage || history.fetchNextPage()}
            type="button"
          >
            {history.isFetchingNextPage ? "Loading…" : "Older changes"}
          </button>
        </p>
      )}
    </section>
  );
}

function Change({ entry, present }: { readonly entry: HistoryEntry; readonly present: boolean }) {
  const { at, state, health, lastError, cause, duration } = entry;
  return (
    <tr>
      <td className="change-when">
        <Time at={at} seconds />
      </td>
      <td>
        <span className="change-state" data-tone={toneOf({ ...entry, code: lastError?.code ?? null })}>
          {state ? stateWords(state, health) : "Deleted"}
        </span>
      </td>
      <td className="change-why">{lastError && whyWords(lastError)}</td>
      <td className="change-cause">{causeWords(cause)}</td>
      <td className="change-lasted">
        {present ? `so far ${formatDuration(duration)}` : formatDuration(duration)}
      </td>
    </tr>
  );
}
