import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const stored = "mcp-status.theme";
const order: readonly Theme[] = ["system", "light", "dark"];
const listeners = new Set<() => void>();

function read(): Theme {
  const theme = localStorage.getItem(stored);
  return order.find((known) => known === theme) ?? "system";
}

/** Puts the chosen theme onto the page; the style sheets do the rest. */
export function applyTheme(): void {
  const theme = read();
  if (theme === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
}

export function nextTheme(): void {
  const next = order[(order.indexOf(read()) + 1) % order.length] ?? "system";
  localStorage.setItem(stored, next);
  applyTheme();
  for (const listener of listeners) listener();
}

export const useTheme = (): Theme =>
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, read);
