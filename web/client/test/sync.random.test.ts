import { describe, expect, it } from "vitest";
import { Book, type Scope } from "../src/book.js";
import { Sync } from "../src/sync.js";
import { Notifier, type Session } from "./notifier.js";

/** Mulberry32: the same sequence for the same seed, so that what fails can be looked at again. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

const SEEDS = 2000;
const IDS = ["a", "b", "c", "d", "e", "f"];

/** A client and a notifier between which anything happens at any time. */
export class Run {
  readonly notifier = new Notifier();
  readonly book = new Book();
  readonly sync = new Sync(this.book);
  readonly random: (below: number) => number;
  wanted: Scope = { all: false, toolboxes: false, servers: new Set() };
  session: Session | undefined;
  rewinds = 0;
  healed = false;
  seen = new Map<string, { version: number; rewinds: number }>();

  constructor(seed: number) {
    this.random = generator(seed);
    for (const id of IDS.slice(0, 4)) this.notifier.change(id);
  }

  pick = () => IDS[this.random(IDS.length)] as string;

  step(): unknown {
    const { notifier } = this;
    switch (this.random(24)) {
      case 0:
        return this.want();
      case 1:
        return notifier.delete(this.pick());
      case 2:
        return this.disconnect();
      case 3:
        if (this.random(6) > 0) return;
        this.rewinds += 1;
        return notifier.rewind();
      case 4:
        if (this.random(3) === 0) notifier.hide(this.pick());
        return;
      case 5:
        return notifier.unhide();
      case 6:
      case 7:
      case 8:
        if (!this.session) this.connect();
        return;
      case 9:
      case 10:
      case 11:
      case 12: {
        const id = this.pick();
        // Another that was deleted does not come back under its id.
        if (notifier.facts.get(id)?.event.kind !== "deleted") notifier.change(id);
        return;
      }
      default:
        this.deliver();
    }
  }

  want(): void {
    const servers = new Set(IDS.filter(() => this.random(3) === 0));
    this.wanted = { all: this.random(3) === 0, toolboxes: false, servers };
    this.sync.want(this.wanted);
    // Who watches nothing has no connection.
    if (!this.wanted.all && servers.size === 0) this.disconnect();
    this.ask();
  }

  disconnect(): void {
    this.session?.close();
    this.session = undefined;
  }

  connect(): void {
    this.session = this.notifier.connect();
    this.sync.begin();
    this.ask();
  }

  ask(): void {
    const { session } = this;
    if (session) for (const request of this.sync.plan()) session.ask(request);
  }

  deliver(): boolean {
    const message = this.session?.next();
    if (!message) return false;
    this.sync.take(message);
    this.ask();
    this.check();
    return true;
  }

  /** What is shown never goes back, unless the source did. */
  check(): void {
    for (const { serverId, version } of this.book.servers()) {
      const former = this.seen.get(serverId);
      if (former?.version === version) continue;
      if (former?.rewinds === this.rewinds) expect(version, serverId).toBeGreaterThan(former.version);
      this.seen.set(serverId, { version, rewinds: this.rewinds });
    }
  }

  settle(): void {
    this.sync.want(this.wanted);
    if (!this.session) this.connect();
    while (this.deliver());
    const isWatching = this.wanted.all || this.wanted.servers.size > 0;
    if (isWatching && !this.sync.synced) {
      // A reset while nothing was subscribed voids an end that was still to be told, and says nothing of it: the core
      // connects again.
      this.healed = true;
      this.disconnect();
      this.connect();
      while (this.deliver());
    }
    // What went out of sight and came back is found when it is asked for again.
    this.sync.retry();
    this.ask();
    while (this.deliver());
  }

  shown(): Record<string, string> {
    const { all, servers } = this.wanted;
    const ids = all ? IDS : [...servers];
    const shown = ids.map((id): [string, string] => {
      const { status, error } = this.book.get(id) ?? {};
      return [
        id,
        status ? `${status.name} ${status.version}` : servers.has(id) ? (error?.code ?? "nothing") : "-",
      ];
    });
    return Object.fromEntries(shown);
  }

  /** What is to be shown. Why something is not there depends on what was seen of it; that it is not, does not. */
  truth(): Record<string, unknown> {
    const { all, servers } = this.wanted;
    const ids = all ? IDS : [...servers];
    const absent = expect.stringMatching(/^(not_found|deleted|revoked)$/);
    const truth = ids.map((id): [string, unknown] => {
      const event = this.notifier.sees(id)?.event;
      if (event?.kind === "status") return [id, `${event.name} ${event.version}`];
      return [id, servers.has(id) ? absent : "-"];
    });
    return Object.fromEntries(truth);
  }
}

describe("whatever happens, in whatever order", () => {
  it("what is shown in the end is what is true, and never went back", () => {
    let healed = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = new Run(seed);
      try {
        for (let step = 0; step < 150; step++) run.step();
        run.settle();
        expect(run.shown()).toEqual(run.truth());
        if (run.healed) healed += 1;
        if (run.wanted.all || run.wanted.servers.size > 0) expect(run.sync.synced).toBe(true);
        expect(run.sync.complete).toBe(run.wanted.all);
        expect(run.book.servers().length).toBe(
          Object.values(run.truth()).filter((it) => /-/.test(String(it)) && it !== "-").length,
        );
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    expect(healed).toBeLessThan(SEEDS / 500);
  }, 60_000);
});
