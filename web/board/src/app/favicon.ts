/** The mark, with the number of servers that a person should look at. */
export function favicon(attention: number): string {
  const badge =
    attention > 0
      ? '<circle cx="22" cy="22" r="10" fill="#d2432e"/>' +
        `<text x="22" y="26.5" font-family="system-ui,sans-serif" font-weight="700" font-size="${attention > 9 ? 11 : 13}" ` +
        `text-anchor="middle" fill="#fff">${attention > 99 ? "99" : attention}</text>`
      : '<circle cx="23.5" cy="16" r="2.5" fill="#56bd7d"/>';
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1c1a17"/>' +
    '<g fill="#f0ede6"><rect x="6" y="8" width="20" height="4" rx="2" opacity=".45"/><rect x="6" y="14" width="12" ' +
    `height="4" rx="2"/><rect x="6" y="20" width="20" height="4" rx="2" opacity=".45"/></g>${badge}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

export function showFavicon(attention: number): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (link) link.href = favicon(attention);
}
