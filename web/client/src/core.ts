import { Attempts, type Loss } from "./attempts.js";
import { Book, type Scope } from "./book.js";
import type { CoreOptions, Effect, Event } from "./events.js";
import type { StreamMessage, StreamRequest } from "./generated/stream.js";
import { Sync } from "./sync.js";
import { Tokens } from "./tokens.js";
import type { ConnectionPhase, ConnectionState, Transport } from "./types.js";

/** A connection that says nothing for so long is as good as none. */
const OPEN_WITHIN = 10_000;
/** A ping is answered within this. */
const PONG_WITHIN = 10_000;
/** So often the clock is looked at: after a sleep it has jumped. */
const LOOK_EVERY = 5_000;
/** A timer of a page that is seen is never that late, unless the computer slept. */
const SLEPT = 20_000;
/** A connection that held so long was a good one. */
const HELD = 10_000;
/** A state that is being told comes without such pauses. */
const TELLS_WITHIN = 30_000;
const NO_TOKEN = "the application gave no token";
/** What was not found may have come into being. */
const RETRY_REFUSED = 30_000;
/** Ids that fit into a URL, and that are asked for one by one. */
const IN_URL = 100;
const ONE_BY_ONE = 8;

type Link = "none" | "token" | "opening" | "greeting" | "up";

/**
 * The connection as a state machine, without timers, sockets or a clock: events go in with the time, effects come out.
 *
 * ```text
 *  none ─► token ─► opening ─► greeting ─► up
 *    ▲                 └───────────┴───────┘ closed: token refused · another transport · waiting with backoff
 * ```
 *
 * After each event `#reconcile` looks at what should be, and does what is missing.
 */
export class Core {
  readonly book = new Book();
  readonly sync = new Sync(this.book);
  #pauseHiddenAfter: number | false;
  #effects: Effect[] = [];
  #wanted: Scope = { all: false, toolboxes: false, servers: new Set() };

  #link: Link = "none";
  #linkSince = 0;
  #upSince = 0;
  #heard = 0;
  #toldAt = 0;
  #pingAt: number | undefined;
  #pingEvery = 30_000;

  readonly #tokens = new Tokens();
  readonly #attempts: Attempts;
  #lostReason: string | undefined;
  #refusedAgainAt = 0;

  #visible = true;
  #hiddenSince: number | undefined;
  #isPaused = false;
  #signedOut = false;
  #isClosed = false;
  #lookAt: number | undefined;

