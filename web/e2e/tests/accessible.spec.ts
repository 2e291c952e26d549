import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { row, signIn } from "../src/signed-in.ts";
import { Stack } from "../src/stack.ts";

/** The rules of WCAG 2.2, levels A and AA, and what axe calls good practice. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

async function violations(page: Page): Promise<string[]> {
  const { violations: found } = await new AxeBuilder({ page }).withTags(RULES).analyze();
  return found.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

test.describe("every page", () => {
  let stack: Stack;

  test.beforeAll(async () => {
    stack = await Stack.start({ toolboxes: 4, containers: 3 });
    const [first, second] = stack.servers;
    if (first === undefined || second === undefined) throw new Error("there are too few servers");
    await stack.container(first, "crash", { exit_code: 137, oom: true });
    await stack.container(second, "stop");
  });

  test.afterAll(async () => stack.stop());

  for (const scheme of ["light", "dark"] as const) {
    for (const [form, viewport] of [
      ["desk", { width: 1280, height: 900 }],
      ["phone", { width: 390, height: 844 }],
    ] as const) {
      test(`has no violation that axe knows of, ${scheme}, ${form}`, async ({ browser }) => {
        const context = await browser.newContext({ colorScheme: scheme, viewport, reducedMotion: "reduce" });
        const page = await context.newPage();
        const server = stack.servers[0];
        if (server === undefined) throw new Error("there is no server");
        await page.goto(stack.board);
        await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
        expect(await violations(page)).toEqual([]);
        await signIn(page, stack.board, await stack.token());
        await expect(row(page, server)).toBeVisible();
        expect(await violations(page)).toEqual([]);
        for (const path of [
          `/servers/${server.id}`,
          `/toolboxes/${server.toolboxId}`,
          "/servers/00000000-0000-4000-8000-000000000000",
        ]) {
          await page.goto(stack.board + path);
          await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
          // What is loaded later is looked at as well.
          await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
          expect(await violations(page)).toEqual([]);
        }
        await context.close();
      });
    }
  }

  test("breaks none of its own rules: nothing from elsewhere, nothing against the policy", async ({
    page,
  }) => {
    const origins = new Set([
      new URL(stack.board).origin,
      new URL(stack.endpoints.services["status-api"].url).origin,
    ]);
    const elsewhere: string[] = [];
    const complaints: string[] = [];
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && !origins.has(url.origin)) elsewhere.push(request.url());
    });
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    const server = stack.servers[0];
    if (server === undefined) throw new Error("there is no server");
    await signIn(page, stack.board, await stack.token());
    await expect(row(page, server)).toBeVisible();
    await page.goto(`${stack.board}/servers/${server.id}`);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
    expect(elsewhere).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
