import { beforeEach, describe, expect, it } from "vitest";
import type { Scope } from "../src/book.js";
import { Core } from "../src/core.js";
import type { CoreOptions, Effect, Event } from "../src/events.js";
import type { StreamMessage } from "../src/generated/stream.js";
import { statusEvent } from "./notifier.js";

const START = 1_800_000_000_000;
const OPTIONS: CoreOptions = {
  transports: ["websocket", "sse", "polling"],
  pauseHiddenAfter: 30_000,
  random: () => 1,
};

let core: Core;
let now: number;
let asked: number;
let effects: Effect[];

function happens(event: Event): Effect[] {
  effects = core.handle(event, now);
  for (const effect of effects) if (effect.type === "ask_token") asked = effect.asked;
  return effects;
}

/** Time passes as timers see it: ticks come when they were asked for. */
function pass(ms: number): Effect[] {
  const until = now + ms;
  const all: Effect[] = [];
  for (;;) {
    const at = core.wakeAt(now);
    if (at === undefined || at > until) break;
    now = Math.max(now, at);
    all.push(...happens({ type: "tick" }));
    // One that is due at once and does nothing would never end.
    if (all.length > 10_000) throw new Error("ticks without end");
  }
  now = until;
  return all;
}

/** Time passes on a connection that gives signs of life. */
function beat(ms: number): Effect[] {
  const all: Effect[] = [];
  for (let left = ms; left > 0; left -= 5_000) {
    all.push(...pass(Math.min(left, 5_000)));
    happens({ type: "heard" });
  }
  return all;
}

const scope = (servers: string[] | "all", toolboxes = false): Scope => ({
  all: servers === "all",
  toolboxes,
  servers: new Set(servers === "all" ? [] : servers),
});
const want = (...servers: string[]) => happens({ type: "want", wanted: scope(servers) });
const token = (value: string | null | undefined) => happens({ type: "token", asked, token: value });
const told = (...messages: StreamMessage[]) =>
  messages.flatMap((message) => happens({ type: "message", message }));
