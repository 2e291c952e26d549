import { Link } from "wouter";
import { useArrival, useTitle } from "./page";

/** What is not there and what is somebody else's look the same: a guess must not be answered. */
export function NotFound({ deleted = false }: { readonly deleted?: boolean }) {
  const heading = useArrival("not-found");
  const title = deleted ? "It was deleted." : "Nothing here.";
  useTitle(deleted ? "Deleted" : "Not found");
  return (
    <section className="empty">
      <h1 className="headline" ref={heading} tabIndex={-1}>
        {title}
      </h1>
      <p className="lede">
        {deleted
          ? "This server was here a moment ago, and was deleted."
          : "This does not exist, or it is not among what you may see."}
      </p>
      <Link className="button" href="/">
        All servers
      </Link>
    </section>
  );
}
