import { expect, test } from "@playwright/test";
import { badge, row, rowOf, shows, signIn } from "../src/signed-in.ts";
import { Stack } from "../src/stack.ts";

test("an agent falls silent: yellow, then grey, then unknown, and why", async ({ page }) => {
  const stack = await Stack.start({
    toolboxes: 3,
    containers: 1,
    heartbeat: "1s",
    // Minutes as seconds; what is shown and in which order is the same.
    env: {
      MAPPER_HEALTHY_FOR: "8s",
      MAPPER_DEGRADED_FOR: "16s",
      MAPPER_UNKNOWN_AFTER: "24s",
      POLLER_DEAD_MAN: "2s",
      POLLER_TIMEOUT: "1s",
    },
  });
  try {
    const [server, other] = stack.servers;
    if (server === undefined || other === undefined) throw new Error("there are too few servers");
    await signIn(page, stack.board, await stack.token());
    const shown = badge(row(page, server));
    await shows(shown, "RUNNING", "green");
    const tones = await page.evaluateHandle((selector) => {
      const seen: string[] = [];
      const look = () => {
        const tone = document.querySelector(`${selector} .mcp-status-badge`)?.getAttribute("data-tone");
        if (tone !== null && tone !== undefined && seen.at(-1) !== tone) seen.push(tone);
      };
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
      look();
      return seen;
    }, rowOf(server));
    await stack.sim(`toolboxes/${server.toolboxId}/misbehave`, { kind: "silent" });
    await stack.sim(`toolboxes/${server.toolboxId}/misbehave`, { kind: "hang" });
    await shows(shown, "RUNNING", "yellow");
    await shows(shown, "UNKNOWN", "grey");
    await expect(row(page, server)).toContainText("Nothing heard since");
    // Never red: nobody knows that it failed. The colours of these tones are looked at above.
    expect(await tones.jsonValue()).toEqual(["healthy", "degraded", "idle"]);
    await shows(badge(row(page, other)), "RUNNING", "green");
    await stack.sim(`toolboxes/${server.toolboxId}/clear`, {});
    await shows(shown, "RUNNING", "green");
  } finally {
    await stack.stop();
  }
});
