import { Core } from "./core.js";
import type { Effect, Event } from "./events.js";
import { polling } from "./polling.js";
import { sse } from "./sse.js";
import type { Connection, Platform, Sink, Transports } from "./transports.js";
import type {
  Changes,
  ClientOptions,
  ConnectionState,
  Selection,
  ServerStatus,
  ServerView,
  ToolboxStatus,
} from "./types.js";
import { probe, websocket } from "./websocket.js";

/** What is no longer watched is kept so long: a remount finds it. */
const LINGER = 1_000;
/** Subscriptions within this go together: the server takes ten requests a second. */
const GATHER = 150;
/** Listeners are called at most so often, once a frame: a snapshot is a thousand messages. */
const FRAME = 16;

const TRANSPORTS: Transports = { websocket, sse, polling };
const LOADING: ServerView = { status: undefined, loading: true, error: undefined, stale: false };
const SIGNED_OUT: ServerView = {
  ...LOADING,
  loading: false,
  error: { code: "signed_out", message: "Nobody is signed in, or the token is not taken." },
};
const NONE: ReadonlySet<string> = new Set();

/** Where to watch; in an application there is one of each. */
export interface Address {
  readonly url: URL;
  readonly apiUrl: URL;
}

interface Watch {
  selection: { all: boolean; toolboxes: boolean; servers: ReadonlySet<string> };
  /** Undefined: it was ended, and lingers. */
  listener: ((changes: Changes) => void) | undefined;
  endedAt: number;
}

/** A subscription, to a handle. */
export interface Held {
  update(selection: Selection): void;
  end(): void;
}

/** Reports an error as any that nobody caught. */
function report(error: unknown): void {
  if (typeof reportError === "function") reportError(error);
  else
    setTimeout(() => {
      throw error;
    });
}

function read({ servers = [], toolboxes = false }: Selection): Watch["selection"] {
  return { all: servers === "all", toolboxes, servers: new Set(servers === "all" ? [] : servers) };
}

/**
 * One connection and all that watch by it: executes what the core says, with timers, sockets and the page's own events.
 * Handles of another copy of this package may hold it, so its public members are part of the registry's version.
 */
export class Hub {
  readonly #address: Address;
  readonly #platform: Platform;
  readonly #core: Core;
  /** Whoever came last says how tokens are had. */
  readonly #owners: ClientOptions[] = [];
  readonly #watches = new Set<Watch>();
  readonly #byId = new Map<string, Set<Watch>>();
  readonly #wide = new Set<Watch>();
  readonly #views = new Map<string, ServerView>();
  #connection: Connection | undefined;
  #probing: Connection | undefined;
  /** What comes from an earlier connection is void. */
  #generation = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lingering: ReturnType<typeof setTimeout> | undefined;
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #isGathering = false;
  #wantedAt = Number.NEGATIVE_INFINITY;
  #isTelling = false;
  #toldAt = Number.NEGATIVE_INFINITY;
  #told: ConnectionState;
  #toldComplete = false;
  #unlisten: (() => void) | undefined;

  constructor(address: Address, platform: Platform, random: () => number = Math.random) {
    this.#address = address;
    this.#platform = platform;
    this.#random = random;
    this.#core = new Core(this.#coreOptions());
    this.#told = this.#core.state;
  }
  readonly #random: () => number;

  /** Another handle. */
  join(options: ClientOptions): void {
    this.#owners.push(options);
    this.#core.options = this.#coreOptions();
  }

