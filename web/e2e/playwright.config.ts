import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

/** What Debian and others call it; the first that is there. */
const browsers = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const folders = (process.env.PATH ?? "").split(":");
const browser = browsers
  .flatMap((name) => folders.map((folder) => `${folder}/${name}`))
  .find((path) => existsSync(path));

export default defineConfig({
  testDir: "tests",
  // A whole stack each: two at a time would only wait for each other.
  workers: 1,
  fullyParallel: false,
  retries: 0,
  forbidOnly: true,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  reporter: [["list"]],
  use: {
    launchOptions: {
      ...(browser === undefined ? {} : { executablePath: browser }),
      args: ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"],
    },
    trace: "off",
  },
});
