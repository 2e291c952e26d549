import type { Effect } from "./events.js";
import type { TokenReason } from "./types.js";

/** A token is renewed so long before its end. */
const RENEW_BEFORE = 60_000;
/** One that was not renewed is asked for again. */
const RENEW_AGAIN = 15_000;
/** How often in a row new ones may be refused. */
const REFUSALS = 2;

/** What comes of a token that the application gave. */
export type Given =
  /** It answers an earlier question. */
  | "late"
  /** It could not say. */
  | "none"
  /** Nobody is signed in, or it is the one that was refused. */
  | "signed_out"
  /** The one in use: there is none newer. */
  | "same"
  | "newer"
  /** It speaks for somebody else than the last one: he is shown nothing that was told to that one. */
  | "another_person";

/** The token in use, and when the application is asked for another: one question at a time. */
export class Tokens {
  current: string | undefined;
  /** When the next one is wanted, although this one is good. */
  renewAt: number | undefined;
  #expiresAt: number | undefined;
  #whose: string | undefined;
  #isAsking = false;
  /** Which question is the last. */
  #asked = 0;
  #reason: TokenReason = "connect";
  #refused: string | undefined;
  #refusals = 0;

  /** Whether a connection may be begun with the one that is there. */
  isGood(now: number): boolean {
    const isEnding = this.#expiresAt !== undefined && now >= this.#expiresAt - RENEW_BEFORE / 2;
    return this.current !== undefined && !isEnding;
  }

  ask(reason: TokenReason = this.current === undefined ? this.#reason : "expiring"): Effect[] {
    if (this.#isAsking) return [];
    this.#isAsking = true;
    this.#asked += 1;
    return [{ type: "ask_token", reason, asked: this.#asked }];
  }

  renew(now: number): Effect[] {
    if (this.renewAt === undefined || now < this.renewAt) return [];
    this.renewAt = now + RENEW_AGAIN;
    return this.ask("expiring");
  }

  given(asked: number, token: string | null | undefined): Given {
    // One that was asked for before signing in or out may be another person's.
    if (asked !== this.#asked) return "late";
    this.#isAsking = false;
    if (token === undefined) return "none";
    if (token === null || token === this.#refused) return "signed_out";
    // One that cannot be had any newer is good until it is refused.
    this.#expiresAt = undefined;
    if (token === this.current) return "same";
    const whose = whoseToken(token);
    const isAnother = this.#whose !== undefined && this.#whose !== whose;
    this.current = token;
    this.#whose = whose;
    this.#reason = "connect";
    return isAnother ? "another_person" : "newer";
  }

  /** The server took it, until then. */
  accepted(expiresAt: number, now: number): void {
    this.#refused = undefined;
    this.#refusals = 0;
    const left = expiresAt - now;
    // One that was taken just now has not ended: where it seems so, this clock is wrong and cannot tell when it will.
    const isKnown = left > 0;
    this.#expiresAt = isKnown ? expiresAt : undefined;
    this.renewAt = isKnown ? now + Math.max(left / 2, left - RENEW_BEFORE) : undefined;
  }

  /** It was not taken in place of the one before, which goes on. */
  notTaken(): Effect[] {
    this.#refused = this.current;
    return this.ask("refused");
  }

  /** It was not taken, or has ended: whether another is worth a try, and at once. */
  refused(): "at_once" | "later" | "never" {
    this.#refused = this.current;
    this.current = undefined;
    this.#reason = "refused";
    this.#refusals += 1;
    return this.#refusals === 1 ? "at_once" : this.#refusals <= REFUSALS ? "later" : "never";
  }

  /** Whatever was asked for is asked for anew. */
  begin(): void {
    this.current = undefined;
    this.#expiresAt = undefined;
    this.#refused = undefined;
    this.#refusals = 0;
    this.#isAsking = false;
    this.#asked += 1;
    this.#reason = "connect";
  }

  /** Forgets who it was. */
  forget(): void {
    this.begin();
    this.#whose = undefined;
  }
}

/**
 * Whom a JWT speaks for, as it says itself: enough to notice that somebody else signed in. Empty for what cannot be read,
 * which is nobody else than the next one that cannot be.
 */
function whoseToken(token: string): string {
  try {
    const [, payload = ""] = token.split(".");
    const claims: { iss?: unknown; sub?: unknown; role?: unknown } = JSON.parse(
      atob(payload.replaceAll("-", "+").replaceAll("_", "/")),
    );
    return JSON.stringify([claims.iss, claims.sub, claims.role]);
  } catch {
    return "";
  }
}
