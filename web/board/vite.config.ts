import react from "@vitejs/plugin-react";
import { defaultClientConditions } from "vite";
import { defineConfig } from "vitest/config";

// `npm run dev` shows the board of services that run elsewhere, e.g. those of `scripts/up`: their addresses are in its
// `endpoints.json`.
const notifier = process.env["NOTIFIER_URL"];
const api = process.env["STATUS_API_URL"];
const forward = (target: string | undefined) => (target ? { target, ws: true } : undefined);

export default defineConfig({
  plugins: [react()],
  // The sources of the workspace's own packages: no build of theirs has to come first.
  resolve: { conditions: ["mcp-status-source", ...defaultClientConditions] },
  build: {
    target: "es2022",
    // The page's policy allows no `data:` fonts and no inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: {
    proxy: Object.fromEntries(
      [
        ["/v1/ws", forward(notifier)],
        ["/v1/events", forward(notifier)],
        ["/board.json", forward(notifier)],
        ["/v1", forward(api)],
      ].filter(([, target]) => target),
    ),
  },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
