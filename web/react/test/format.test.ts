import { describe, expect, test } from "vitest";
import { formatAge, formatUptime } from "../src/index.js";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;

describe("formatUptime", () => {
  test.each([
    [0, "0s"],
    [0.9, "0s"],
    [1, "1s"],
    [45, "45s"],
    [MINUTE - 0.1, "59s"],
    [MINUTE, "1m"],
    [12 * MINUTE + 59, "12m"],
    [HOUR - 1, "59m"],
    [HOUR, "1h"],
    [3 * HOUR + 4 * MINUTE, "3h 4m"],
    [3 * HOUR + 59, "3h"],
    [DAY - 1, "23h 59m"],
    [DAY, "1d"],
    [3 * DAY + 4 * HOUR + 59 * MINUTE, "3d 4h"],
    [WEEK - 1, "6d 23h"],
    [WEEK, "1w"],
    [2 * WEEK + 3 * DAY, "2w 3d"],
    [60 * WEEK + HOUR, "60w"],
    [-5, "0s"],
    [Number.NaN, "0s"],
  ])("%d seconds are %s", (seconds, text) => {
    expect(formatUptime(seconds)).toBe(text);
  });
});

describe("formatAge", () => {
  test.each([
    [0, "0 s ago"],
    [59.9, "59 s ago"],
    [MINUTE, "1 min ago"],
    [4 * MINUTE + 59, "4 min ago"],
    [3 * HOUR + 59 * MINUTE, "3 h ago"],
    [2 * DAY + HOUR, "2 d ago"],
    [5 * WEEK + 6 * DAY, "5 wk ago"],
    [-1, "0 s ago"],
  ])("%d seconds are %s", (seconds, text) => {
    expect(formatAge(seconds)).toBe(text);
  });
});
