/** An uptime as people read it: cut and never rounded up, with as many digits as tell it from 100 %. */
export function formatUptimeShare(share: number): string {
  const percent = share * 100;
  if (percent >= 100) return "100%";
  const digits = percent < 99.9 ? 1 : percent < 99.99 ? 2 : 3;
  return `${(Math.floor(percent * 10 ** digits) / 10 ** digits).toFixed(digits)}%`;
}
