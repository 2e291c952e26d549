/** Units from the largest to the smallest: their letter, and their length in seconds. */
const UNITS = [
  ["w", 604_800],
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
] as const;

/** The largest unit of a duration as the index into `UNITS`, and how many of it. */
function largest(seconds: number): readonly [index: number, count: number, rest: number] {
  // What is not a number, and what a clock that is behind makes of a moment ago, is no time at all.
  const whole = seconds > 0 ? Math.floor(seconds) : 0;
  const found = UNITS.findIndex(([, length]) => whole >= length);
  const index = found === -1 ? UNITS.length - 1 : found;
  const length = UNITS[index]?.[1] ?? 1;
  return [index, Math.floor(whole / length), whole % length];
}

/** How long something runs, in at most two units: `45s`, `12m`, `3h 4m`, `3d 4h`, `2w 3d`. */
export function formatUptime(seconds: number): string {
  const [index, count, rest] = largest(seconds);
  const text = `${count}${UNITS[index]?.[0]}`;
  const next = UNITS[index + 1];
  // Seconds beside minutes would only flicker.
  if (next === undefined || next[0] === "s") return text;
  const more = Math.floor(rest / next[1]);
  return more === 0 ? text : `${text} ${more}${next[0]}`;
}

const AGES = ["wk", "d", "h", "min", "s"] as const;

/** How old something is: `45 s ago`, `4 min ago`, `3 h ago`, `2 d ago`, `5 wk ago`. */
export function formatAge(seconds: number): string {
  const [index, count] = largest(seconds);
  return `${count} ${AGES[index]} ago`;
}
