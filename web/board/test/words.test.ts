import { describe, expect, test } from "vitest";
import { favicon } from "../src/app/favicon";
import { countTroubles, headline, troubleWords } from "../src/fleet/summary";
import { notNow } from "../src/server/actions";
import { sentence, stateWords, whyWords } from "../src/server/words";
import { formatDuration } from "../src/ui/time";
import { because, server } from "./statuses";

test.each([
  [server(), "Running and healthy."],
  [
    server({ health: "degraded", lastError: because("health_check_starting") }),
    "Running, but degraded because its own health check has not passed yet.",
  ],
  [
    server({ state: "stopped", health: "unknown", lastError: because("oom_killed") }),
    "Stopped because it ran out of memory and was killed.",
  ],
  [server({ state: "stopped", health: "unknown" }), "Stopped, as was asked for."],
  [server({ state: "unknown", health: "unknown", asOf: null }), "Not observed yet."],
  [server({ state: "error", lastError: because("a_code_of_next_year") }), "In error."],
])("a server in a sentence: %#", (status, text) => {
  expect(sentence(status)).toBe(text);
});

describe("changes", () => {
  test("name the health only where it says something", () => {
    expect(stateWords("running", "healthy")).toBe("Running");
    expect(stateWords("running", "degraded")).toBe("Running, degraded");
    expect(stateWords("stopped", "unknown")).toBe("Stopped");
    expect(stateWords(undefined, undefined)).toBe("Not observed");
  });

  test("say why in our words and in those it came with, and neither twice", () => {
    expect(whyWords(because("exit_code", "exit code 2"))).toBe("Its process ended by itself: exit code 2");
    expect(whyWords(because("paused", "the container is paused"))).toBe("Its container is paused");
    expect(whyWords(because("a_code_of_next_year", "something new"))).toBe("something new");
  });
});

describe("the headline", () => {
  const failed = server({ state: "error" });
  test.each([
    [[server()], "Your server is well."],
    [[server(), server()], "Both servers are well."],
    [[server(), server(), server()], "All 3 servers are well."],
    [[failed], "Your server needs attention."],
    [[failed, server()], "1 of 2 servers needs attention."],
    [[failed, failed], "All servers need attention."],
  ])("%#", (servers, text) => {
    expect(headline(countTroubles(servers))).toBe(text);
  });

  test("is followed by what the trouble is", () => {
    const counts = countTroubles([
      failed,
      server({ state: "unknown" }),
      server({ state: "starting" }),
      server(),
    ]);
    expect(troubleWords(counts)).toBe("1 failed, 1 not heard from, 1 starting or stopping.");
    expect(troubleWords(countTroubles([server()]))).toBe("");
  });
});

test.each([
  [0.4, "under 1 s"],
  [59.9, "59 s"],
  [185, "3 min"],
  [3600, "1 h"],
  [15_000, "4 h 10 min"],
  [183_600, "2 d 3 h"],
])("%d seconds: %s", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

test("a command that makes no sense says why", () => {
  const running = server();
  const stopped = server({ state: "stopped" });
  expect(notNow("start", running)).toBe("It runs already");
  expect(notNow("stop", running)).toBeUndefined();
  expect(notNow("start", stopped)).toBeUndefined();
  expect(notNow("restart", stopped)).toBe("It is stopped");
  expect(notNow("refresh", stopped)).toBeUndefined();
  const command = { action: "stop", commandId: "c", deadline: "", requestedAt: "" } as const;
  expect(notNow("restart", server({ command }))).toBe("A stop is under way");
});

test("the icon tells the number of troubles", () => {
  expect(decodeURIComponent(favicon(0))).not.toContain("<text");
  expect(decodeURIComponent(favicon(7))).toContain(">7</text>");
  expect(decodeURIComponent(favicon(1000))).toContain(">99</text>");
});
