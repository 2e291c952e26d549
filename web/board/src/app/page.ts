import { type RefObject, useEffect, useRef } from "react";

/** The page's title, as tabs, histories and screen readers show it. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · MCP status`;
  }, [title]);
}

/** Whether the present page was reached by going back or forward: the browser then restores where it was scrolled to. */
let returning = false;
addEventListener("popstate", () => {
  returning = true;
});

let first = true;

/** For a page's heading: it gets the focus when the page is opened, so that keyboards and readers begin there. */
export function useArrival(key: string): RefObject<HTMLHeadingElement | null> {
  const heading = useRef<HTMLHeadingElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another key is another page, in the same component.
  useEffect(() => {
    if (!first && !returning) {
      scrollTo(0, 0);
      heading.current?.focus({ preventScroll: true });
    }
    first = false;
    returning = false;
  }, [key]);
  return heading;
}
