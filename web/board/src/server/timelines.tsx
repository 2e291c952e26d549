import { type KeyboardEvent, type PointerEvent, useId, useMemo, useState } from "react";
import { useTimeline } from "../api/queries";
import type { Band, ServerTimeline } from "../api/types";
import { LoadProblem } from "../ui/load-problem";
import { clockTime, formatDuration, Time } from "../ui/time";
import { bandAt, segments, ticks, toneOf } from "./timeline";
import { formatUptimeShare } from "./uptime";
import { becauseOf, stateWords } from "./words";

/** What a server did over the last day and the last week. */
export function Timelines({ serverId }: { readonly serverId: string }) {
  return (
    <section aria-labelledby="timeline" className="section">
      <h2 className="section-title" id="timeline">
        Timeline
      </h2>
      <Line name="Last 24 hours" serverId={serverId} window="24h" />
      <Line name="Last 7 days" serverId={serverId} window="7d" />
      <Legend />
    </section>
  );
}

interface LineProps {
  readonly serverId: string;
  readonly window: "24h" | "7d";
  readonly name: string;
}

function Line({ serverId, window, name }: LineProps) {
  const timeline = useTimeline(serverId, window);
  const { data, error } = timeline;
  if (!data && error) return <LoadProblem error={error} onRetry={() => timeline.refetch()} what={name} />;
  return (
    <div className="line">
      <div className="line-head">
        <h3 className="line-name">{name}</h3>
        <Uptime timeline={data} />
      </div>
      {data?.stale && (
        <p className="muted">The database is away: of what was, only the newest change is known.</p>
      )}
      {data ? (
        <Bands name={name} timeline={data} />
      ) : (
        <span aria-hidden="true" className="skeleton band-skeleton" />
      )}
    </div>
  );
}

function Uptime({ timeline }: { readonly timeline: ServerTimeline | undefined }) {
  if (!timeline) return null;
  const { uptime } = timeline;
  if (uptime === undefined || uptime === null) {
    return <p className="uptime-words">No uptime: it was neither running nor failing.</p>;
  }
  return (
    <p className="uptime">
      <strong>{formatUptimeShare(uptime)}</strong> <span className="uptime-words">up</span>
    </p>
  );
}

interface BandsProps {
  readonly timeline: ServerTimeline;
  readonly name: string;
}

/** One line of bands. A pointer or the arrow keys go from one to the next; what that is stands below. */
function Bands({ timeline, name }: BandsProps) {
  const { bands } = timeline;
  const from = Date.parse(timeline.from);
  const to = Date.parse(timeline.to);
  const placed = useMemo(() => segments(bands, from, to), [bands, from, to]);
  const marks = useMemo(() => ticks(from, to), [from, to]);
  const [chosen, setChosen] = useState<number>();
  const [table, setTable] = useState(false);
  const tableId = useId();
  const last = bands.length - 1;
  const index = Math.min(chosen ?? last, last);
  const band = bands[index];
  if (!band) return <p className="muted">Nothing is known of this time.</p>;

  const onKey = (event: KeyboardEvent) => {
    const next = {
      ArrowLeft: index - 1,
      ArrowRight: index + 1,
      ArrowDown: index - 1,
      ArrowUp: index + 1,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    setChosen(Math.min(Math.max(next, 0), last));
  };
  const onPointer = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const found = bandAt(bands, from, to, (event.clientX - box.left) / box.width);
    setChosen(found < 0 ? undefined : found);
  };
  const shown = chosen === undefined ? undefined : placed.find((segment) => segment.band === band);
  return (
    <>
      <div
        aria-label={`${name}, band by band`}
        aria-orientation="horizontal"
        aria-valuemax={last}
        aria-valuemin={0}
        aria-valuenow={index}
        aria-valuetext={bandText(band)}
        className="bands"
        onBlur={() => setChosen(undefined)}
        onFocus={() => setChosen((present) => present ?? last)}
        onKeyDown={onKey}
        onPointerLeave={() => setChosen(undefined)}
        onPointerMove={onPointer}
        role="slider"
        tabIndex={0}
      >
        {placed.map(({ band: one, tone, left, width }) => (
          <span
            className="band"
            data-tone={tone}
            key={one.from}
            style={{ insetInlineStart: `${left}%`, inlineSize: `${width}%` }}
          />
        ))}
        {shown && (
          <span
            className="band-chosen"
            style={{ insetInlineStart: `${shown.left}%`, inlineSize: `${shown.width}%` }}
          />
        )}
      </div>
      <div aria-hidden="true" className="ticks">
        {marks.map(({ at, left }) => (
          <span key={at} style={{ insetInlineStart: `${left}%` }}>
            {tickText(at, to - from)}
          </span>
        ))}
      </div>
      <div className="line-foot">
        <p aria-hidden="true" className="band-words">
          {chosen === undefined ? totals(timeline) : bandText(band)}
        </p>
        <button
          aria-controls={tableId}
          aria-expanded={table}
          className="text-button"
          onClick={() => setTable(!table)}
          type="button"
        >
          {table ? "Hide table" : "As a table"}
          <span className="hidden"> of {name}</span>
        </button>
      </div>
      <div className="band-table" hidden={!table} id={tableId}>
        {table && <BandTable bands={bands} name={name} />}
      </div>
    </>
  );
}

