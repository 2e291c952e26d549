// Writes TypeScript types from the JSON Schemas and the OpenAPI document in proto/, which are made of the Rust wire types.
// With --check it writes nothing and fails when a file differs.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";

const root = new URL("../../", import.meta.url);
const into = new URL("web/client/src/generated/", root);
const check = process.argv.includes("--check");

const read = async (path) => JSON.parse(await readFile(new URL(path, root), "utf8"));

/** Schemas say "additional fields are none of your business"; types that repeat it everywhere are hard to read. */
const options = {
  additionalProperties: false,
  bannerComment: "",
  unreachableDefinitions: true,
  enableConstEnums: false,
  format: true,
  style: { printWidth: 120 },
};

const banner = (of) => `// Generated from ${of} by \`npm run types\`. Do not edit.\n\n`;

async function fromSchemas(names) {
  const definitions = {};
  for (const name of names) {
    const { $defs = {}, $schema, $id, ...schema } = await read(`proto/schemas/v1/${name}.json`);
    Object.assign(definitions, $defs, { [schema.title]: schema });
  }
  return compileAll(definitions);
}

async function fromOpenApi() {
  const { components } = await read("proto/openapi.json");
  const text = JSON.stringify(components.schemas).replaceAll("#/components/schemas/", "#/$defs/");
  return compileAll(JSON.parse(text));
}

/** Fields that are only described beside a `$ref` lose the description; with more beside it, it is an intersection. */
function plain(node) {
  if (Array.isArray(node)) return node.map(plain);
  if (node === null || typeof node !== "object") return node;
  if (typeof node.$ref === "string") {
    const { $ref, description, ...more } = node;
    return Object.keys(more).length === 0 ? { $ref } : { allOf: [{ $ref }, plain(more)] };
  }
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, plain(value)]));
}

async function compileAll(definitions) {
  const sorted = Object.fromEntries(Object.entries(plain(definitions)).sort(([a], [b]) => (a < b ? -1 : 1)));
  for (const [name, schema] of Object.entries(sorted)) schema.title = name;
  const text = await compile(
    { title: "Unused", type: "object", properties: {}, $defs: sorted },
    "Unused",
    options,
  );
  return text
    .replace(
      /\n \*\n \* This interface was referenced by `Unused`'s JSON-Schema\n \* via the `definition` "\w+"\./g,
      "",
    )
    .replace(/(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?export interface Unused \{\}\n/, "");
}

let differs = false;
async function put(name, text) {
  const file = new URL(name, into);
  const had = await readFile(file, "utf8").catch(() => undefined);
  if (had === text) return;
  if (check) {
    differs = true;
    console.error(`${fileURLToPath(file)} is not what proto/ says: run \`npm run types\` in web/`);
  } else {
    await writeFile(file, text);
  }
}

await put(
  "stream.ts",
  banner("proto/schemas/v1") + (await fromSchemas(["stream-message", "stream-request"])),
);
await put("api.ts", banner("proto/openapi.json") + (await fromOpenApi()));
process.exit(differs ? 1 : 0);
