import { defineConfig } from "vitest/config";

export default defineConfig({
  build: {
    target: "es2022",
    lib: { entry: "src/index.ts", formats: ["es"], fileName: "index" },
    sourcemap: false,
    // Vite itself leaves the blanks of a library in.
    rolldownOptions: { output: { minify: true } },
  },
  test: { include: ["test/**/*.test.ts"] },
});
