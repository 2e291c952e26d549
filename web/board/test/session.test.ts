import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SessionKeeper, signInProblem, takeCode } from "../src/session/session";

const now = Date.parse("2026-11-28T12:00:00Z");
const people: Record<string, object> = {
  "token-a": { role: "user", accountId: "a", actor: "a", expiresAt: new Date(now + 60_000).toISOString() },
  "token-a2": { role: "user", accountId: "a", actor: "a", expiresAt: new Date(now + 999_000).toISOString() },
  "token-b": { role: "user", accountId: "b", actor: "b", expiresAt: new Date(now + 999_000).toISOString() },
};
const requests: { path: string; headers: Headers; body: unknown }[] = [];
let codes = new Map<string, string>();
let isDown = false;

const answer = (status: number, body: unknown) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/problem+json" } });

function service(input: string, init: RequestInit): Response {
  const headers = new Headers(init.headers);
  requests.push({ path: input, headers, body: init.body });
  if (isDown) return answer(503, { detail: "The database is away." });
  if (input.endsWith("/v1/sign-ins/redeem")) {
    const { code } = JSON.parse(String(init.body)) as { code: string };
    const token = codes.get(code);
    codes.delete(code);
    return token ? answer(200, { token, expiresAt: "" }) : answer(404, { detail: "There is no such code." });
  }
  const person = people[headers.get("authorization")?.replace("Bearer ", "") ?? ""];
  return person ? answer(200, person) : answer(401, { detail: "The token is not taken." });
}

function keeper(onForget = () => {}) {
  const kept = new Map<string, string>();
  const store = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  };
  return { keeper: new SessionKeeper("https://api.test", store, onForget), kept, store };
}

beforeEach(() => {
  vi.useFakeTimers({ now });
  vi.stubGlobal("fetch", async (input: string, init: RequestInit) => service(input, init));
  requests.length = 0;
  codes = new Map([["code-1", "token-a"]]);
  isDown = false;
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("signing in", () => {
  test("by a link works once, and the tab remembers the token", async () => {
    const { keeper: one, store } = keeper();
    await one.begin("code-1");
    expect(one.snapshot()).toMatchObject({ phase: "in", me: { actor: "a" } });
    expect(one.token()).toBe("token-a");

    const reloaded = new SessionKeeper("https://api.test", store);
    await reloaded.begin(undefined);
    expect(reloaded.snapshot().phase).toBe("in");

    const { keeper: other } = keeper();
    await other.begin("code-1");
    expect(other.snapshot()).toMatchObject({ phase: "out", notice: expect.stringContaining("used before") });
  });

  test("by a used link changes nothing for who is signed in", async () => {
    const { keeper: one, kept } = keeper();
    kept.set("mcp-status.token", "token-b");
    await one.begin("used");
    expect(one.snapshot()).toMatchObject({ phase: "in", me: { actor: "b" } });
  });

  test("with a wrong token says so and keeps nothing", async () => {
    const { keeper: one, kept } = keeper();
    await one.begin(undefined);
    const error = await one.signIn("wrong").catch((error: unknown) => error);
    expect(signInProblem(error)).toContain("not taken");
    expect(one.snapshot()).toEqual({ phase: "out" });
    expect(kept.size).toBe(0);
  });

  test("puts no token and no code into an address", async () => {
    const { keeper: one } = keeper();
    await one.begin("code-1");
    for (const { path } of requests) expect(path).not.toMatch(/token-|code-/);
  });

  test("waits for a service that is away, and keeps the token meanwhile", async () => {
    const { keeper: one, kept } = keeper();
    kept.set("mcp-status.token", "token-a");
    isDown = true;
    await one.begin(undefined);
    expect(one.snapshot()).toEqual({ phase: "unreachable", message: "The database is away." });
    isDown = false;
    await one.begin(undefined);
    expect(one.snapshot().phase).toBe("in");
  });

  test("with a token of yesterday asks for another", async () => {
    const { keeper: one, kept } = keeper();
    kept.set("mcp-status.token", "too-old");
    await one.begin(undefined);
    expect(one.snapshot()).toMatchObject({ phase: "out", notice: expect.stringContaining("ended") });
    expect(kept.size).toBe(0);
  });
});

describe("the end of a token", () => {
  test("is noticed when it comes, and forgets nothing that is shown", async () => {
    const forget = vi.fn();
    const { keeper: one, kept } = keeper(forget);
    await one.signIn("token-a");
    vi.advanceTimersByTime(59_000);
    expect(one.snapshot().phase).toBe("in");
    vi.advanceTimersByTime(1_000);
    expect(one.snapshot()).toMatchObject({ phase: "expired", me: { actor: "a" } });
    expect(one.token()).toBeUndefined();
    expect(kept.size).toBe(0);

    await one.signIn("token-a2");
    expect(one.snapshot().phase).toBe("in");
    expect(forget).not.toHaveBeenCalled();
  });

  test("and then somebody else: all that was shown is forgotten before he is let in", async () => {
    const phases: string[] = [];
    const { keeper: one } = keeper(() => phases.push(one.snapshot().phase));
    await one.signIn("token-a");
    one.refuse("token-a");
    await one.signIn("token-b");
    expect(phases).toEqual(["expired"]);
    expect(one.snapshot()).toMatchObject({ phase: "in", me: { actor: "b" } });
  });

  test("of one that was replaced ends nothing", async () => {
    const { keeper: one } = keeper();
    await one.signIn("token-a");
    one.refuse("token-a");
    await one.signIn("token-a2");
    one.refuse("token-a");
    vi.advanceTimersByTime(60_000);
    expect(one.snapshot().phase).toBe("in");
  });

  test("is also what a refused request is", async () => {
    const { keeper: one } = keeper();
    await one.signIn("token-a");
    vi.stubGlobal("fetch", async () => answer(401, { detail: "The token has expired." }));
    await expect(one.api.get("/v1/fleet")).rejects.toMatchObject({ status: 401 });
    expect(one.snapshot().phase).toBe("expired");
  });
});

test("signing out forgets everything", async () => {
  const forget = vi.fn();
  const { keeper: one, kept } = keeper(forget);
  await one.signIn("token-a");
  one.signOut();
  expect(one.snapshot()).toEqual({ phase: "out" });
  expect(one.token()).toBeUndefined();
  expect(kept.size).toBe(0);
  expect(forget).toHaveBeenCalledOnce();
});

test("a link's code is taken out of the address, and nothing else is", () => {
  history.replaceState(null, "", "/servers/1?q=x#code=abc");
  expect(takeCode(location, history)).toBe("abc");
  expect(location.href).toMatch(/\/servers\/1\?q=x$/);
  expect(takeCode(location, history)).toBeUndefined();
});
