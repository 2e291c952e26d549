import { expect, test } from "@playwright/test";
import { badge, enterToken, row, rowOf, shows, signIn } from "../src/signed-in.ts";
import { freePort, Notifier, Stack } from "../src/stack.ts";

test.describe("a quiet fleet", () => {
  let stack: Stack;
  let port: number;

  test.beforeAll(async () => {
    port = await freePort();
    stack = await Stack.start({
      toolboxes: 4,
      containers: 2,
      accounts: 2,
      // Pages of the notifier beside the stack ask the stack's status-api.
      env: { API_CORS_ORIGINS: `http://127.0.0.1:${port}` },
    });
  });

  test.afterAll(async () => stack.stop());

  /** The first account's servers; the others are another's. */
  const own = (n: number) => {
    const server = stack.servers.filter((one) => one.account === stack.accounts[0])[n];
    if (server === undefined) throw new Error("there are too few servers");
    return server;
  };

  test("a stopped container turns its badge grey, without a reload", async ({ page }) => {
    const server = own(0);
    await signIn(page, stack.board, await stack.token());
    await shows(badge(row(page, server)), "RUNNING", "green");
    // The page's own clock, which is this machine's: when the event was written, and when the page had it.
    await page.evaluate((selector) => {
      const target = document.querySelector(selector);
      if (target === null) throw new Error("no row");
      new MutationObserver(() => {
        if (target.textContent?.includes("STOPPED") && !("seenAt" in window))
          Object.assign(window, { seenAt: Date.now() });
      }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
      Object.assign(window, { neverReloaded: true });
    }, rowOf(server));
    await stack.container(server, "stop");
    await shows(badge(row(page, server)), "STOPPED", "grey");
    const changedAt = JSON.parse(await stack.statusctl("get", server.id, "--json")).changedAt as string;
    const seenAt = await page.evaluate(() => (window as unknown as { seenAt: number }).seenAt);
    test.info().annotations.push({
      type: "figure",
      description: `${seenAt - Date.parse(changedAt)} ms from the event to the page`,
    });
    console.log(`${seenAt - Date.parse(changedAt)} ms from the event to the page`);
    expect(await page.evaluate(() => "neverReloaded" in window)).toBe(true);
  });

  test("start goes blue, then green, and says what came of it", async ({ page }) => {
    const server = own(1);
    await stack.container(server, "stop");
    await signIn(page, `${stack.board}/servers/${server.id}`, await stack.token());
    const shown = badge(page.getByRole("main"));
    await shows(shown, "STOPPED", "grey");
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await shows(shown, "STARTING", "blue");
    await shows(shown, "RUNNING", "green");
  });

  test("another tenant's server never appears, also not by its URL", async ({ page }) => {
    const foreign = stack.servers.find((server) => server.account !== stack.accounts[0]);
    if (foreign === undefined) throw new Error("there is one account only");
    const told: string[] = [];
    page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => told.push(String(payload))));
    page.on(
      "response",
      (response) =>
        void response.text().then(
          (text) => told.push(text),
          () => undefined,
        ),
    );
    await signIn(page, stack.board, await stack.token());
    await expect(row(page, own(0))).toBeVisible();
    await stack.container(foreign, "stop");
    // What happens to one's own after it comes after it.
    await stack.container(own(0), "start");
    await shows(badge(row(page, own(0))), "RUNNING", "green");
    await expect(row(page, foreign)).toHaveCount(0);
    await page.goto(`${stack.board}/servers/${foreign.id}`);
    await expect(page.getByRole("heading", { name: "Nothing here." })).toBeVisible();
    await page.goto(`${stack.board}/toolboxes/${foreign.toolboxId}`);
    await expect(page.getByRole("heading", { name: "Nothing here." })).toBeVisible();
    const named = told.filter((text) => text.includes(foreign.account) || text.includes(foreign.toolbox));
    expect(named).toEqual([]);
  });

  test("a token's end asks to sign in again, and goes on", async ({ page }) => {
    const server = own(2);
    await signIn(page, `${stack.board}/?q=mcp`, await stack.token({ lasts: "4s" }));
    await shows(badge(row(page, server)), "RUNNING", "green");
    const dialog = page.getByRole("dialog");
    await expect(dialog).toContainText(/session has ended/i);
    await stack.container(server, "stop");
    await enterToken(page, await stack.token());
    await expect(dialog).toHaveCount(0);
    await shows(badge(row(page, server)), "STOPPED", "grey");
    expect(new URL(page.url()).search).toBe("?q=mcp");
  });

  test("another person's token at the end shows nothing of the first one", async ({ page }) => {
    await signIn(page, stack.board, await stack.token({ lasts: "4s" }));
    await expect(row(page, own(0))).toBeVisible();
    await expect(page.getByRole("dialog")).toContainText(/session has ended/i);
    await enterToken(page, await stack.token({ account: stack.accounts[1] ?? "" }));
    const foreign = stack.servers.find((server) => server.account === stack.accounts[1]);
    if (foreign === undefined) throw new Error("there is one account only");
    await expect(row(page, foreign)).toBeVisible();
    await expect(row(page, own(0))).toHaveCount(0);
  });

  test("the link that statusctl prints signs in, once", async ({ page, browser }) => {
    const link = await stack.statusctl("board");
    await page.goto(link);
    await expect(row(page, own(0))).toBeVisible();
    expect(page.url()).not.toContain("code");
    await page.reload();
    await expect(row(page, own(0))).toBeVisible();
    const other = await browser.newPage();
    await other.goto(link);
    await expect(other.getByText(/link .*(used|expired)/i)).toBeVisible();
    await other.close();
  });

  test("notifier is killed and comes back: the page says so, and catches up by itself", async ({ page }) => {
    const server = own(3);
    const notifier = await Notifier.start(stack, port);
    try {
      await signIn(page, notifier.url, await stack.token());
      await shows(badge(row(page, server)), "RUNNING", "green");
      await notifier.kill();
      await expect(
        page
          .getByRole("status")
          .filter({ hasText: /reconnect|paused/i })
          .first(),
      ).toBeVisible();
      await stack.container(server, "stop");
      await notifier.restart();
      await shows(badge(row(page, server)), "STOPPED", "grey");
      await expect(page.getByRole("status").filter({ hasText: /reconnect|paused/i })).toHaveCount(0);
    } finally {
      await notifier.stop();
    }
  });
});
