import type { StatusEvent, StreamMessage, StreamRequest } from "../src/generated/stream.js";

/** A change of a server in the model's stream. */
interface Fact {
  readonly sequence: number;
  readonly event: StatusEvent;
}

interface Mark {
  at: number;
  readonly whole: boolean;
}

export function statusEvent(serverId: string, version: number, more: object = {}): StatusEvent {
  return {
    ...{
      kind: "status",
      serverId,
      version,
      accountId: "account",
      toolboxId: "toolbox",
      name: `name-${serverId}`,
    },
    ...{
      state: "running",
      health: "healthy",
      statusOnToolbox: "running",
      changedAt: new Date(version).toISOString(),
    },
    ...more,
  } as StatusEvent;
}

/** A notifier as ARCHITECTURE.md has it, without a socket: what is true, and sessions that tell it in the stream's order. */
export class Notifier {
  epoch = 1;
  sequence = 0;
  readonly facts = new Map<string, Fact>();
  /** Out of the caller's sight. */
  readonly hidden = new Set<string>();
  readonly #sessions = new Set<Session>();
  most = 5000;

  connect(): Session {
    const session = new Session(this, () => this.#sessions.delete(session));
    this.#sessions.add(session);
    return session;
  }

  change(id: string): void {
    const version = (this.facts.get(id)?.event.version ?? 0) + 1;
    this.#put({ sequence: ++this.sequence, event: statusEvent(id, version) });
  }

  delete(id: string): void {
    const fact = this.facts.get(id);
    if (fact?.event.kind !== "status") return;
    const { serverId, accountId, toolboxId, version, changedAt } = fact.event;
    const event = {
      kind: "deleted" as const,
      serverId,
      accountId,
      toolboxId,
      changedAt,
      version: version + 1,
    };
    this.#put({ sequence: ++this.sequence, event });
  }

  /** Shown by a connection of another's: what was told of it before proves nothing. */
  readonly granted = new Set<string>();

  unhide(): void {
    const ids = [...this.hidden];
    this.hidden.clear();
    for (const session of this.#sessions) for (const id of ids) session.grant(id);
  }

  hide(id: string): void {
    // The end of what was seen is told, whoever it is of now.
    if (this.facts.get(id)?.event.kind === "deleted") return;
    this.hidden.add(id);
    this.granted.add(id);
    for (const session of this.#sessions) session.lose(id);
  }

  /** The source goes back: versions fall, and everybody is told anew. */
  rewind(): void {
    this.epoch += 1;
    this.sequence = this.facts.size;
    let sequence = 0;
    for (const [id, { event }] of [...this.facts]) {
      if (event.kind === "deleted") this.facts.delete(id);
      else {
        const version = Math.max(1, event.version - 2);
        this.facts.set(id, {
          sequence: ++sequence,
          event: statusEvent(id, version, {
            name: `again-${id}`,
            changedAt: new Date(1000 * this.epoch).toISOString(),
          }),
        });
      }
    }
    for (const session of this.#sessions) session.anew();
  }

  sees(id: string): Fact | undefined {
    return this.hidden.has(id) ? undefined : this.facts.get(id);
  }

  #put(fact: Fact): void {
    this.facts.set(fact.event.serverId, fact);
    for (const session of this.#sessions) session.changed(fact);
  }
}

/** One connection of the model. */
export class Session {
  readonly #notifier: Notifier;
  readonly close: () => void;
  #all = false;
  readonly #named = new Set<string>();
  #pending = new Map<string, Fact>();
  #marks: Mark[] = [];
  #said: StreamMessage[] = [];
  #reset = false;

  constructor(notifier: Notifier, close: () => void) {
    this.#notifier = notifier;
    this.close = close;
  }

  ask(request: StreamRequest): void {
    if (request.type === "subscribe") this.#subscribe(request.servers, request.cursor ?? undefined);
    if (request.type === "unsubscribe") this.#unsubscribe(request.servers);
  }

  changed(fact: Fact): void {
    const id = fact.event.serverId;
    if (this.#notifier.hidden.has(id) || !(this.#all || this.#named.has(id))) return;
    const overtaken = this.#pending.get(id)?.sequence;
    this.#pending.delete(id);
    this.#pending.set(id, fact);
    for (const mark of this.#marks)
      if (overtaken !== undefined && mark.at >= overtaken) mark.at = fact.sequence;
  }

  lose(id: string): void {
    this.#pending.delete(id);
    const was = this.#named.delete(id);
    const fact = this.#notifier.facts.get(id);
    if (was || (this.#all && fact?.event.kind === "status")) {
      this.#said.push({ type: "gone", serverId: id, reason: "revoked" });
    }
  }

  grant(id: string): void {
    const fact = this.#notifier.sees(id);
    if (this.#all && fact?.event.kind === "status") this.#pending.set(id, fact);
  }

  anew(): void {
    this.#pending.clear();
    this.#marks = [];
    this.#reset = true;
  }

  /** The next message; undefined: nothing waits. */
  next(): StreamMessage | undefined {
    const said = this.#said.shift();
    if (said) return said;
    if (this.#reset) {
      this.#reset = false;
      if (!this.#all && this.#named.size === 0) return this.next();
      this.#said.push({ type: "reset", reason: "rewound" });
      const named = [...this.#named];
      if (this.#all) this.#subscribe("all", undefined, named);
      else this.#subscribe(named, undefined);
      return this.next();
    }
    const [first] = [...this.#pending.values()].sort((a, b) => a.sequence - b.sequence);
    const due = this.#marks.findIndex(({ at }) => first === undefined || at < first.sequence);
    const [mark] = due < 0 ? [] : this.#marks.splice(due, 1);
    const cursor = (at: number) => `${this.#notifier.epoch}.${at}`;
    if (mark) {
      const whole = mark.whole && { servers: this.#visible() };
      return { type: "present", cursor: cursor(mark.at), ...whole };
    }
    if (!first) return undefined;
    this.#pending.delete(first.event.serverId);
    const type = first.event.kind === "deleted" ? "deleted" : "status";
    return { type, cursor: cursor(first.sequence), event: first.event };
  }

  #visible(): string[] {
    return [...this.#notifier.facts.keys()].filter((id) => this.#notifier.sees(id)?.event.kind === "status");
  }

  #subscribe(servers: string[] | "all" | null | undefined, cursor?: string, also: string[] = []): void {
    const notifier = this.#notifier;
    const all = servers === "all";
    const names = [...new Set(all ? also : (servers ?? []))];
    if (this.#named.size + names.filter((id) => !this.#named.has(id)).length > notifier.most) {
      this.#said.push({ type: "error", code: "limit", message: "too many" });
      return;
    }
    const [epoch, at] = (cursor ?? "").split(".").map(Number);
    const resumes = cursor !== undefined && epoch === notifier.epoch && (at ?? 0) <= notifier.sequence;
    const since = resumes ? (at ?? 0) : -1;
    const unseen: string[] = [];
    for (const id of names) {
      const fact = notifier.sees(id);
      if (!fact) {
        unseen.push(id);
        this.#named.delete(id);
        continue;
      }
      this.#named.add(id);
      if (fact.sequence > since || notifier.granted.has(id)) this.#pending.set(id, fact);
    }
    if (all) {
      this.#all = true;
      for (const id of notifier.facts.keys()) {
        const fact = notifier.sees(id);
        const isNew = fact && (fact.sequence > since || notifier.granted.has(id));
        if (isNew && (resumes || fact.event.kind === "status")) this.#pending.set(id, fact);
      }
    }
    const seen = names.filter((id) => !unseen.includes(id));
    if (unseen.length > 0) {
      this.#said.push({
        type: "error",
        code: "not_found",
        message: "there is no such server",
        servers: unseen,
      });
    }
    if (seen.length === 0 && !all) return;
    this.#said.push({ type: "subscribed", all, servers: seen });
    if (cursor !== undefined && !resumes) this.#said.push({ type: "reset", reason: "epoch" });
    if (!resumes) this.#said.push({ type: "snapshot" });
    this.#marks.push({ at: notifier.sequence, whole: all && resumes });
  }

  #unsubscribe(servers: string[] | "all" | null | undefined): void {
    const ended = servers === "all" ? [] : (servers ?? []).filter((id) => this.#named.delete(id));
    if (servers === "all") this.#all = false;
    for (const id of [...this.#pending.keys()]) {
      if (!this.#all && !this.#named.has(id)) this.#pending.delete(id);
    }
    this.#said.push({ type: "unsubscribed", all: servers === "all", servers: ended });
  }
}
