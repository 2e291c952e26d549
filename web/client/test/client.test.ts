import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createClient } from "../src/index.js";
import type { Changes, StatusClient } from "../src/types.js";
import { Service } from "./service.js";

let service: Service;
const clients: StatusClient[] = [];

function client(options?: Parameters<Service["client"]>[0]): StatusClient {
  const made = service.client(options);
  clients.push(made);
  return made;
}

/** A listener that can be waited for. */
function listener() {
  const calls: Changes[] = [];
  let wake = () => {};
  const listen = (changes: Changes) => {
    calls.push(changes);
    wake();
  };
  const until = async (holds: () => boolean) => {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { calls, listen, until };
}

const version = (of: StatusClient, id: string) => of.get(id).status?.version;
const subscribes = () => service.requests.filter(({ type }) => type === "subscribe");

beforeEach(async () => {
  service = await Service.start();
  service.change("a", "b", "c");
});

afterEach(async () => {
  for (const made of clients.splice(0)) made.close();
  vi.unstubAllGlobals();
  await service.stop();
});

describe.each(["websocket", "sse", "polling"] as const)("by %s", (transport) => {
  const options = { transports: [transport] };

  it("tells the state, then changes, then that it was deleted", async () => {
    const it = client(options);
    const { listen, until } = listener();
    it.subscribe({ servers: "all" }, listen);
    expect(it.get("a")).toEqual({ status: undefined, loading: true, error: undefined, stale: false });
    await until(() => it.complete && it.connection.phase === "live");
    expect(it.connection).toMatchObject({ transport, stale: false });
    expect(
      it
        .servers()
        .map(({ serverId }) => serverId)
        .sort(),
    ).toEqual(["a", "b", "c"]);
    service.change("a", "d");
    await until(() => version(it, "a") === 2 && version(it, "d") === 1);
    service.notifier.delete("b");
    service.pump();
    await until(() => it.servers().length === 3);
    expect(it.get("b").status).toBeUndefined();
  });

  it("tells of servers by id, and what is not there", async () => {
    const it = client(options);
    const { listen, until, calls } = listener();
    it.subscribe({ servers: ["a", "nobody"] }, listen);
    await until(() => it.connection.phase === "live");
    expect(version(it, "a")).toBe(1);
    expect(it.get("nobody").error?.code).toBe("not_found");
    expect(it.servers()).toHaveLength(1);
    expect(it.complete).toBe(false);
    service.change("b", "a");
    await until(() => version(it, "a") === 2);
    expect(calls.at(-1)?.servers).toEqual(new Set(["a"]));
  });

  it("asks for another token when one is refused, and waits for `resume` when there is none", async () => {
    service.tokens = new Set(["better"]);
    const tokens = ["good", null, "better"];
    const reasons: string[] = [];
    const it = client({
      ...options,
      token: (reason) => {
        reasons.push(reason);
        return tokens.shift() ?? null;
      },
    });
    const { listen, until } = listener();
    it.subscribe({ servers: ["a"] }, listen);
    await until(() => it.connection.phase === "signed_out");
    expect(reasons).toEqual(["connect", "refused"]);
    expect(it.get("a").error?.code).toBe("signed_out");
    it.resume();
    await until(() => version(it, "a") === 1);
    expect(reasons).toEqual(["connect", "refused", "connect"]);
  });
});

describe.each(["websocket", "sse"] as const)("a cut %s", (transport) => {
  it("is resumed with its cursor, and what was shown stays meanwhile, as stale", async () => {
    const it = client({ transports: [transport] });
    const { listen, until } = listener();
    it.subscribe({ servers: ["a", "b"] }, listen);
    await until(() => it.connection.phase === "live");
    const before = it.get("b");
    // Or it may be back before anybody is told: listeners are called once a frame.
    service.blocks = { websocket: true, sse: true };
    service.cut();
    service.change("a");
    await until(() => it.connection.stale);
    expect(it.get("b")).toEqual({ ...before, stale: true });
    service.blocks = { websocket: false, sse: false };
    await until(() => it.connection.phase === "live");
    expect(version(it, "a")).toBe(2);
    expect(it.get("b").status).toBe(before.status);
    const resumed = transport === "sse" ? service.log.at(-1) : JSON.stringify(subscribes().at(-1));
    expect(resumed).toContain("1.3");
  });
});

describe("subscriptions", () => {
  it("of one task are one request, and a thousand of them one connection", async () => {
    const it = client();
    const ids = Array.from({ length: 1000 }, (_, n) => `s${n}`);
    service.change(...ids);
    const { listen, until } = listener();
    const last = listener();
    for (const id of ids) it.subscribe({ servers: [id] }, id === "s999" ? last.listen : listen);
    await last.until(() => it.connection.phase === "live");
    expect(it.servers()).toHaveLength(1000);
    expect(subscribes()).toHaveLength(1);
    expect(service.opened).toBe(1);
    void until;
  });

  it("are told of what they select, and of nothing else", async () => {
    const it = client();
    const [a, b] = [listener(), listener()];
    it.subscribe({ servers: ["a"] }, a.listen);
    it.subscribe({ servers: ["b"] }, b.listen);
    await a.until(() => it.connection.phase === "live");
    const told = b.calls.length;
    const views = [it.get("b"), it.connection];
    service.change("a");
    await a.until(() => version(it, "a") === 2);
    expect(b.calls.length).toBe(told);
    expect([it.get("b"), it.connection]).toEqual(views);
    expect(it.get("b")).toBe(views[0]);
    expect(it.connection).toBe(views[1]);
  });

  it("are never told while they are made", () => {
    const it = client();
    const listen = vi.fn();
    const subscription = it.subscribe({ servers: ["a"] }, listen);
    subscription.update({ servers: ["b"] });
    subscription.unsubscribe();
    expect(listen).not.toHaveBeenCalled();
  });

  it("to all make those by id needless, which come back when it ends", async () => {
    const it = client();
    const { listen, until } = listener();
    it.subscribe({ servers: ["a"] }, listen);
    const all = it.subscribe({ servers: "all" }, listen);
    await until(() => it.complete);
    expect(subscribes()).toEqual([{ type: "subscribe", servers: "all" }]);
    const shown = it.get("a");
    all.unsubscribe();
    service.change("b");
    await until(() => !it.complete);
    // What stays is not told again: the cursor covers it.
    await vi.waitFor(() => expect(subscribes()).toHaveLength(2));
    expect(subscribes()[1]).toMatchObject({ servers: ["a"], cursor: expect.any(String) });
    expect(it.get("a")).toBe(shown);
    expect(it.servers()).toHaveLength(1);
  });

  it("that end and begin again in a moment cost nothing", async () => {
    const it = client();
    const { listen, until } = listener();
    const first = it.subscribe({ servers: ["a"] }, listen);
    await until(() => it.connection.phase === "live");
    const [shown, asked] = [it.get("a"), service.requests.length];
    first.unsubscribe();
    it.subscribe({ servers: ["a"] }, listen);
    service.change("a");
    await until(() => version(it, "a") === 2);
    expect(shown.status?.version).toBe(1);
    expect(service.requests.length).toBe(asked);
  });

  it("beyond what one connection is granted say so, and fit when there is room", async () => {
    service.notifier.most = 5;
    const ids = Array.from({ length: 8 }, (_, n) => `s${n}`);
    service.change(...ids);
    const it = client();
    const { listen, until } = listener();
    const first = it.subscribe({ servers: ids.slice(0, 4) }, listen);
    await until(() => it.connection.phase === "live");
    it.subscribe({ servers: ids.slice(4) }, listen);
    const errors = () => ids.filter((id) => it.get(id).error?.code === "limit");
    await until(() => errors().length === 3 && it.servers().length === 5);
    first.unsubscribe();
    await until(() => ids.slice(4).every((id) => it.get(id).status));
    expect(errors()).toEqual([]);
  });
});

describe("one page", () => {
  it("has one connection for two handles, until the last is closed", async () => {
    const [one, two] = [client(), client()];
    const [a, b] = [listener(), listener()];
    one.subscribe({ servers: ["a"] }, a.listen);
    two.subscribe({ servers: ["a"] }, b.listen);
    await b.until(() => two.connection.phase === "live");
    expect(one.get("a")).toBe(two.get("a"));
    expect(service.opened).toBe(1);
    one.close();
    expect(one.connection.phase).toBe("closed");
    service.change("a");
    await b.until(() => version(two, "a") === 2);
    expect(service.streams).toBe(1);
    two.close();
    await vi.waitFor(() => expect(service.streams).toBe(0));
  });

  it("has one also for two copies of this package", async () => {
    vi.resetModules();
    const copy = await import("../src/client.js");
    const { platform } = await import("./service.js");
    const two = new copy.Handle({ url: service.url, token: () => "good" }, platform);
    clients.push(two);
    const one = client();
    expect(two).not.toBeInstanceOf(one.constructor);
    const [a, b] = [listener(), listener()];
    one.subscribe({ servers: ["a"] }, a.listen);
    two.subscribe({ servers: ["a"] }, b.listen);
    await b.until(() => two.connection.phase === "live");
    expect(service.opened).toBe(1);
  });

  it("opens nothing where it is rendered on a server", () => {
    const it = createClient({ url: service.url, token: () => "good" });
    expect(it.get("a").loading).toBe(true);
    expect([it.servers(), it.toolboxes(), it.complete, it.connection.phase]).toEqual([[], [], false, "idle"]);
    expect(it.get("a")).toBe(it.get("b"));
    expect(service.opened).toBe(0);
    it.close();
  });
});

describe("a page", () => {
  function page() {
    const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
    const window = new EventTarget();
    vi.stubGlobal("document", document);
    vi.stubGlobal("window", window);
    const see = (visibilityState: "visible" | "hidden") => {
      document.visibilityState = visibilityState;
      document.dispatchEvent(new Event("visibilitychange"));
    };
    return { see, window };
  }

  it("that nobody sees lets go, and catches up when it is seen", async () => {
    const { see } = page();
    const it = client({ pauseHiddenAfter: 20 });
    const { listen, until } = listener();
    it.subscribe({ servers: ["a"] }, listen);
    await until(() => it.connection.phase === "live");
    see("hidden");
    await until(() => it.connection.phase === "paused");
    await vi.waitFor(() => expect(service.streams).toBe(0));
    service.change("a");
    expect(it.get("a")).toMatchObject({ status: { version: 1 }, stale: true });
    see("visible");
    await until(() => it.connection.phase === "live");
    expect(it.get("a")).toMatchObject({ status: { version: 2 }, stale: false });
    expect(subscribes().at(-1)).toMatchObject({ cursor: expect.any(String) });
  });

  it("whose network is back does not wait", async () => {
    const { window } = page();
    let works = false;
    const it = client({
      token: () => {
        if (!works) throw new Error("offline");
        return "good";
      },
    });
    const { listen, until } = listener();
    it.subscribe({ servers: ["a"] }, listen);
    await until(() => it.connection.phase === "waiting");
    works = true;
    window.dispatchEvent(new Event("online"));
    expect(it.connection.phase).toBe("connecting");
    await until(() => it.connection.phase === "live");
    it.close();
    expect(() => it.subscribe({ servers: ["a"] }, listen)).toThrow("closed");
  });
});

describe("what stands in the way", () => {
  it("of WebSockets is passed by event streams, of these by polling", async () => {
    service.blocks = { websocket: true, sse: true };
    const it = client();
    const { listen, until } = listener();
    it.subscribe({ servers: "all" }, listen);
    await until(() => it.connection.phase === "live");
    expect(it.connection.transport).toBe("polling");
    expect(it.servers()).toHaveLength(3);
  });

  it("one listener's fault is not another's", async () => {
    const it = client();
    const report = vi.fn();
    vi.stubGlobal("reportError", report);
    it.subscribe({ servers: ["a"] }, () => {
      throw new Error("mine");
    });
    const { listen, until } = listener();
    it.subscribe({ servers: ["a"] }, listen);
    await until(() => it.connection.phase === "live");
    expect(report).toHaveBeenCalledWith(new Error("mine"));
  });
});
