import type { RefObject } from "react";

/** What the page will look like, until it is known what is on it. */
export function FleetSkeleton({ heading }: { readonly heading: RefObject<HTMLHeadingElement | null> }) {
  return (
    <section aria-busy="true" className="summary">
      <h1 className="headline" ref={heading} tabIndex={-1}>
        <span className="hidden">Loading all servers</span>
        <span aria-hidden="true" className="skeleton headline-skeleton" />
      </h1>
      <div aria-hidden="true" className="skeleton-rows">
        {Array.from({ length: 8 }, (_, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike and never move.
          <span className="skeleton" key={index} />
        ))}
      </div>
    </section>
  );
}
