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

export type Colour = "green" | "yellow" | "red" | "blue" | "grey";

/** What a person calls the colour that the badge's mark is painted in. */
export function colour(shown: Locator): Promise<Colour> {
  return shown.locator(".mcp-status-mark").evaluate((mark): Colour => {
    const [red = 0, green = 0, blue = 0] =
      getComputedStyle(mark)
        .color.match(/[\d.]+/g)
        ?.map(Number) ?? [];
    const [least, most] = [Math.min(red, green, blue), Math.max(red, green, blue)];
    if (most - least < 40) return "grey";
    const sixth = { [red]: (green - blue) / (most - least), [green]: 2 + (blue - red) / (most - least) };
    const hue = ((sixth[most] ?? 4 + (red - green) / (most - least)) * 60 + 360) % 360;
    if (hue < 20 || hue > 330) return "red";
    if (hue < 70) return "yellow";
    return hue < 180 ? "green" : "blue";
  });
}

/** Waits until a badge says a state, in its colour. */
export async function shows(shown: Locator, state: string, inColour: Colour): Promise<void> {
  await expect(shown).toContainText(state);
  await expect.poll(() => colour(shown)).toBe(inColour);
}
