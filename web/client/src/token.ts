/**
 * Whom a JWT speaks for, as it says itself: enough to notice that somebody else signed in. Empty for what cannot be read,
 * which is nobody else than the next one that cannot be.
 */
export function whoseToken(token: string): string {
  try {
    const [, payload = ""] = token.split(".");
    const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as {
      iss?: unknown;
      sub?: unknown;
      role?: unknown;
    };
    return JSON.stringify([claims.iss, claims.sub, claims.role]);
  } catch {
    return "";
  }
}