const closed = (code?: number, retryAfterMs?: number) =>
  happens({
    type: "closed",
    ...(code !== undefined && { code }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
const hello = (seconds = 3600): StreamMessage => ({
  type: "hello",
  protocol: "mcp-status.v1",
  pingSeconds: 30,
  expiresAt: new Date(now + seconds * 1000).toISOString(),
});
const state: (ids: string[], version?: number) => StreamMessage[] = (ids, version = 1) => [
  { type: "subscribed", servers: ids },
  { type: "snapshot" },
  ...ids.map((id): StreamMessage => ({ type: "status", cursor: "1.1", event: statusEvent(id, version) })),
  { type: "present", cursor: "1.1" },
];
const types = (list: Effect[]) =>
  list.map((effect) => (effect.type === "send" ? effect.message.type : effect.type));
const phase = () => core.state.phase;

/** A JWT, as far as the client reads it. */
const jwt = (sub: string, more = "") => `h.${btoa(JSON.stringify({ sub }))}.${more}`;

function live(seconds = 3600): void {
  want("a");
  token(jwt("anna"));
  happens({ type: "open" });
  told(hello(seconds), ...state(["a"]));
  expect(phase()).toBe("live");
}

beforeEach(() => {
  now = START;
  core = new Core(OPTIONS);
});

describe("connecting", () => {
  it("asks for a token, opens, says who it is, subscribes, and is live when all has been told", () => {
    expect(phase()).toBe("idle");
    expect(want("a", "b")).toEqual([{ type: "ask_token", reason: "connect", asked: 1 }]);
    expect(token("secret")).toEqual([{ type: "open", transport: "websocket", token: "secret" }]);
    expect(happens({ type: "open" })).toEqual([{ type: "send", message: { type: "auth", token: "secret" } }]);
    expect(phase()).toBe("connecting");
    const subscribe = { type: "subscribe", servers: ["a", "b"] };
    expect(told(hello())).toEqual([{ type: "send", message: subscribe }]);
    told(...state(["a", "b"]).slice(0, -1));
    expect(core.state).toMatchObject({ phase: "connecting", stale: false });
    told({ type: "present", cursor: "1.1" });
    expect(core.state).toMatchObject({
      phase: "live",
      transport: "websocket",
      stale: false,
      currentUntil: now,
    });
  });

  it("holds nothing while nobody watches", () => {
    live();
    expect(types(want())).toEqual(["shut"]);
    expect(core.state).toMatchObject({ phase: "idle", stale: false, currentUntil: undefined });
    expect(core.wakeAt(now)).toBeUndefined();
    expect(core.book.isEmpty).toBe(true);
  });

  it("gives up an attempt that is not answered", () => {
    want("a");
    token("t");
    expect(types(pass(9_999))).toEqual([]);
    expect(types(pass(1))).toEqual(["shut"]);
    expect(phase()).toBe("waiting");
  });

  it("resumes with its cursor, and asks for what it does not cover without", () => {
    live();
    want("a", "b");
    closed(1006);
    pass(500);
    happens({ type: "open" });
    expect(told(hello()).map((effect) => effect.type === "send" && effect.message)).toEqual([
      { type: "subscribe", servers: ["a"], cursor: "1.1" },
      { type: "subscribe", servers: ["b"] },
    ]);
  });
});

describe("losing it", () => {
  it("waits longer each time, by chance, up to half a minute, and at once when the network is back", () => {
    core = new Core({ ...OPTIONS, transports: ["websocket"] });
    live();
    pass(10_000);
    closed(1006);
    expect(core.state).toMatchObject({ phase: "waiting", retryAt: now + 500, stale: true });
    const waits: number[] = [];
    for (let n = 0; n < 9; n++) {
      pass((core.state.retryAt ?? now) - now);
      expect(phase()).toBe("connecting");
      closed(1006);
      waits.push((core.state.retryAt ?? 0) - now);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000]);
    expect(types(happens({ type: "online" }))).toEqual(["open"]);
  });

  it("takes the server at its word about when to come back", () => {
    live();
    told({ type: "bye", code: 1012, reason: "restart", retryAfterMs: 3210 });
    expect(core.state).toMatchObject({ phase: "waiting", retryAt: now + 3210, reason: "restart" });
    expect(types(pass(3209))).toEqual([]);
    expect(types(pass(1))).toEqual(["open"]);
  });

  it("knows until when what it shows was certainly true", () => {
    live();
    pass(5_000);
    told({ type: "status", cursor: "1.2", event: statusEvent("a", 2) });
    const heard = now;
    pass(4_000);
    closed(1006);
    expect(core.state).toMatchObject({ currentUntil: heard, stale: true });
  });

  it("shows a source that is away, and its return", () => {
    live();
    pass(1000);
    told({ type: "stale" });
    expect(core.state).toMatchObject({ phase: "stale", stale: true, currentUntil: now });
    told({ type: "current", cursor: "1.9" });
    expect(core.state).toMatchObject({ phase: "live", stale: false });
  });

  it("is stale during a reset, and live after its snapshot", () => {
    live();
    told({ type: "reset", reason: "rewound" });
    expect(core.state).toMatchObject({ phase: "connecting", stale: true });
    told(...state(["a"], 1));
    expect(phase()).toBe("live");
  });
});

describe("silence", () => {
  it("is broken by a ping, and is the end when that is not answered", () => {
    live();
    expect(types(pass(14_999))).toEqual([]);
    expect(types(pass(1))).toEqual(["ping"]);
    told({ type: "pong" });
    expect(types(pass(15_000))).toEqual(["ping"]);
    const heard = now - 15_000;
    expect(types(pass(9_999))).toEqual([]);
    expect(types(pass(1))).toEqual(["shut", "open"]);
    expect(core.state).toMatchObject({ phase: "connecting", stale: true, currentUntil: heard });
    expect(core.state.reason).toBe("nothing was heard any more");
    happens({ type: "open" });
    told(hello());
    // It is there again: that it was lost explains nothing any more.
    expect(core.state).toMatchObject({ phase: "connecting", reason: undefined });
  });

  it("of an event stream is the end after two signs of life that did not come", () => {
    core = new Core({ ...OPTIONS, transports: ["sse"] });
    want("a");
    token("t");
    told(hello(), ...state(["a"]));
    pass(30_000);
    happens({ type: "heard" });
    expect(types(pass(64_999))).toEqual([]);
    expect(types(pass(1))).toEqual(["shut", "open"]);
  });

  it.each(["tick", "message"] as const)("a computer that slept notices at once, by a %s", (type) => {
    live();
    core.wakeAt(now);
    const heard = now;
    now += 3_600_000;
    const event: Event = type === "tick" ? { type } : { type, message: { type: "pong" } };
    // Its token has ended meanwhile.
    expect(types(happens(event))).toEqual(["shut", "ask_token"]);
    expect(core.state).toMatchObject({ phase: "connecting", stale: true, currentUntil: heard });
  });
});

describe("tokens", () => {
  it("are renewed by `auth`, and then have another end", () => {
    live(100);
    const quiet = (ms: number) => beat(ms).filter((effect) => effect.type === "ask_token");
    expect(quiet(45_000)).toEqual([]);
    expect(quiet(5_000)).toEqual([{ type: "ask_token", reason: "expiring", asked: 2 }]);
    // It takes its time, and is not asked twice.
    expect(quiet(20_000)).toEqual([]);
    expect(token(jwt("anna", "2"))).toEqual([
      { type: "send", message: { type: "auth", token: jwt("anna", "2") } },
    ]);
    expect(types(told(hello(100)))).toEqual([]);
    expect(phase()).toBe("live");
    expect(quiet(45_000)).toEqual([]);
    expect(quiet(5_000)).toHaveLength(1);
  });

  it("that are refused are asked for again, once, and then nobody is signed in until `resume`", () => {
    want("a");
    token("old");
    happens({ type: "open" });
    expect(told({ type: "bye", code: 4401, reason: "unauthorized" })).toEqual([
      { type: "shut" },
      { type: "ask_token", reason: "refused", asked: 2 },
    ]);
    expect(token("old")).toEqual([]);
    expect(core.state).toMatchObject({ phase: "signed_out" });
    expect(pass(600_000)).toEqual([]);
    expect(happens({ type: "resume" })).toMatchObject([{ type: "ask_token", reason: "connect" }]);
    expect(types(token("new"))).toEqual(["open"]);
  });

  it("that go on being refused end in signing out, however new they are", () => {
    want("a");
    for (let n = 0; n < 3; n++) {
      token(`t${n}`);
      closed(4401);
      pass(60_000);
    }
    expect(phase()).toBe("signed_out");
  });

  it("that end as soon as they are taken are not asked for without a pause", () => {
    live();
    pass(1_000);
    expect(types(told({ type: "bye", code: 4401, reason: "token_expired" }))).toEqual(["shut"]);
    expect(core.state).toMatchObject({ phase: "waiting", retryAt: now + 500 });
    expect(types(pass(500))).toEqual(["ask_token"]);
  });

  it("are not renewed by a clock that is wrong", () => {
    live(-600);
    expect(beat(120_000).filter((effect) => effect.type === "ask_token")).toEqual([]);
  });

  it("that end on the open connection are replaced at once", () => {
    live();
    beat(20_000);
    expect(types(told({ type: "bye", code: 4401, reason: "token_expired" }))).toEqual(["shut", "ask_token"]);
    expect(types(token(jwt("anna", "2")))).toEqual(["open"]);
  });

  it("that are `null` say that nobody is signed in", () => {
    want("a");
    expect(token(null)).toEqual([]);
    expect(phase()).toBe("signed_out");
  });

  it("that cannot be had are asked for again after a while", () => {
    want("a");
    token(undefined);
    expect(core.state).toMatchObject({ phase: "waiting", retryAt: now + 500 });
    expect(types(pass(500))).toEqual(["ask_token"]);
  });

  it("of somebody else show nothing of the first one", () => {
    live();
    beat(20_000);
    closed(4401);
    expect(core.book.servers()).toHaveLength(1);
    token(jwt("bert"));
    expect(core.book.servers()).toHaveLength(0);
    happens({ type: "open" });
    const [first] = told(hello());
    expect(first).toEqual({ type: "send", message: { type: "subscribe", servers: ["a"] } });
    told({ type: "bye", code: 4403, reason: "another_account" });
    expect(core.book.isEmpty).toBe(true);
  });

  it("that were asked for before signing out come too late", () => {
    want("a");
    const former = asked;
    expect(types(happens({ type: "sign_out" }))).toEqual([]);
    happens({ type: "resume" });
    expect(happens({ type: "token", asked: former, token: jwt("anna") })).toEqual([]);
    expect(types(token(jwt("bert")))).toEqual(["open"]);
  });

  it("signing out forgets everything at once", () => {
    live();
    expect(types(happens({ type: "sign_out" }))).toEqual(["shut"]);
    expect(core.book.isEmpty).toBe(true);
    expect(core.state).toMatchObject({ phase: "signed_out", stale: false, currentUntil: undefined });
  });
});

describe("transports", () => {
  const opened = (list: Effect[]) =>
    list.flatMap((effect) => (effect.type === "open" ? [effect.transport] : []));

  it("fall back after two failures in a row, all the way and around", () => {
    want("a");
    const tried = opened(token("t"));
    for (let n = 0; n < 6; n++) {
      tried.push(...opened(closed()), ...opened(pass((core.state.retryAt ?? now) - now)));
    }
    expect(tried).toEqual(["websocket", "websocket", "sse", "sse", "polling", "polling", "websocket"]);
  });

  it("stay when the server itself refuses", () => {
    want("a");
    const tried = opened(token("t"));
    for (let n = 0; n < 3; n++) {
      closed(1013, 1000);
      tried.push(...opened(pass((core.state.retryAt ?? now) - now)));
    }
    expect(tried).toEqual(["websocket", "websocket", "websocket", "websocket"]);
  });

  it("the better one is looked for beside the one that works, and taken when it can be had", () => {
    want("a");
    token("t");
    closed();
    pass(500);
    closed();
    pass(1000);
    told(hello(), ...state(["a"]));
    expect(core.state).toMatchObject({ phase: "live", transport: "sse" });
    expect(types(beat(25_000))).toEqual([]);
    expect(types(beat(5_000))).toEqual(["probe"]);
    happens({ type: "probed", works: false });
    expect(core.state).toMatchObject({ phase: "live", transport: "sse" });
    expect(types(beat(55_000))).toEqual([]);
    expect(types(beat(5_000))).toEqual(["probe"]);
    expect(happens({ type: "probed", works: true })).toEqual([
      { type: "shut" },
      { type: "open", transport: "websocket", token: "t" },
    ]);
  });

  it("that cannot be asked are opened again for what they do not tell, and not for less", () => {
    core = new Core({ ...OPTIONS, transports: ["sse"] });
    want("a", "b");
    const [first] = token("t");
    expect(first).toMatchObject({ opening: { servers: new Set(["a", "b"]), cursor: undefined } });
    told(hello(), ...state(["a", "b"]));
    expect(want("a")).toEqual([]);
    const [shut, again] = want("a", "c");
    expect([shut?.type, again?.type]).toEqual(["shut", "open"]);
    expect(again).toMatchObject({ opening: { servers: new Set(["a", "c"]), cursor: undefined } });
    expect(core.book.get("a")?.status).toBeDefined();
    const many = Array.from({ length: 101 }, (_, n) => `s${n}`);
    told(hello(), ...state(["a", "c"]));
    expect(want(...many)[1]).toMatchObject({ opening: { all: true } });
  });
});

describe("a page that nobody sees", () => {
  it("lets go after a while, and is there at once when it is seen", () => {
    live();
    happens({ type: "visible", visible: false });
    for (const ms of [14_000, 14_000, 1_999]) {
      expect(types(pass(ms))).toEqual([]);
      told({ type: "pong" });
    }
    expect(types(pass(1))).toEqual(["shut"]);
    expect(core.state).toMatchObject({ phase: "paused", stale: true });
    expect(core.wakeAt(now)).toBeUndefined();
    expect(types(happens({ type: "visible", visible: true }))).toEqual(["open"]);
  });

  it("keeps its connection when it is told to", () => {
    core = new Core({ ...OPTIONS, pauseHiddenAfter: false });
    live();
    happens({ type: "visible", visible: false });
    pass(14_000);
    told({ type: "pong" });
    pass(14_000);
    expect(phase()).toBe("live");
  });

  it("does not trust a connection that was silent meanwhile", () => {
    core = new Core({ ...OPTIONS, pauseHiddenAfter: false });
    live();
    happens({ type: "visible", visible: false });
    core.wakeAt(now);
    // Timers of hidden pages are late.
    now += 45_000;
    expect(types(happens({ type: "visible", visible: true }))).toEqual(["shut", "open"]);
    expect(core.state.stale).toBe(true);
  });
});

it("what is closed does nothing more", () => {
  live();
  expect(types(happens({ type: "close" }))).toEqual(["shut"]);
  expect(phase()).toBe("closed");
  for (const event of [{ type: "resume" }, { type: "online" }, { type: "tick" }] as const) {
    expect(happens(event)).toEqual([]);
  }
  expect(core.wakeAt(now)).toBeUndefined();
});

it("a state that is not told to its end is asked for again", () => {
  live();
  want("a", "b");
  told({ type: "reset", reason: "epoch" });
  const all: Effect[] = [];
  for (let n = 0; n < 6; n++) {
    all.push(...pass(5_000));
    told({ type: "pong" });
  }
  expect(types(all)).toContain("open");
});
