import type { Transport } from "./types.js";

const BACKOFF_FIRST = 500;
const BACKOFF_MOST = 30_000;
/** Who asked for too much, or for what cannot be, waits at least so long. */
const OVERDONE = 5_000;
/** A transport that failed so often in a row makes room for the next one. */
const FAILURES = 2;
/** The better transport is tried again after so long, then twice as long, up to the other. */
const BETTER_FIRST = 30_000;
const BETTER_MOST = 300_000;

/** Why a connection was lost, or could not be had. */
export interface Loss {
  readonly code?: number;
  readonly reason?: string;
  readonly retryAfterMs?: number;
}

/** Which transport is tried, and when. */
export class Attempts {
  transports: readonly Transport[];
  /** When the next attempt is; undefined: at once. */
  retryAt: number | undefined;
  /** When a better transport than the one that is there is looked for. */
  betterAt: number | undefined;
  readonly #random: () => number;
  #transport = 0;
  #failures = 0;
  #attempt = 0;
  #betterIn = BETTER_FIRST;

  constructor(transports: readonly Transport[], random: () => number) {
    this.transports = transports;
    this.#random = random;
  }

  get transport(): Transport {
    return this.transports[this.#transport] ?? "polling";
  }

  /** Whether there is a better one than the one in use. */
  get isSecondBest(): boolean {
    return this.#transport > 0;
  }

  succeeded(now: number): void {
    this.#failures = 0;
    if (this.isSecondBest) this.betterAt = now + this.#betterIn;
    else this.#betterIn = BETTER_FIRST;
  }

  /** The connection held, and is lost for reasons of its own: the next one begins the count anew. */
  held(): void {
    this.#attempt = 0;
  }

  /** Not even a refusal came through by this transport. */
  failed(): "another" | "same" {
    this.#failures += 1;
    if (this.#failures < FAILURES) return "same";
    this.#failures = 0;
    this.#transport = (this.#transport + 1) % this.transports.length;
    return this.isSecondBest ? "another" : "same";
  }

  wait({ code, retryAfterMs }: Loss, now: number): void {
    // Full jitter: whoever lost it together does not come back together. What the server asks for, it has spread itself.
    const backoff = this.#random() * Math.min(BACKOFF_FIRST * 2 ** this.#attempt, BACKOFF_MOST);
    const least = retryAfterMs ?? (code === 4429 || code === 4400 ? OVERDONE : 0);
    const isSpread = retryAfterMs !== undefined && this.#attempt === 0;
    this.#attempt += 1;
    this.retryAt = now + least + (isSpread ? 0 : Math.round(backoff));
  }

  /** Somebody waits, or the network is back. */
  hurry(): void {
    this.#attempt = 0;
    this.retryAt = undefined;
  }

  /** Whether it is time to look for a better one. */
  isBetterDue(now: number): boolean {
    if (this.betterAt === undefined || now < this.betterAt) return false;
    this.#betterIn = Math.min(2 * this.#betterIn, BETTER_MOST);
    this.betterAt = undefined;
    return true;
  }

  noBetter(now: number): void {
    this.betterAt = now + this.#betterIn;
  }

  takeBest(): void {
    this.#transport = 0;
  }
}
