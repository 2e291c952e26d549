import { expect, type Locator, type Page } from "@playwright/test";
import type { Simulated } from "./stack.ts";

/** Opens the board and signs in with a token, as a person does. */
export async function signIn(page: Page, url: string, token: string): Promise<void> {
  await page.goto(url);
  await enterToken(page, token);
}

/** Enters a token where the page asks for one. */
export async function enterToken(page: Page, token: string): Promise<void> {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Where a server is in the list, for the page's own scripts too. */
export function rowOf(server: Simulated): string {
  return `a[data-row][href="/servers/${server.id}"]`;
}

/** The row of a server in the list. */
export function row(page: Page, server: Simulated): Locator {
  return page.locator(rowOf(server));
}

/** The badge within a row or page. */
export function badge(within: Locator): Locator {
  return within.locator(".mcp-status-badge").first();
}

/** Waits until a badge says a state in a tone. */
export async function shows(
  locator: Locator,
  state: string,
  tone: "green" | "yellow" | "red" | "blue" | "grey",
): Promise<void> {
  await expect(locator).toContainText(state);
  await expect(locator).toHaveAttribute("data-tone", tone);
}
