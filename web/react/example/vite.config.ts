import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  resolve: { conditions: ["mcp-status-source", "module", "browser", "development|production"] },
});
