/** A line through the values in a box of 100 by 100, its lowest value 0; `undefined` where there is no line to draw. */
export function sparkline(values: readonly number[]): { line: string; area: string } | undefined {
  if (values.length < 2) return undefined;
  const top = Math.max(1, ...values);
  const points = values.map((value, index) => {
    const x = (index / (values.length - 1)) * 100;
    const y = 100 - (value / top) * 100;
    return `${round(x)} ${round(y)}`;
  });
  const line = `M${points.join("L")}`;
  return { line, area: `${line}L100 100L0 100Z` };
}

const round = (value: number) => Math.round(value * 100) / 100;
