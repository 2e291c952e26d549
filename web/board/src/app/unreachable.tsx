import { useEffect } from "react";
import { useBoard } from "./board";
import { useTitle } from "./page";

/** After this long it is tried again by itself. */
const pauseMs = 10_000;

export function Unreachable({ message }: { readonly message: string }) {
  const { keeper } = useBoard();
  useTitle("Not reachable");
  useEffect(() => {
    const timer = setTimeout(() => keeper.begin(undefined), pauseMs);
    return () => clearTimeout(timer);
  }, [keeper]);
  return (
    <main className="sign-in" id="main">
      <div className="sign-in-inner">
        <h1 className="headline">Not reachable.</h1>
        <p className="lede">{message} You are still signed in.</p>
        <button className="button primary" onClick={() => keeper.begin(undefined)} type="button">
          Try again
        </button>
      </div>
    </main>
  );
}
