import type { Band } from "../api/types";

/** What a band looks like. */
export type Tone = "ok" | "warn" | "bad" | "busy" | "idle" | "unknown" | "none";

export function toneOf({ state, health, code }: Pick<Band, "state" | "health" | "code">): Tone {
  switch (state) {
    case "running":
      if (health === "healthy") return "ok";
      if (health === "degraded") return "warn";
      return code === "health_check_failing" ? "bad" : "unknown";
    case "error":
      return "bad";
    case "starting":
    case "stopping":
      return "busy";
    case "stopped":
      return code && code !== "operator_override" && code !== "not_monitored" ? "bad" : "idle";
    case "unknown":
      return "unknown";
    default:
      return "none";
  }
}

/** A band's place on a line from 0 to 100. */
export interface Segment {
  readonly band: Band;
  readonly tone: Tone;
  readonly left: number;
  readonly width: number;
}

/** Trouble is never thinner than this, in hundredths of the line: a crash of ten seconds in a week must be seen. */
const thinnest = 0.35;

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/**
 * Places bands on a line from `from` to `to`.
 *
 * Bands of trouble that would be too thin to see grow to the right, over what follows, or to the left at the line's end.
 * They come last, so that they lie on top.
 */
export function segments(bands: readonly Band[], from: number, to: number): Segment[] {
  const length = to - from;
  if (!(length > 0)) return [];
  const place = (time: number) => clamp(((time - from) / length) * 100, 0, 100);
  const placed = bands.flatMap((band): Segment[] => {
    const start = place(Date.parse(band.from));
    const end = place(Date.parse(band.to));
    if (!(end >= start)) return [];
    const tone = toneOf(band);
    const width = tone === "bad" ? Math.max(end - start, thinnest) : end - start;
    if (width === 0) return [];
    return [{ band, tone, left: Math.min(start, 100 - width), width }];
  });
  return [
    ...placed.filter((segment) => segment.tone !== "bad"),
    ...placed.filter((segment) => segment.tone === "bad"),
  ];
}

/** The index of the band at a place of the line (0 to 1), or -1. */
export function bandAt(bands: readonly Band[], from: number, to: number, place: number): number {
  const time = from + (to - from) * clamp(place, 0, 1);
  return bands.findIndex((band) => Date.parse(band.from) <= time && time <= Date.parse(band.to));
}

/** A mark below the line. */
export interface Tick {
  readonly at: number;
  readonly left: number;
}

const hour = 3_600_000;

/**
 * Marks at round hours of the day, or at midnights where the line is longer than two days, in the person's own time zone.
 */
export function ticks(from: number, to: number): Tick[] {
  const days = to - from > 48 * hour;
  const step = days ? 24 : to - from > 12 * hour ? 4 : 1;
  const at = new Date(from);
  at.setMinutes(0, 0, 0);
  at.setHours(Math.ceil(at.getHours() / step) * step);
  const marks: Tick[] = [];
  // `setHours` and not a sum of milliseconds: days are not all of 24 hours.
  while (at.getTime() <= to) {
    const left = ((at.getTime() - from) / (to - from)) * 100;
    // What would be cut off at the end is left out.
    if (left >= 0 && left < 89) marks.push({ at: at.getTime(), left });
    at.setHours(at.getHours() + step);
  }
  return marks;
}
