// Builds packages twice and fails unless both builds are the same to the byte: `node scripts/reproducible.mjs client react`.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

function build(name) {
  const dist = join(root, name, "dist");
  rmSync(dist, { recursive: true, force: true });
  execFileSync("npm", ["run", "build", "-w", name], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  const hash = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");
  return paths.map((path) => `${hash(path)}  ${path.slice(root.length)}`);
}

const names = process.argv.slice(2);
// All once, then all again: what a build leaves behind for the next one counts too.
const [first, second] = [names.flatMap(build), names.flatMap(build)];
for (const line of second) console.log(line);
const differs = [
  ...first.filter((line) => !second.includes(line)),
  ...second.filter((line) => !first.includes(line)),
];
if (first.length === 0 || differs.length > 0) {
  console.error(`two builds differ:\n${differs.join("\n")}`);
  process.exit(1);
}
