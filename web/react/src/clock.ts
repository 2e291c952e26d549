/** One timer for all that tick at the same pace. */
export class Ticker {
  readonly #everyMs: number;
  readonly #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** The beginning of the present tick, in milliseconds since 1970. */
  now(): number {
    const now = Date.now();
    return now - (now % this.#everyMs);
  }

  /** Tells `listener` of each tick, until what it gives back is called. Bound, to be handed to React as it is. */
  readonly listen = (listener: () => void): (() => void) => {
    // The same function may come from several components: each has its own entry.
    const entry = () => listener();
    this.#listeners.add(entry);
    if (this.#listeners.size === 1) {
      document.addEventListener("visibilitychange", this.#onVisibility);
      this.#schedule();
    }
    return () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size > 0) return;
      document.removeEventListener("visibilitychange", this.#onVisibility);
      clearTimeout(this.#timer);
    };
  };

  readonly #tick = () => {
    this.#schedule();
    for (const listener of this.#listeners) listener();
  };

  /** Waits for the next multiple of the pace, so that everything on the page changes together. */
  #schedule() {
    clearTimeout(this.#timer);
    if (document.visibilityState === "hidden") return;
    this.#timer = setTimeout(this.#tick, this.#everyMs - (Date.now() % this.#everyMs));
  }

  /** A page that is seen again shows the present at once; one that is hidden costs nothing. */
  readonly #onVisibility = () => {
    if (document.visibilityState === "hidden") clearTimeout(this.#timer);
    else this.#tick();
  };
}

const tickers = new Map<number, Ticker>();

/** The ticker of a pace. Paces are few, and an idle ticker is a number and an empty set. */
export function ticker(everyMs: number): Ticker {
  if (!(everyMs > 0)) throw new RangeError(`a clock cannot tick every ${everyMs} ms`);
  let found = tickers.get(everyMs);
  if (found === undefined) {
    found = new Ticker(everyMs);
    tickers.set(everyMs, found);
  }
  return found;
}

/** What texts of seconds tick by. */
export const everySecond = ticker(1_000);
