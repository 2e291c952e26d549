import { defineConfig } from "vitest/config";

export default defineConfig({
  build: {
    target: "es2022",
    lib: { entry: "src/index.ts", formats: ["es"], fileName: "index" },
    rolldownOptions: {
      external: [/^react($|\/)/, "@mcp-status/client"],
      // Hooks need a browser's React: frameworks with server components are told so.
      output: { banner: '"use client";' },
    },
    minify: true,
    sourcemap: false,
  },
  resolve: { conditions: ["mcp-status-source"] },
  ssr: { resolve: { conditions: ["mcp-status-source"] } },
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.{ts,tsx}"],
    setupFiles: ["test/setup.ts"],
    // A thousand badges take a while on a machine that is busy with other things.
    testTimeout: 30_000,
  },
});