const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric" });

function tickText(at: number, length: number): string {
  return length > 172_800_000 ? weekday.format(at) : clockTime(at, at);
}

function bandText(band: Band): string {
  const [from, to] = [Date.parse(band.from), Date.parse(band.to)];
  const because = becauseOf(band.code);
  const what = `${stateWords(band.state, band.health)}${because ? `, because ${because}` : ""}`;
  return `${clockTime(from)} to ${clockTime(to)}, ${formatDuration((to - from) / 1000)}: ${what}`;
}

const order = ["running", "starting", "stopping", "stopped", "error", "unknown"] as const;

/** What the whole line comes to: `running 23 h 10 min, error 4 min`. */
function totals({ seconds }: ServerTimeline): string {
  return order
    .filter((state) => (seconds[state] ?? 0) >= 1)
    .map((state) => `${state} ${formatDuration(seconds[state] ?? 0)}`)
    .join(" · ");
}

function BandTable({ bands, name }: { readonly bands: readonly Band[]; readonly name: string }) {
  return (
    <table>
      <caption className="hidden">{name}</caption>
      <thead>
        <tr>
          <th scope="col">From</th>
          <th scope="col">State</th>
          <th scope="col">Why</th>
          <th scope="col">Lasted</th>
        </tr>
      </thead>
      <tbody>
        {bands.toReversed().map((band) => (
          <tr key={band.from}>
            <td>
              <Time at={band.from} seconds />
            </td>
            <td>
              <span className="change-state" data-tone={toneOf(band)}>
                {stateWords(band.state, band.health)}
              </span>
            </td>
            <td>{capital(becauseOf(band.code) ?? band.code ?? "")}</td>
            <td>{formatDuration((Date.parse(band.to) - Date.parse(band.from)) / 1000)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

const legend = [
  ["ok", "Running"],
  ["warn", "Degraded"],
  ["bad", "Failed"],
  ["busy", "Starting, stopping"],
  ["idle", "Stopped"],
  ["unknown", "Not known"],
] as const;

function Legend() {
  return (
    <div className="legend">
      <ul>
        {legend.map(([tone, name]) => (
          <li key={tone}>
            <span aria-hidden="true" className="legend-mark">
              <span className="band" data-tone={tone} />
            </span>
            {name}
          </li>
        ))}
      </ul>
      <p>
        Uptime is the share of the time in which it ran, of the time in which it ran or had failed. A stop
        that was asked for, a start under way and what is not known count neither way.
      </p>
    </div>
  );
}
