import { Api, ApiError } from "../api/http";
import type { Me, SignedIn } from "../api/types";

/** Who looks at the page. */
export type Session =
  /** It is being found out. */
  | { readonly phase: "checking" }
  /** It could not be found out; the token, if there is one, is kept. */
  | { readonly phase: "unreachable"; readonly message: string }
  /** Nobody. */
  | { readonly phase: "out"; readonly notice?: string }
  | { readonly phase: "in"; readonly me: Me }
  /** It was this one; what is shown stays, and grows old, until somebody signs in. */
  | { readonly phase: "expired"; readonly me: Me };

/** Where a token outlives a reload, and not the tab. */
export type TokenStore = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const stored = "mcp-status.token";
// The longest that a timer can wait; it is set again then.
const longestTimer = 2 ** 31 - 1;

const expiredNotice = "Your session has ended. Sign in again.";

/** Holds the token, in memory and in the tab's own storage, and knows whose it is and until when. */
export class SessionKeeper {
  #session: Session = { phase: "checking" };
  #token: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #listeners = new Set<() => void>();
  readonly api: Api;

  /** `onForget`: everything that was shown to somebody has to go, because somebody else is coming, or nobody. */
  constructor(
    base: string,
    private readonly store: TokenStore,
    private readonly onForget: () => void = () => {},
  ) {
    this.api = new Api({ base, token: this.token, onRefused: this.refuse });
  }

  readonly token = (): string | undefined => this.#token;

  readonly snapshot = (): Session => this.#session;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Signs in with the code of a one-time link, else with the token of this tab. */
  async begin(code: string | undefined): Promise<void> {
    this.#set({ phase: "checking" });
    if (code) {
      try {
        const { token } = await this.api.post<SignedIn>("/v1/sign-ins/redeem", { body: { code } });
        return await this.signIn(token);
      } catch (error) {
        // A used link beside a good session is what a reload looks like.
        if (!this.store.getItem(stored)) return this.#set({ phase: "out", notice: linkNotice(error) });
      }
    }
    const token = this.store.getItem(stored);
    if (!token) return this.#set({ phase: "out" });
    try {
      await this.signIn(token);
    } catch (error) {
      if (error instanceof ApiError && error.passing)
        this.#set({ phase: "unreachable", message: error.message });
      else this.#end({ phase: "out", notice: expiredNotice });
    }
  }

  /** Takes a token if the service does, else throws why not and leaves everything as it is. */
  async signIn(token: string): Promise<void> {
    const before = this.#session;
    const asking = new Api({ base: this.api.base, token: () => token, onRefused: () => {} });
    const me = await asking.get<Me>("/v1/me");
    if (before.phase === "expired" && !samePerson(before.me, me)) this.onForget();
    this.#token = token;
    this.store.setItem(stored, token);
    this.#set({ phase: "in", me });
    this.#watch(Date.parse(me.expiresAt));
  }

  /** The token came to its end, or is not taken any more. One that was replaced meanwhile ends nothing. */
  readonly refuse = (token: string): void => {
    if (this.#session.phase !== "in" || token !== this.#token) return;
    this.#end({ phase: "expired", me: this.#session.me });
  };

  signOut(): void {
    this.#end({ phase: "out" });
    this.onForget();
  }

  #end(session: Session) {
    clearTimeout(this.#timer);
    this.#token = undefined;
    this.store.removeItem(stored);
    this.#set(session);
  }

  #watch(expiresAt: number) {
    clearTimeout(this.#timer);
    const token = this.#token;
    if (token === undefined || Number.isNaN(expiresAt)) return;
    const left = expiresAt - Date.now();
    this.#timer = setTimeout(
      () => (Date.now() >= expiresAt ? this.refuse(token) : this.#watch(expiresAt)),
      Math.min(Math.max(left, 0), longestTimer),
    );
  }

  #set(session: Session) {
    this.#session = session;
    for (const listener of this.#listeners) listener();
  }
}

const samePerson = (a: Me, b: Me) => a.actor === b.actor && a.accountId === b.accountId && a.role === b.role;

function linkNotice(error: unknown): string {
  if (error instanceof ApiError && error.passing) return `The link could not be tried. ${error.message}`;
  return "This link was used before, or is too old. Ask for another one, or paste a token.";
}

/** Why a token was not taken, for the one who pasted it. */
export function signInProblem(error: unknown): string {
  if (error instanceof ApiError) {
    if (error.status === 401) return "This token is not taken: it is wrong, incomplete, or has expired.";
    if (error.status === 429) return "Too many attempts. Wait a minute and try again.";
    return error.message;
  }
  return "The service cannot be reached.";
}

const codeOf = ({ hash }: Location) => new URLSearchParams(hash.slice(1)).get("code") ?? undefined;

export const hasCode = (location: Location): boolean => codeOf(location) !== undefined;

/** Takes the code of a one-time link out of an address: it must not stay in the history. */
export function takeCode(location: Location, history: History): string | undefined {
  const code = codeOf(location);
  if (code === undefined) return undefined;
  history.replaceState(history.state, "", location.pathname + location.search);
  return code;
}
