import { describe, expect, it } from "vitest";
import { type ConnectionState, knownSince, reasonOf, type ServerStatus, uptimeOf } from "../src/index.js";
import { statusEvent } from "./notifier.js";

const NOW = Date.parse("2026-11-28T12:00:00Z");
const HOUR = 3_600_000;
const ago = (ms: number) => new Date(NOW - ms).toISOString();

const status = (more: object): ServerStatus =>
  statusEvent("a", 1, { asOf: ago(HOUR), ...more }) as ServerStatus;
const connection = (more: Partial<ConnectionState>): ConnectionState => ({
  ...{ phase: "live", transport: "websocket", since: 0, currentUntil: NOW, stale: false },
  ...{ retryAt: undefined, reason: undefined, ...more },
});
const because = (code: string, message = "") => ({ lastError: { code, message, at: ago(0) } });

describe("how old the knowledge is", () => {
  const lost = connection({ phase: "waiting", stale: true, currentUntil: NOW - 1000 });
  it.each([
    ["what has not aged is true now, however old its event", status({}), connection({}), 0],
    [
      "also a state that is not healthy, and was observed",
      status({ state: "stopped", health: "unknown" }),
      connection({}),
      0,
    ],
    [
      "what the agent's silence has aged is as old as its report",
      status(because("agent_unreachable")),
      connection({}),
      HOUR,
    ],
    ["so is what nobody has watched", status({ monitored: false }), connection({}), HOUR],
    ["and what is unknown", status({ state: "unknown" }), connection({}), HOUR],
    [
      "unless it was heard and not understood",
      status({ state: "unknown", ...because("unknown_status") }),
      connection({}),
      0,
    ],
    ["without a connection nothing is newer than that", status({}), lost, 1000],
    ["and what was old stays old", status(because("observer_blind")), lost, HOUR],
    [
      "what came before the first live moment is as old as its report",
      status({}),
      connection({ phase: "connecting", currentUntil: undefined }),
      HOUR,
    ],
  ])("%s", (_, of, by, age) => {
    expect(NOW - (knownSince(of, by, NOW) ?? Number.NaN)).toBe(age);
  });

  it("nothing is known of what was never observed", () => {
    expect(knownSince(status({ state: "unknown", asOf: undefined }), connection({}), NOW)).toBeUndefined();
  });
});

it("counts uptime from the start, and only while it runs", () => {
  expect(uptimeOf(status({ lastStarted: ago(90_500) }), NOW)).toBe(90);
  expect(uptimeOf(status({ lastStarted: ago(-5_000) }), NOW)).toBe(0);
  expect(uptimeOf(status({ lastStarted: ago(1), state: "stopped" }), NOW)).toBeUndefined();
  expect(uptimeOf(status({}), NOW)).toBeUndefined();
});

it.each([
  [status({}), undefined],
  [status(because("exit_code", "exit code 137 (out of memory)")), "Exit code 137 (out of memory)."],
  [status(because("agent_unreachable", "no answer!")), "No answer!"],
  [status({ state: "starting", command: { action: "start" } }), "A start is being carried out."],
  [status({ state: "unknown" }), "It was never observed."],
])("says why in a sentence: %#", (of, reason) => {
  expect(reasonOf(of)).toBe(reason);
});
