import { describe, expect, test, vi } from "vitest";
import { type Api, ApiError } from "../src/api/http";
import { CommandDesk, expected } from "../src/commands/desk";
import { because, server } from "./statuses";

const command = (outcome: string, message?: string) => ({ command: { commandId: "c1", outcome, message } });

function desk(post: (path: string, options: { idempotencyKey?: string }) => Promise<unknown>, get = vi.fn()) {
  return new CommandDesk({ post, get } as unknown as Api);
}

const stopped = server({
  name: "mcp-github",
  state: "stopped",
  health: "unknown",
  lastError: because("exit_code"),
  version: 7,
});

describe("a command", () => {
  test("shows where it leads at once, and what came of it", async () => {
    let finish = (_: unknown) => {};
    const one = desk(() => new Promise((resolve) => (finish = resolve)));
    const done = one.run(stopped, "start");
    const pending = one.snapshot().pending.get(stopped.serverId);
    expect(expected(stopped, pending)).toMatchObject({ state: "starting", lastError: null });
    // Anything newer is the truth.
    const newer = { ...stopped, version: 8 };
    expect(expected(newer, pending)).toBe(newer);

    finish(command("succeeded"));
    await done;
    expect(one.snapshot().pending.size).toBe(0);
    expect(one.snapshot().notices).toMatchObject([{ tone: "ok", text: "mcp-github was started." }]);
    expect(expected(stopped, undefined)).toBe(stopped);
  });

  test.each([
    ["stop", "stopping"],
    ["restart", "stopping"],
    ["start", "starting"],
  ] as const)("%s leads to %s", (action, state) => {
    expect(expected(stopped, { action, version: 7 }).state).toBe(state);
  });

  test("to look leaves the state as it is", () => {
    expect(expected(stopped, { action: "refresh", version: 7 })).toBe(stopped);
  });

  test("that fails says why", async () => {
    const one = desk(async () => command("failed", "exit code 127: no such file"));
    await one.run(stopped, "start");
    expect(one.snapshot().notices).toMatchObject([
      { tone: "bad", text: "mcp-github was not started.", detail: "exit code 127: no such file" },
    ]);
  });

  test.each([
    [403, "only its owner"],
    [404, "does not exist"],
    [409, "Another command"],
  ])("that is refused with %d says why", async (status, words) => {
    const one = desk(() => Promise.reject(new ApiError(status, "internal words")));
    await one.run(stopped, "stop");
    expect(one.snapshot().notices[0]?.detail).toContain(words);
  });

  test("is waited for as long as it is under way", async () => {
    const get = vi.fn().mockResolvedValueOnce({ commandId: "c1", outcome: "under_way" });
    get.mockResolvedValueOnce({ commandId: "c1", outcome: "expired" });
    const one = desk(async () => command("under_way"), get);
    await one.run(stopped, "restart");
    expect(get).toHaveBeenCalledTimes(2);
    expect(one.snapshot().notices).toMatchObject([{ tone: "bad", detail: "It was not done in time." }]);
  });

  test("is sent again under the same key while the service is away, and given once at a time", async () => {
    vi.useFakeTimers();
    const keys: (string | undefined)[] = [];
    const one = desk(async (_, { idempotencyKey }) => {
      keys.push(idempotencyKey);
      if (keys.length < 3) throw new ApiError(503, "away");
      return command("succeeded");
    });
    const done = one.run(stopped, "start");
    one.run(stopped, "start");
    await vi.runAllTimersAsync();
    await done;
    vi.useRealTimers();
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  });

  test("of somebody who signed out is told to nobody", async () => {
    let finish = (_: unknown) => {};
    const one = desk(() => new Promise((resolve) => (finish = resolve)));
    const done = one.run(stopped, "start");
    one.forget();
    finish(command("succeeded"));
    await done;
    expect(one.snapshot()).toEqual({ pending: new Map(), notices: [] });
  });
});

test("only the last few notices stay", () => {
  const one = desk(vi.fn());
  for (let count = 1; count <= 6; count++) one.tell("bad", String(count));
  expect(one.snapshot().notices.map((notice) => notice.text)).toEqual(["3", "4", "5", "6"]);
  one.dismiss(one.snapshot().notices[0]?.id ?? -1);
  expect(one.snapshot().notices.map((notice) => notice.text)).toEqual(["4", "5", "6"]);
});