  /** A handle was closed. `true`: it was the last. */
  leave(options: ClientOptions): boolean {
    const at = this.#owners.indexOf(options);
    if (at >= 0) this.#owners.splice(at, 1);
    if (this.#owners.length > 0) {
      this.#core.options = this.#coreOptions();
      return false;
    }
    this.#handle({ type: "close" });
    for (const timer of [this.#timer, this.#lingering, this.#gathering]) clearTimeout(timer);
    this.#probing?.shut();
    this.#unlisten?.();
    return true;
  }

  subscribe(selection: Selection, listener: (changes: Changes) => void): Held {
    const watch: Watch = { selection: read(selection), listener, endedAt: 0 };
    this.#enter(watch);
    return {
      update: (selection) => {
        if (watch.listener === undefined) return;
        // What it watched lingers like that of one that ended.
        const former = { ...watch, listener: undefined, endedAt: Date.now() };
        this.#leave(watch);
        this.#enter(former);
        watch.selection = read(selection);
        this.#enter(watch);
        this.#linger();
      },
      end: () => {
        if (watch.listener === undefined) return;
        watch.listener = undefined;
        watch.endedAt = Date.now();
        this.#linger();
      },
    };
  }

  get(id: string): ServerView {
    const held = this.#core.book.get(id);
    const { phase, stale } = this.connection;
    if (!held) return phase === "signed_out" ? SIGNED_OUT : LOADING;
    const former = this.#views.get(id);
    const { status, error } = held;
    const isStale = stale && status !== undefined;
    if (former && former.status === status && former.error === error && former.stale === isStale)
      return former;
    const view = { status, loading: false, error, stale: isStale };
    this.#views.set(id, view);
    return view;
  }

  servers(): readonly ServerStatus[] {
    return this.#core.book.servers();
  }

  toolboxes(): readonly ToolboxStatus[] {
    return this.#core.book.toolboxes();
  }

  get complete(): boolean {
    return this.#core.sync.complete;
  }

  get connection(): ConnectionState {
    return this.#core.state;
  }

  resume(): void {
    this.#handle({ type: "resume" });
  }

  signOut(): void {
    this.#handle({ type: "sign_out" });
  }

  #coreOptions() {
    const { transports, pauseHiddenAfter = 30_000 } = this.#owners.at(-1) ?? {};
    const known = (transports ?? (["websocket", "sse", "polling"] as const)).filter(
      (name) => name in TRANSPORTS,
    );
    return { transports: known, pauseHiddenAfter, random: this.#random };
  }

  #enter(watch: Watch): void {
    this.#watches.add(watch);
    if (watch.selection.all || watch.selection.toolboxes) this.#wide.add(watch);
    for (const id of watch.selection.servers) {
      const those = this.#byId.get(id);
      if (those) those.add(watch);
      else this.#byId.set(id, new Set([watch]));
    }
    this.#gather();
  }

  #leave(watch: Watch): void {
    this.#watches.delete(watch);
    this.#wide.delete(watch);
    for (const id of watch.selection.servers) {
      const those = this.#byId.get(id);
      those?.delete(watch);
      if (those?.size === 0) this.#byId.delete(id);
    }
  }