  #currentUntil: number | undefined;
  #state: ConnectionState = {
    phase: "idle",
    transport: undefined,
    since: 0,
    currentUntil: undefined,
    stale: false,
    retryAt: undefined,
    reason: undefined,
  };

  constructor(options: CoreOptions) {
    this.#pauseHiddenAfter = options.pauseHiddenAfter;
    this.#attempts = new Attempts(options.transports, options.random);
  }

  set options({ transports, pauseHiddenAfter }: CoreOptions) {
    this.#pauseHiddenAfter = pauseHiddenAfter;
    this.#attempts.transports = transports;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Takes an event; what is to be done about it, in that order. */
  handle(event: Event, now: number): Effect[] {
    if (this.#hasSlept(now)) this.#lost(now, { reason: "the computer slept", retryAfterMs: 0 });
    this.#take(event, now);
    this.#reconcile(now);
    this.#describe(now);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** When a `tick` is to come; undefined: there is nothing to wait for. */
  wakeAt(now: number): number | undefined {
    if (this.#isClosed) return undefined;
    const times = [
      this.#isPaused || this.#phase() === "idle" || this.#signedOut ? undefined : this.#pauseAt(),
    ];
    if (this.#link === "none") times.push(this.#attempts.retryAt);
    if (this.#link === "opening" || this.#link === "greeting") times.push(this.#openUntil);
    if (this.#link === "up")
      times.push(this.#silentAt(), this.#tokens.renewAt, this.#attempts.betterAt, now + LOOK_EVERY);
    const at = Math.min(...times.map((time) => time ?? Number.POSITIVE_INFINITY));
    this.#lookAt = Number.isFinite(at) ? Math.max(at, now) : undefined;
    return this.#lookAt;
  }

  get #kind(): Transport {
    return this.#attempts.transport;
  }

  /** A poll has many pages. */
  get #openUntil(): number {
    return this.#linkSince + (this.#kind === "polling" ? 3 : 1) * OPEN_WITHIN;
  }

  #take(event: Event, now: number): void {
    switch (event.type) {
      case "want":
        this.#wanted = event.wanted;
        this.sync.want(event.wanted);
        return;
      case "token":
        this.#tokenGiven(event.asked, event.token, now);
        return;
      case "open":
        if (this.#link !== "opening") return;
        this.#enter("greeting", now);
        this.#send({ type: "auth", token: this.#tokens.current ?? "" });
        return;
      case "message":
        this.#message(event.message, now);
        return;
      case "heard":
        this.#alive(now);
        return;
      case "closed":
        if (this.#link !== "none" && this.#link !== "token") this.#lost(now, event);
        return;
      case "probed":
        this.#probed(event.works, now);
        return;
      case "tick":
        this.#tick(now);
        return;
      case "online":
        this.#hurry();
        return;
      case "visible":
        this.#seen(event.visible, now);
        return;
      case "resume":
        this.#signedOut = false;
        this.#lostReason = undefined;
        if (this.#link === "none" || this.#link === "token") this.#tokens.begin();
        this.#hurry();
        return;
      case "sign_out":
        this.#drop(now);
        this.#signedOut = true;
        this.#forget();
        return;
      case "close":
        this.#drop(now);
        this.#isClosed = true;
        return;
    }
  }

  /** Does what is missing. */
  #reconcile(now: number): void {
    const { all, toolboxes, servers } = this.#wanted;
    const isWanted = all || toolboxes || servers.size > 0;
    const pauseAt = this.#pauseAt();
    this.#isPaused = isWanted && pauseAt !== undefined && now >= pauseAt;
    if (this.#isClosed || this.#signedOut || !isWanted || this.#isPaused) {
      this.#drop(now);
      if (!isWanted) this.#currentUntil = undefined;
      this.#attempts.retryAt = undefined;
      return;
    }
    if (this.#link === "none" && (this.#attempts.retryAt === undefined || now >= this.#attempts.retryAt)) {
      this.#attempts.retryAt = undefined;
      this.#enter("token", now);
    }
    if (this.#link === "token") {
      if (this.#tokens.isGood(now)) this.#open(now);
      else this.#effects.push(...this.#tokens.ask());
    }
    if (this.#link !== "up") return;
    if (this.#kind === "websocket") {
      for (const message of this.sync.plan()) this.#send(message);
    } else if (!this.sync.isSatisfied) {
      // What is shown stays: the next one begins with what is wanted now.
      this.#drop(now);
      this.#enter("token", now);
      this.#open(now);
    }
  }

  #open(now: number): void {
    const transport = this.#kind;
    this.sync.begin();
    this.#enter("opening", now);
    const most = transport === "sse" ? IN_URL : ONE_BY_ONE;
    const opening = transport === "websocket" ? {} : { opening: this.sync.opening(most) };
    this.#effects.push({ type: "open", transport, token: this.#tokens.current ?? "", ...opening });
  }

  #tokenGiven(asked: number, token: string | null | undefined, now: number): void {
    const given = this.#tokens.given(asked, token);
    if (given === "none" && this.#link === "token") this.#lost(now, { reason: NO_TOKEN });
    // A connection that is there goes on to its end.
    if (given === "signed_out" && this.#link !== "up") this.#signedOut = true;
    if (given === "another_person") {
      this.#drop(now);
      this.#forgetTold();
    }
    if (given !== "newer" || this.#link !== "up") return;
    const current = this.#tokens.current ?? "";
    if (this.#kind === "websocket") this.#send({ type: "auth", token: current });
    else if (this.#kind === "polling") this.#effects.push({ type: "renew", token: current });
    else {
      this.#drop(now);
      this.#enter("token", now);
    }
  }

  #message(message: StreamMessage, now: number): void {
    if (this.#link !== "greeting" && this.#link !== "up" && this.#link !== "opening") return;
    this.#alive(now);
    if (message.type === "hello") {
      this.#hello(message, now);
      return;
    }
    if (message.type === "bye") {
      const { code, reason, retryAfterMs } = message;
      this.#lost(now, { code, reason, ...(retryAfterMs != null && { retryAfterMs }) });
      return;
    }
    if (message.type === "error" && message.code === "unauthorized") {
      this.#effects.push(...this.#tokens.notTaken());
      return;
    }
    if (message.type !== "pong") this.#toldAt = now;
    this.sync.take(message);
  }

  #hello({ pingSeconds, expiresAt }: StreamMessage & { type: "hello" }, now: number): void {
    this.#pingEvery = Math.max(1, pingSeconds) * 1000;
    this.#tokens.accepted(Date.parse(expiresAt), now);
    if (this.#link === "up") return;
    this.#enter("up", now);
    this.#upSince = now;
    this.#lostReason = undefined;
    this.#toldAt = now;
    this.#attempts.succeeded(now);
    this.#refusedAgainAt = now + RETRY_REFUSED;
  }

  #alive(now: number): void {
    this.#heard = now;
    this.#pingAt = undefined;
  }

  /** When silence is looked into, or is the end. */
  #silentAt(): number {
    switch (this.#kind) {
      case "websocket":
        return this.#pingAt === undefined ? this.#heard + this.#pingEvery / 2 : this.#pingAt + PONG_WITHIN;
      case "sse":
        return this.#heard + 2 * this.#pingEvery + LOOK_EVERY;
      case "polling":
        return this.#heard + 6 * this.#pingEvery;
    }
  }

  /** Then nothing says that the connection is still there; what changed meanwhile is soon told to a new one. */
  #hasSlept(now: number): boolean {
    const isStream = this.#link === "up" && this.#kind !== "polling";
    return isStream && this.#visible && this.#lookAt !== undefined && now - this.#lookAt > SLEPT;
  }

  #tick(now: number): void {
    if (this.#link === "opening" || this.#link === "greeting") {
      if (now >= this.#openUntil) this.#lost(now, { reason: "no answer" });
      return;
    }
    if (this.#link !== "up") return;
    if (now >= this.#silentAt()) {
      if (this.#kind !== "websocket" || this.#pingAt !== undefined) {
        this.#lost(now, { reason: "nothing was heard any more", retryAfterMs: 0 });
        return;
      }
      this.#pingAt = now;
      this.#send({ type: "ping" });
    }
    if (!this.sync.synced && this.#kind !== "polling" && now >= this.#toldAt + TELLS_WITHIN) {
      this.#lost(now, { reason: "the state was not told", retryAfterMs: 0 });
      return;
    }
    this.#effects.push(...this.#tokens.renew(now));
    if (this.#kind === "websocket" && now >= this.#refusedAgainAt) {
      this.#refusedAgainAt = now + RETRY_REFUSED;
      this.sync.retry();
    }
    if (this.#attempts.isBetterDue(now)) {
      if (this.#attempts.transports[0] === "websocket") this.#effects.push({ type: "probe" });
      else this.#probed(true, now);
    }
  }

  #probed(works: boolean, now: number): void {
    if (this.#link !== "up" || !this.#attempts.isSecondBest) return;
    if (!works) {
      this.#attempts.noBetter(now);
      return;
    }
    this.#drop(now);
    this.#attempts.takeBest();
    this.#enter("token", now);
  }

  /** The connection is lost, or could not be had. */
  #lost(now: number, why: Loss): void {
    const wasUp = this.#link === "up";
    const held = wasUp && now - this.#upSince >= HELD;
    this.#drop(now);
    this.#lostReason = why.reason || (wasUp ? "the connection was lost" : "the server cannot be reached");
    if (why.code === 4401 || why.code === 4403) {
      // A token of another account is good, for another connection.
      if (why.code === 4403) this.#forgetTold();
      const another = this.#tokens.refused();
      if (another === "never") this.#signedOut = true;
      // At once, unless the last one did not last either.
      if (another === "never" || (another === "at_once" && (held || !wasUp))) return;
    } else if (!wasUp && why.reason !== NO_TOKEN && (why.code ?? 1006) === 1006) {
      // Another way is no other attempt at the same; only when all were tried in vain there is a pause.
      if (this.#attempts.failed() === "another") return;
    }
    if (held) this.#attempts.held();
    this.#attempts.wait(why, now);
  }

  /** Lets go of the connection. */
  #drop(now: number): void {
    if (this.#link === "none") return;
    if (this.#state.phase === "live") this.#currentUntil = this.#heard;
    else if (this.#currentUntil === undefined && !this.book.isEmpty) this.#currentUntil = this.#heard;
    if (this.#link !== "token") this.#effects.push({ type: "shut" });
    this.#enter("none", now);
    this.#pingAt = undefined;
    this.#tokens.renewAt = undefined;
    this.#attempts.betterAt = undefined;
  }

  #forget(): void {
    this.#tokens.forget();
    this.#forgetTold();
  }

  #forgetTold(): void {
    this.sync.forget();
    this.#currentUntil = undefined;
  }

  /** Somebody waits, or the network is back: at once, and not after the backoff. */
  #hurry(): void {
    if (this.#link === "none") this.#attempts.hurry();
    else this.#attempts.held();
  }

  #seen(visible: boolean, now: number): void {
    if (visible === this.#visible) return;
    this.#visible = visible;
    this.#hiddenSince = visible ? undefined : now;
    if (!visible) return;
    this.#hurry();
    if (this.#link !== "up" || this.#kind !== "websocket") return;
    // It may have died while nobody looked.
    if (now - this.#heard > this.#pingEvery) {
      this.#lost(now, { reason: "nothing was heard any more", retryAfterMs: 0 });
    } else if (this.#pingAt === undefined) {
      this.#pingAt = now;
      this.#send({ type: "ping" });
    }
  }

  #pauseAt(): number | undefined {
    const after = this.#pauseHiddenAfter;
    return this.#hiddenSince === undefined || after === false ? undefined : this.#hiddenSince + after;
  }

  #send(message: StreamRequest): void {
    this.#effects.push({ type: "send", message });
  }

  #enter(link: Link, now: number): void {
    this.#link = link;
    this.#linkSince = now;
  }

  #phase(): ConnectionPhase {
    const { all, toolboxes, servers } = this.#wanted;
    if (this.#isClosed) return "closed";
    if (this.#signedOut) return "signed_out";
    if (!all && !toolboxes && servers.size === 0) return "idle";
    if (this.#isPaused) return "paused";
    if (this.#link === "none") return "waiting";
    if (this.#link !== "up" || !this.sync.synced) return "connecting";
    return this.sync.stale ? "stale" : "live";
  }

  /** Makes another state where something of it changed. */
  #describe(now: number): void {
    const former = this.#state;
    const phase = this.#phase();
    if (phase === "live" && former.phase !== "live") this.#currentUntil = now;
    else if (former.phase === "live" && phase === "stale") this.#currentUntil = now;
    else if (former.phase === "live" && phase === "connecting" && this.#link === "up")
      this.#currentUntil = now;
    const next: ConnectionState = {
      phase,
      transport: this.#link === "up" ? this.#kind : undefined,
      since: phase === former.phase ? former.since : now,
      currentUntil: this.#currentUntil,
      stale: phase !== "live" && this.#currentUntil !== undefined,
      retryAt: phase === "waiting" ? this.#attempts.retryAt : undefined,
      reason: phase === "live" || phase === "idle" ? undefined : this.#reasonOf(phase),
    };
    const keys = Object.keys(next) as (keyof ConnectionState)[];
    if (keys.some((key) => next[key] !== former[key])) this.#state = next;
  }

  #reasonOf(phase: ConnectionPhase): string | undefined {
    if (phase === "stale") return "the source of the statuses is away";
    if (phase === "signed_out") return "nobody is signed in, or the token is not taken";
    return phase === "waiting" || phase === "connecting" ? this.#lostReason : undefined;
  }
}
