import { describe, expect, test } from "vitest";
import type { Band } from "../src/api/types";
import { bandAt, segments, ticks, toneOf } from "../src/server/timeline";
import { formatUptimeShare } from "../src/server/uptime";
import { sparkline } from "../src/ui/sparkline";

const hour = 3_600_000;
const from = Date.parse("2026-11-27T12:00:00Z");
const to = from + 24 * hour;
const at = (hours: number) => new Date(from + hours * hour).toISOString();
const band = (start: number, end: number, given: Partial<Band> = {}): Band => ({
  from: at(start),
  to: at(end),
  state: "running",
  health: "healthy",
  ...given,
});

test.each([
  ["ok", { state: "running", health: "healthy" }],
  ["warn", { state: "running", health: "degraded" }],
  ["bad", { state: "running", health: "unhealthy", code: "health_check_failing" }],
  // Silence is no failure: nobody knows.
  ["unknown", { state: "running", health: "unhealthy", code: "agent_unreachable" }],
  ["bad", { state: "error", health: "unhealthy" }],
  ["busy", { state: "starting" }],
  ["busy", { state: "stopping" }],
  ["idle", { state: "stopped" }],
  ["idle", { state: "stopped", code: "operator_override" }],
  ["bad", { state: "stopped", code: "exit_code" }],
  ["unknown", { state: "unknown" }],
  ["none", {}],
] as const)("%s: %o", (tone, given) => {
  expect(toneOf(given)).toBe(tone);
});

describe("the places of bands", () => {
  test("are shares of the line", () => {
    expect(segments([band(0, 6), band(6, 24, { health: "degraded" })], from, to)).toMatchObject([
      { tone: "ok", left: 0, width: 25 },
      { tone: "warn", left: 25, width: 75 },
    ]);
  });

  test("are cut off at the line's ends", () => {
    expect(segments([band(-5, 12), band(12, 30)], from, to)).toMatchObject([
      { left: 0, width: 50 },
      { left: 50, width: 50 },
    ]);
  });

  test("show trouble however short it was, on top, and inside of the line", () => {
    const crash = band(23.999, 24, { state: "error" });
    const [well, bad] = segments([crash, band(0, 23.999)], from, to);
    expect(well).toMatchObject({ tone: "ok" });
    expect(bad?.tone).toBe("bad");
    expect(bad?.width).toBeGreaterThan(0.3);
    expect((bad?.left ?? 0) + (bad?.width ?? 0)).toBeCloseTo(100);
  });

  test("there are none on a line of no length, and for a band of no length", () => {
    expect(segments([band(0, 6)], from, from)).toEqual([]);
    expect(segments([band(6, 6)], from, to)).toEqual([]);
  });

  test("are found by pointing at them", () => {
    const bands = [band(0, 6), band(6, 12), band(13, 24)];
    expect(bandAt(bands, from, to, 0.1)).toBe(0);
    expect(bandAt(bands, from, to, 0.4)).toBe(1);
    expect(bandAt(bands, from, to, 0.52)).toBe(-1);
    expect(bandAt(bands, from, to, 7)).toBe(2);
  });
});

describe("marks", () => {
  test("are at every fourth hour of a day", () => {
    const marks = ticks(from, to);
    expect(marks.length).toBeGreaterThanOrEqual(5);
    for (const mark of marks) expect(new Date(mark.at).getHours() % 4).toBe(0);
    expect(new Set(marks.map((mark) => mark.at)).size).toBe(marks.length);
  });

  test("are at the midnights of a week, within the line", () => {
    const marks = ticks(to - 168 * hour, to);
    expect(marks.length).toBeGreaterThanOrEqual(6);
    for (const mark of marks) {
      expect(new Date(mark.at).getHours()).toBe(0);
      expect(mark.left).toBeGreaterThanOrEqual(0);
      expect(mark.left).toBeLessThan(89);
    }
  });
});

test.each([
  [1, "100%"],
  [0.999999, "99.999%"],
  [0.99995, "99.995%"],
  [0.9995, "99.95%"],
  [0.99, "99.0%"],
  [0.5, "50.0%"],
  [0, "0.0%"],
])("an uptime of %d is %s", (share, text) => {
  expect(formatUptimeShare(share)).toBe(text);
});

test("a sparkline stands on zero and is as high as its highest value", () => {
  expect(sparkline([0, 2, 1])?.line).toBe("M0 100L50 0L100 50");
  expect(sparkline([0, 0])?.line).toBe("M0 100L100 100");
  expect(sparkline([5])).toBeUndefined();
});
