import { describe, expect, test } from "vitest";
import { compareServers, needsAttention, troubleOf } from "../src/fleet/trouble";
import { because, server } from "./statuses";

describe("trouble", () => {
  test.each([
    ["running well", server(), "quiet"],
    ["degraded", server({ health: "degraded" }), "weak"],
    [
      "its own check fails",
      server({ health: "unhealthy", lastError: because("health_check_failing") }),
      "failed",
    ],
    ["its agent is silent", server({ health: "unhealthy", lastError: because("agent_unreachable") }), "lost"],
    ["the observer is blind", server({ health: "unknown", lastError: because("observer_blind") }), "lost"],
    ["in error", server({ state: "error", health: "unhealthy" }), "failed"],
    ["stopped as was asked for", server({ state: "stopped", health: "unknown" }), "quiet"],
    ["killed", server({ state: "stopped", health: "unknown", lastError: because("oom_killed") }), "failed"],
    [
      "stopped by an operator's word",
      server({ state: "stopped", health: "unknown", lastError: because("operator_override") }),
      "quiet",
    ],
    ["starting", server({ state: "starting", health: "unknown" }), "moving"],
    ["never observed", server({ state: "unknown", health: "unknown" }), "lost"],
    ["in error, and nobody has it watched", server({ state: "error", monitored: false }), "quiet"],
  ] as const)("%s", (_, status, trouble) => {
    expect(troubleOf(status)).toBe(trouble);
  });

  test("what is on its way needs nobody", () => {
    expect(["failed", "lost", "weak", "moving", "quiet"].map((t) => needsAttention(t as "failed"))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});

test("servers are in order of their trouble, then by name as people count", () => {
  const order = [
    server({ name: "z", state: "error" }),
    server({ name: "y", state: "unknown" }),
    server({ name: "x", health: "degraded" }),
    server({ name: "w", state: "starting" }),
    server({ name: "mcp-2" }),
    server({ name: "mcp-10" }),
    server({ name: "a", state: "stopped" }),
  ];
  expect([...order].reverse().sort(compareServers)).toEqual(order);
  expect([...order].sort(compareServers)).toEqual(order);
});

test("no two servers are equal", () => {
  const [a, b] = [server({ name: "same" }), server({ name: "same" })];
  expect(compareServers(a, b)).toBeLessThan(0);
  expect(compareServers(b, a)).toBeGreaterThan(0);
});
