// Prints how large a bundle is, and fails when it is over its budget of gzipped bytes: `node scripts/size.mjs FILE BUDGET`.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const [file, budget] = process.argv.slice(2);
const bytes = readFileSync(file);
const zipped = gzipSync(bytes, { level: 9 }).length;
console.log(`${file}: ${bytes.length} bytes, ${zipped} gzipped (budget ${budget})`);
if (!(zipped <= Number(budget))) {
  console.error(`${file} is over its budget`);
  process.exit(1);
}
