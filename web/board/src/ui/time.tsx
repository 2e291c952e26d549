import { formatAge, useNow } from "@mcp-status/react";

const day = 86_400_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockWithSeconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const dayAndClock = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long", hourCycle: "h23" });

/** A time of today as 14:02, of another day with the day. */
export function clockTime(time: number, now = Date.now()): string {
  return sameDay(time, now) ? clock.format(time) : dayAndClock.format(time);
}

/** The same, with the seconds of today's. */
export function clockTimeExact(time: number, now = Date.now()): string {
  return sameDay(time, now) ? clockWithSeconds.format(time) : dayAndClock.format(time);
}

const sameDay = (a: number, b: number) =>
  Math.abs(a - b) < day && new Date(a).toDateString() === new Date(b).toDateString();

/** A time as it is read, with the whole of it on hover and for programs. */
export function Time({ at, seconds = false }: { readonly at: string | number; readonly seconds?: boolean }) {
  const time = typeof at === "number" ? at : Date.parse(at);
  if (Number.isNaN(time)) return null;
  return (
    <time dateTime={new Date(time).toISOString()} title={exact.format(time)}>
      {(seconds ? clockTimeExact : clockTime)(time)}
    </time>
  );
}

/** How long ago, going on by itself. */
export function Ago({ at }: { readonly at: string | number }) {
  const time = typeof at === "number" ? at : Date.parse(at);
  const age = useNow(1000) - time;
  const text = age < 5000 ? "just now" : formatAge(age / 1000);
  return (
    <time dateTime={new Date(time).toISOString()} title={exact.format(time)}>
      {text}
    </time>
  );
}

/** How old, going on by itself. */
export function Age({ since }: { readonly since: number }) {
  return formatDuration((useNow(1000) - since) / 1000);
}

/** How long, in words of two units at most: `under a second`, `12 s`, `3 min`, `4 h 10 min`, `2 d 3 h`. */
export function formatDuration(seconds: number): string {
  if (seconds < 1) return "under 1 s";
  const units: readonly (readonly [number, string])[] = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const whole = Math.floor(seconds);
  const index = units.findIndex(([length]) => whole >= length);
  const [length, unit] = units[index] ?? [1, "s"];
  const [nextLength, nextUnit] = units[index + 1] ?? [1, "s"];
  const rest = Math.floor((whole % length) / nextLength);
  return rest > 0 && length > 60
    ? `${Math.floor(whole / length)} ${unit} ${rest} ${nextUnit}`
    : `${Math.floor(whole / length)} ${unit}`;
}
