import type { Book, Scope } from "./book.js";
import type { StreamMessage, StreamRequest } from "./generated/stream.js";

/** Ids in one message: the server takes 64 KiB, and an id is 39 bytes. */
const CHUNK = 1000;
/** Requests whose state has not been told: the server refuses more than 64. */
const OPEN = 8;

/** A subscription that was asked for. */
interface Request extends Scope {
  readonly servers: Set<string>;
  readonly serial: number;
}

/** One that is in force, and whose state is being told. */
interface Telling extends Scope {
  readonly serial: number;
  snapshot: boolean;
}

const nothing = (): { all: boolean; toolboxes: boolean; servers: Set<string> } => ({
  all: false,
  toolboxes: false,
  servers: new Set(),
});

const isEmpty = (scope: Scope) => !scope.all && !scope.toolboxes && scope.servers.size === 0;

/**
 * What is asked for and told on a connection, and what the next one can resume.
 *
 * ```text
 *  asked ─► (not_found …) ─► subscribed ─► (reset) ─► (snapshot) ─► events … ─► present: covered by the cursor
 * ```
 *
 * Requests are answered in their order, and so are their ends told. Only what was told up to `present` may be named with a
 * cursor: of the rest, the cursor may be further than what was told.
 */
export class Sync {
  readonly #book: Book;
  /** What is to be watched. */
  #wanted: Scope = nothing();
  /** What the server was asked for on this connection, and has not turned down. */
  readonly #asked = { all: 0, toolboxes: 0, servers: new Map<string, number>() };
  /** Counts requests. What is asked for is covered by the end of the last request for it, and not of an earlier one. */
  #serial = 0;
  /** To be unsubscribed. */
  #ending = nothing();
  /** Not answered yet. */
  #requests: Request[] = [];
  /** Answered; their state is being told. */
  #telling: Telling[] = [];
  #resetting = false;
  /** What the server itself subscribes to again, after a reset. */
  #anew: Request | undefined;
  #cursor: string | undefined;
  #covered = nothing();
  /** Turned down, or out of sight: asked for again later, and not at once. */
  #refused = new Set<string>();
  #limited = new Set<string>();
  #chunk = CHUNK;
  /** One subscription for good: a stream that cannot be asked. */
  #isFixed = false;
  /** Something changed that a request may have to follow. */
  #isDirty = true;
  #complete = false;
  /** The source is away. */
  stale = false;
  /** Everything that is wanted was told at least once on this connection. */
  synced = false;

  constructor(book: Book) {
    this.#book = book;
  }

  get cursor(): string | undefined {
    return this.#cursor;
  }

