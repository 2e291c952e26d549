import { type ConnectionState, knownSince, type ServerStatus, type State } from "@mcp-status/client";
import { type RefObject, useMemo } from "react";
import { useFleetTimeline } from "../api/queries";
import type { FleetTimeline } from "../api/types";
import { useOverview } from "../app/board";
import { sparkline } from "../ui/sparkline";
import { Age } from "../ui/time";
import { type Filter, toggled } from "./filter";
import { needsAttention, type Trouble, troubleOf } from "./trouble";

export interface Counts {
  readonly servers: number;
  readonly states: Readonly<Partial<Record<State, number>>>;
  readonly attention: number;
  readonly troubles: Readonly<Record<Trouble, number>>;
}

export function countTroubles(servers: readonly ServerStatus[]): Counts {
  const troubles: Record<Trouble, number> = { failed: 0, lost: 0, weak: 0, moving: 0, quiet: 0 };
  const states: Partial<Record<State, number>> = {};
  for (const server of servers) {
    troubles[troubleOf(server)] += 1;
    states[server.state] = (states[server.state] ?? 0) + 1;
  }
  const attention = (Object.keys(troubles) as Trouble[])
    .filter(needsAttention)
    .reduce((sum, trouble) => sum + troubles[trouble], 0);
  return { servers: servers.length, states, attention, troubles };
}

/** Since when nothing newer is known of the server of which least is known; undefined: all of it is current. */
export function oldestKnowledge(
  servers: readonly ServerStatus[],
  connection: ConnectionState,
): number | undefined {
  const now = Date.now();
  const oldest = Math.min(...servers.map((server) => knownSince(server, connection, now) ?? now));
  return oldest < now ? oldest : undefined;
}

/** How things are, in one sentence. */
export function headline({ servers, attention }: Counts): string {
  if (attention === 0) {
    if (servers === 1) return "Your server is well.";
    return servers === 2 ? "Both servers are well." : `All ${format(servers)} servers are well.`;
  }
  if (attention === servers)
    return servers === 1 ? "Your server needs attention." : "All servers need attention.";
  return `${format(attention)} of ${format(servers)} servers need${attention === 1 ? "s" : ""} attention.`;
}

/** What the trouble is, in numbers. */
export function troubleWords({ troubles }: Counts): string {
  const parts = [
    troubles.failed > 0 && `${format(troubles.failed)} failed`,
    troubles.lost > 0 && `${format(troubles.lost)} not heard from`,
    troubles.weak > 0 && `${format(troubles.weak)} running, but not well`,
    troubles.moving > 0 && `${format(troubles.moving)} starting or stopping`,
  ].filter((part) => part !== false);
  return parts.length > 0 ? `${parts.join(", ")}.` : "";
}

const number = new Intl.NumberFormat("en");
const format = (value: number) => number.format(value);

interface SummaryProps {
  readonly servers: readonly ServerStatus[];
  readonly filter: Filter;
  readonly onFilter: (filter: Filter) => void;
  readonly heading: RefObject<HTMLHeadingElement | null>;
}

export function Summary({ servers, filter, onFilter, heading }: SummaryProps) {
  const counts = useMemo(() => countTroubles(servers), [servers]);
  const { connection } = useOverview();
  const oldest = useMemo(() => oldestKnowledge(servers, connection), [servers, connection]);
  const trouble = troubleWords(counts);
  return (
    <section aria-label="Fleet" className="summary">
      <h1 className="headline" ref={heading} tabIndex={-1}>
        {headline(counts)}
      </h1>
      <p className="lede">
        {trouble}{" "}
        {oldest !== undefined ? (
          <>
            The oldest knowledge is <Age since={oldest} /> old.
          </>
        ) : (
          "Everything that is shown is current."
        )}
      </p>
      <States counts={counts} filter={filter} onFilter={onFilter} />
    </section>
  );
}

const shownStates: readonly (readonly [State, string])[] = [
  ["running", "Running"],
  ["error", "Error"],
  ["unknown", "Unknown"],
  ["starting", "Starting"],
  ["stopping", "Stopping"],
  ["stopped", "Stopped"],
];

/** How many servers are in each state, how that was over the day; each is a filter as well. */
function States({
  counts,
  filter,
  onFilter,
}: Pick<SummaryProps, "filter" | "onFilter"> & { readonly counts: Counts }) {
  const timeline = useFleetTimeline();
  return (
    <ul aria-label="Servers by state; press to show only these" className="states">
      {shownStates.map(([state, name]) => {
        const count = counts.states[state] ?? 0;
        return (
          <li key={state}>
            <button
              aria-pressed={filter.states.has(state)}
              className="state"
              data-empty={count === 0 || undefined}
              data-state={state}
              onClick={() => onFilter({ ...filter, states: toggled(filter.states, state) })}
              type="button"
            >
              <span className="state-name">{name}</span>
              <span className="state-count">{format(count)}</span>
              <Sparkline count={count} state={state} timeline={timeline.data} />
            </button>
          </li>
        );
      })}
    </ul>
  );
}

interface SparklineProps {
  readonly timeline: FleetTimeline | undefined;
  readonly state: State;
  /** What is known now, which is where the line ends. */
  readonly count: number;
}

function Sparkline({ timeline, state, count }: SparklineProps) {
  const values = timeline?.states[state];
  const drawn = values && sparkline([...values, count]);
  const lowest = values && Math.min(...values, count);
  const highest = values && Math.max(...values, count);
  return (
    <>
      <svg aria-hidden="true" className="sparkline" preserveAspectRatio="none" viewBox="0 0 100 100">
        {drawn && (
          <>
            <path className="sparkline-area" d={drawn.area} />
            <path className="sparkline-line" d={drawn.line} vectorEffect="non-scaling-stroke" />
          </>
        )}
      </svg>
      {values && (
        <span className="hidden">
          {lowest === highest
            ? `unchanged for 24 hours`
            : `between ${lowest} and ${highest} in the last 24 hours`}
        </span>
      )}
    </>
  );
}
