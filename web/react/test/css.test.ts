import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const css = readFileSync("src/badge.css", "utf8");

type Colour = [number, number, number];

function colour(hex: string): Colour {
  const part = (at: number) => Number.parseInt(hex.slice(at, at + 2), 16);
  return [part(1), part(3), part(5)];
}

/** Both values of a `light-dark()` behind a variable's name. */
function pair(variable: string): [Colour, Colour] {
  const found = new RegExp(`var\\(--mcp-status-${variable}, light-dark\\((#\\w{6}), (#\\w{6})\\)`).exec(css);
  if (found?.[1] === undefined || found[2] === undefined) throw new Error(`no colours for ${variable}`);
  return [colour(found[1]), colour(found[2])];
}

/** How much of the tint is in the ground, as the sheet says. */
const share = Number(/background: color-mix\(in srgb, var\(--_tint\) (\d+)%/.exec(css)?.[1]) / 100;

const mix = (a: Colour, b: Colour): Colour =>
  [0, 1, 2].map((n) => a[n as 0] * share + b[n as 0] * (1 - share)) as Colour;

function luminance(rgb: Colour): number {
  const [r, g, b] = rgb.map((value) => {
    const v = value / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  }) as Colour;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The contrast of two colours, as WCAG has it. */
function contrast(a: Colour, b: Colour): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

describe.each(["healthy", "degraded", "error", "busy", "idle"])("%s", (tone) => {
  const tint = css.includes(`--mcp-status-${tone}-tint, var(--_mark)`) ? `${tone}-mark` : `${tone}-tint`;
  test.each([
    ["light", 0],
    ["dark", 1],
  ] as const)("is readable in %s, tinted or stale", (_, mode) => {
    const base = pair("base")[mode];
    for (const ground of [base, mix(pair(tint)[mode], base)]) {
      expect(contrast(pair(tone)[mode], ground)).toBeGreaterThanOrEqual(4.5);
      expect(contrast(pair(`${tone}-mark`)[mode], ground)).toBeGreaterThanOrEqual(3);
    }
  });
});

test("contrast is WCAG's", () => {
  expect(contrast(colour("#000000"), colour("#ffffff"))).toBeCloseTo(21);
  expect(contrast(colour("#777777"), colour("#ffffff"))).toBeCloseTo(4.48, 2);
});

test("names nothing that is not the badge's", () => {
  const rules = css.replace(/\/\*[\s\S]*?\*\//g, "");
  for (const [, name] of rules.matchAll(/\.([a-z][\w-]*)/g)) expect(name).toMatch(/^mcp-status-/);
});

test("moves only for those who do not mind", () => {
  const outside = css.replace(/@media \(prefers-reduced-motion: no-preference\) \{[\s\S]*?\n\}\n/, "");
  expect(css).toContain("animation:");
  expect(outside).not.toContain("animation:");
});