  /** All that the caller may see has been told. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Whether a stream that cannot be asked for more has all that is wanted. */
  get isSatisfied(): boolean {
    const { all, toolboxes, servers } = this.#wanted;
    if (toolboxes && !this.#asked.toolboxes) return false;
    if (this.#asked.all) return true;
    if (all) return false;
    for (const id of servers) if (!this.#asked.servers.has(id) && !this.#isTurnedDown(id)) return false;
    return true;
  }

  want(wanted: Scope): void {
    const [former, asked, covered, ending] = [this.#wanted, this.#asked, this.#covered, this.#ending];
    this.#wanted = wanted;
    // What is no longer wanted is forgotten at once, and so has to be told again if it comes back.
    if (former.all && !wanted.all) {
      for (const id of wanted.servers) if (this.#isCovered(id)) covered.servers.add(id);
      ending.all ||= asked.all > 0;
      asked.all = 0;
      covered.all = false;
      this.#complete = false;
    }
    if (former.toolboxes && !wanted.toolboxes) {
      ending.toolboxes ||= asked.toolboxes > 0;
      asked.toolboxes = 0;
      covered.toolboxes = false;
    }
    for (const id of former.servers) {
      if (wanted.servers.has(id)) continue;
      if (asked.servers.delete(id)) ending.servers.add(id);
      covered.servers.delete(id);
      this.#refused.delete(id);
      this.#limited.delete(id);
    }
    this.#book.retain(wanted);
    this.#findMissing();
    this.#isDirty = true;
  }

  /** A new connection: nothing was asked for yet. What was told stands. */
  begin(): void {
    this.#clearAsked();
    this.#ending = nothing();
    this.#requests = [];
    this.#telling = [];
    this.#resetting = false;
    this.#anew = undefined;
    this.#isFixed = false;
    this.#chunk = CHUNK;
    this.synced = false;
    this.stale = false;
    this.retry();
  }

  /** Asks again for what was turned down. */
  retry(): void {
    this.#refused.clear();
    this.#limited.clear();
    this.#isDirty = true;
  }

  /** Forgets everything, as for another caller. */
  forget(): void {
    this.begin();
    this.#cursor = undefined;
    this.#covered = nothing();
    this.#complete = false;
    this.#book.clear();
  }

  /**
   * The one subscription of a stream that is opened with it. Many ids do not fit into a URL: then it is to all, which
   * shows no less.
   */
  opening(most: number): Scope & { readonly cursor: string | undefined } {
    const { toolboxes, servers } = this.#wanted;
    const all = this.#wanted.all || servers.size > most;
    const scope = { all, toolboxes, servers: all ? new Set<string>() : new Set(servers) };
    const isCovered =
      (!all || this.#covered.all) &&
      (!toolboxes || this.#covered.toolboxes) &&
      [...scope.servers].every((id) => this.#isCovered(id));
    this.#isFixed = true;
    this.#requests.push(this.#asks(scope));
    return { ...scope, cursor: isCovered ? this.#cursor : undefined };
  }

  /** What is to be asked for now. */
  plan(): StreamRequest[] {
    if (this.#isFixed || !this.#isDirty) return [];
    this.#isDirty = false;
    const wanted = this.#wanted;
    const requests: StreamRequest[] = [];
    const ask = (scope: Scope, cursor: string | undefined) => {
      if (isEmpty(scope) || this.#open >= OPEN) return;
      const servers = scope.all ? ("all" as const) : scope.servers.size > 0 ? [...scope.servers] : undefined;
      requests.push({
        type: "subscribe",
        ...(servers && { servers }),
        ...(scope.toolboxes && { toolboxes: true }),
        ...(cursor && { cursor }),
      });
      this.#requests.push(this.#asks(scope));
    };
    const missing = wanted.all
      ? []
      : [...wanted.servers].filter((id) => !this.#asked.servers.has(id) && !this.#isTurnedDown(id));
    const [resumed, begun] = [nothing(), nothing()];
    const part = (isCovered: boolean) => (isCovered && this.#cursor !== undefined ? resumed : begun);
    if (wanted.all && !this.#asked.all) part(this.#covered.all).all = true;
    if (wanted.toolboxes && !this.#asked.toolboxes) part(this.#covered.toolboxes).toolboxes = true;
    for (const id of missing) part(this.#isCovered(id)).servers.add(id);
    for (const [scope, cursor] of [[resumed, this.#cursor] as const, [begun, undefined] as const]) {
      const ids = [...scope.servers];
      ask({ ...scope, servers: new Set(ids.slice(0, this.#chunk)) }, cursor);
      for (let at = this.#chunk; at < ids.length; at += this.#chunk) {
        ask({ ...nothing(), servers: new Set(ids.slice(at, at + this.#chunk)) }, cursor);
      }
    }
    requests.push(...this.#end());
    return requests;
  }

  /** Notes that a scope is asked for. */
  #asks({ all, toolboxes, servers }: Scope): Request {
    this.#serial += 1;
    const { asked, serial, ending } = { asked: this.#asked, serial: this.#serial, ending: this.#ending };
    if (all) asked.all = serial;
    if (toolboxes) asked.toolboxes = serial;
    for (const id of servers) asked.servers.set(id, serial);
    if (all) ending.all = false;
    if (toolboxes) ending.toolboxes = false;
    for (const id of servers) ending.servers.delete(id);
    return { all, toolboxes, servers: new Set(servers), serial };
  }

  #clearAsked(): void {
    this.#asked.all = 0;
    this.#asked.toolboxes = 0;
    this.#asked.servers.clear();
  }

  /** What is no longer to be told. */
  #end(): StreamRequest[] {
    const { all, toolboxes, servers } = this.#ending;
    this.#ending = nothing();
    const requests: StreamRequest[] = [];
    if (all) requests.push({ type: "unsubscribe", servers: "all" });
    if (toolboxes) requests.push({ type: "unsubscribe", toolboxes: true });
    const ids = [...servers];
    for (let at = 0; at < ids.length; at += CHUNK) {
      requests.push({ type: "unsubscribe", servers: ids.slice(at, at + CHUNK) });
    }
    if (ids.length > 0 && this.#limited.size > 0) {
      // There is room again.
      this.#limited.clear();
      this.#chunk = CHUNK;
      this.#isDirty = true;
    }
    return requests;
  }

  /** Takes a message. */
  take(message: StreamMessage): void {
    const open = this.#open;
    switch (message.type) {
      case "subscribed": {
        this.#serverBegan();
        const { all = false, toolboxes = false, servers = [] } = message;
        const serial = (this.#anew ?? this.#answered(message))?.serial ?? 0;
        this.#anew = undefined;
        this.#telling.push({ all, toolboxes, servers: new Set(servers), serial, snapshot: false });
        break;
      }
      case "snapshot": {
        const telling = this.#telling.at(-1);
        if (!telling) break;
        telling.snapshot = true;
        this.#book.doubt(telling);
        if (this.#resetting) this.#uncover(telling);
        this.#resetting = false;
        break;
      }
      case "status":
      case "deleted":
        this.#cursor = message.cursor || undefined;
        if (this.#wanted.all || this.#wanted.servers.has(message.event.serverId))
          this.#book.server(message.event);
        break;
      case "toolbox":
        this.#cursor = message.cursor || undefined;
        if (this.#wanted.toolboxes) this.#book.toolbox(message.event);
        break;
      case "gone":
        if (message.serverId) this.#turnDown(message.serverId, "revoked");
        if (message.toolboxId) this.#book.lostToolbox(message.toolboxId);
        break;
      case "present": {
        this.#cursor = message.cursor || undefined;
        const telling = this.#telling.shift();
        if (telling?.snapshot) this.#book.settle(telling);
        if (message.servers) this.#book.keepOnly(message.servers);
        if (telling) this.#cover(telling);
        break;
      }
      case "reset":
        this.#resetting = true;
        this.#cursor = undefined;
        break;
      case "stale":
        this.stale = true;
        break;
      case "current":
        this.#cursor = message.cursor || undefined;
        this.stale = false;
        break;
      case "error":
        this.#error(message);
        break;
    }
    if (this.#open < open) this.#isDirty = true;
    if (this.#resetting) this.synced = false;
    else if (!this.synced) this.synced = this.#open === 0 && !this.#anew;
  }

  /** Requests whose state has not been told to the end. */
  get #open(): number {
    return this.#requests.length + this.#telling.length;
  }

  /**
   * A reset that no snapshot follows at once was not the answer to a request: the server subscribes again to all that was
   * granted, as if it had been asked to, and what it was telling is void.
   */
  #serverBegan(): void {
    if (!this.#resetting) return;
    this.#resetting = false;
    const { all, toolboxes, servers } = this.#asked;
    const waiting = new Set(this.#requests.map(({ serial }) => serial));
    const granted = (serial: number) => serial > 0 && !waiting.has(serial);
    const ids = [...servers].filter(([, serial]) => granted(serial)).map(([id]) => id);
    const scope = { all: granted(all), toolboxes: granted(toolboxes), servers: new Set(ids) };
    this.#uncover(scope);
    this.#anew = this.#asks(scope);
    this.#telling = [];
  }

  /** The request that is answered by this; undefined: none, and so it covers nothing. */
  #answered({ all = false, toolboxes = false, servers = [] }: StreamMessage & { type: "subscribed" }) {
    const first = this.#requests[0];
    const fits =
      first?.all === all && first.toolboxes === toolboxes && servers.every((id) => first.servers.has(id));
    return fits ? this.#requests.shift() : undefined;
  }

  #error({ code, servers = [] }: StreamMessage & { type: "error" }): void {
    const request = this.#requests[0];
    if (code === "not_found") {
      this.#serverBegan();
      const answered = this.#anew ?? request;
      for (const id of servers) {
        answered?.servers.delete(id);
        this.#turnDown(id, "not_found");
      }
      // Nothing is left of it that could be granted.
      if (!answered || !isEmpty(answered)) return;
      if (this.#anew) this.#anew = undefined;
      else this.#requests.shift();
    } else if (code === "limit" && request) {
      this.#requests.shift();
      for (const id of request.servers) {
        if (this.#asked.servers.get(id) === request.serial) this.#asked.servers.delete(id);
      }
      // Fewer may fit. When not one does, none of what is still to be asked for will.
      const smaller = Math.floor(Math.min(request.servers.size, this.#chunk) / 2);
      this.#chunk = Math.max(1, smaller);
      if (smaller === 0 || this.#isFixed) {
        for (const id of this.#wanted.servers) {
          if (this.#asked.servers.has(id) || this.#refused.has(id)) continue;
          this.#limited.add(id);
          this.#book.lost(id, "limit");
        }
      }
    }
  }

  #turnDown(id: string, code: "not_found" | "revoked"): void {
    this.#asked.servers.delete(id);
    this.#covered.servers.delete(id);
    this.#refused.add(id);
    if (this.#wanted.servers.has(id)) this.#book.lost(id, code);
    else this.#book.forget(id);
  }

  #isTurnedDown(id: string): boolean {
    return this.#refused.has(id) || this.#limited.has(id);
  }

  #isCovered(id: string): boolean {
    return this.#covered.servers.has(id) || (this.#covered.all && this.#book.get(id)?.status !== undefined);
  }

  #cover(told: Telling): void {
    if (told.serial === 0) return;
    const { all, toolboxes, servers } = this.#asked;
    if (told.all && all === told.serial) {
      this.#covered.all = true;
      this.#complete = true;
    }
    if (told.toolboxes && toolboxes === told.serial) this.#covered.toolboxes = true;
    for (const id of told.servers) if (servers.get(id) === told.serial) this.#covered.servers.add(id);
    this.#findMissing();
  }

  /** Where all have been told, one that was not is not there. */
  #findMissing(): void {
    if (!this.#complete) return;
    for (const id of this.#wanted.servers) if (!this.#book.get(id)) this.#book.lost(id, "not_found");
  }

  #uncover(scope: Scope): void {
    if (scope.all) this.#covered.all = false;
    if (scope.toolboxes) this.#covered.toolboxes = false;
    for (const id of scope.servers) this.#covered.servers.delete(id);
  }
}