  #linger(): void {
    this.#lingering ??= setTimeout(() => {
      this.#lingering = undefined;
      const over = Date.now() - LINGER;
      let isLeft = false;
      for (const watch of this.#watches) {
        if (watch.listener !== undefined) continue;
        if (watch.endedAt <= over) this.#leave(watch);
        else isLeft = true;
      }
      this.#gather();
      if (isLeft) this.#linger();
    }, LINGER);
  }

  /** Tells the core what is wanted, once for all that is said in one task. */
  #gather(): void {
    if (this.#isGathering) return;
    this.#isGathering = true;
    const wait = this.#wantedAt + GATHER - Date.now();
    const go = () => {
      this.#isGathering = false;
      this.#wantedAt = Date.now();
      let [all, toolboxes] = [false, false];
      for (const { selection } of this.#wide) {
        all ||= selection.all;
        toolboxes ||= selection.toolboxes;
      }
      if (this.#watches.size > 0) this.#unlisten ??= this.#listen();
      this.#handle({ type: "want", wanted: { all, toolboxes, servers: new Set(this.#byId.keys()) } });
    };
    if (wait <= 0) queueMicrotask(go);
    else this.#gathering = setTimeout(go, wait);
  }

  #handle(event: Event): void {
    const effects = this.#core.handle(event, Date.now());
    for (const effect of effects) this.#execute(effect);
    clearTimeout(this.#timer);
    const now = Date.now();
    const at = this.#core.wakeAt(now);
    // One that a timer cannot hold is looked at again.
    if (at !== undefined)
      this.#timer = setTimeout(() => this.#handle({ type: "tick" }), Math.min(at - now, 2 ** 30));
    this.#tell();
  }

  #execute(effect: Effect): void {
    switch (effect.type) {
      case "ask_token":
        void this.#askToken(effect.reason, effect.asked);
        return;
      case "open": {
        const { transport, token, opening } = effect;
        const none = { all: false, toolboxes: false, servers: NONE, cursor: undefined };
        const target = { ...this.#address, token, opening: opening ?? none };
        this.#generation += 1;
        this.#connection = TRANSPORTS[transport](target, this.#sink(this.#generation), this.#platform);
        return;
      }
      case "send":
        this.#connection?.send?.(effect.message);
        return;
      case "renew":
        this.#connection?.renew?.(effect.token);
        return;
      case "shut":
        this.#generation += 1;
        this.#connection?.shut();
        this.#connection = undefined;
        return;
      case "probe":
        this.#probing?.shut();
        this.#probing = probe(this.#address.url, this.#platform, (works) =>
          this.#handle({ type: "probed", works }),
        );
        return;
    }
  }

  async #askToken(reason: "connect" | "expiring" | "refused", asked: number): Promise<void> {
    let token: string | null | undefined;
    try {
      token = await this.#owners.at(-1)?.token(reason);
    } catch {
      // Why is the application's to know; it may hold a secret.
    }
    this.#handle({ type: "token", asked, token });
  }

  #sink(generation: number): Sink {
    const handle = (event: Event) => {
      if (generation === this.#generation) this.#handle(event);
    };
    return {
      open: () => handle({ type: "open" }),
      message: (message) => handle({ type: "message", message }),
      heard: () => handle({ type: "heard" }),
      closed: (code, reason, retryAfterMs) =>
        handle({
          type: "closed",
          ...(code !== undefined && { code }),
          ...(reason && { reason }),
          ...(retryAfterMs !== undefined && { retryAfterMs }),
        }),
    };
  }

  /** The page's own events, where there is a page. */
  #listen(): () => void {
    if (typeof document === "undefined" || typeof window === "undefined") return () => {};
    const look = () => this.#handle({ type: "visible", visible: document.visibilityState !== "hidden" });
    const online = () => this.#handle({ type: "online" });
    document.addEventListener("visibilitychange", look);
    window.addEventListener("pageshow", look);
    window.addEventListener("online", online);
    look();
    return () => {
      document.removeEventListener("visibilitychange", look);
      window.removeEventListener("pageshow", look);
      window.removeEventListener("online", online);
    };
  }

  /** Sees to it that listeners are told of what changed: soon, in a task of their own, and not more often than is seen. */
  #tell(): void {
    const { changedServers, changedToolboxes } = this.#core.book;
    const isChanged = changedServers.size > 0 || changedToolboxes.size > 0 || this.#isOtherwise;
    if (!isChanged || this.#isTelling) return;
    this.#isTelling = true;
    const wait = this.#toldAt + FRAME - Date.now();
    if (wait <= 0) queueMicrotask(() => this.#tellAll());
    else setTimeout(() => this.#tellAll(), wait);
  }

  get #isOtherwise(): boolean {
    return this.#told !== this.connection || this.#toldComplete !== this.complete;
  }

  #tellAll(): void {
    this.#isTelling = false;
    this.#toldAt = Date.now();
    const { book } = this.#core;
    const [servers, toolboxes] = [book.changedServers, book.changedToolboxes];
    [book.changedServers, book.changedToolboxes] = [new Set(), new Set()];
    const connection = this.#isOtherwise;
    this.#told = this.connection;
    this.#toldComplete = this.complete;
    for (const id of servers) if (!book.get(id)) this.#views.delete(id);
    for (const [watch, changes] of this.#concerned(servers, toolboxes, connection)) {
      try {
        watch.listener?.(changes);
      } catch (error) {
        // One listener's fault is not the others'.
        report(error);
      }
    }
  }

  #concerned(
    servers: ReadonlySet<string>,
    toolboxes: ReadonlySet<string>,
    connection: boolean,
  ): Map<Watch, Changes> {
    const told = new Map<Watch, Changes>();
    if (connection)
      for (const watch of this.#watches) told.set(watch, { servers: NONE, toolboxes: NONE, connection });
    for (const watch of this.#wide) {
      const { selection } = watch;
      const of = selection.all ? servers : NONE;
      const and = selection.toolboxes ? toolboxes : NONE;
      if (connection || of.size > 0 || and.size > 0)
        told.set(watch, { servers: of, toolboxes: and, connection });
    }
    const named = new Map<Watch, Set<string>>();
    for (const id of servers) {
      for (const watch of this.#byId.get(id) ?? []) {
        const ids = named.get(watch);
        if (ids) ids.add(id);
        else named.set(watch, new Set([id]));
      }
    }
    for (const [watch, ids] of named) {
      told.set(watch, { servers: ids, toolboxes: told.get(watch)?.toolboxes ?? NONE, connection });
    }
    return told;
  }
}
