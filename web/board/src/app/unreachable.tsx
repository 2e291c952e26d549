import { useBoard } from "./board";
import { useTitle } from "./page";

export function Unreachable({ message }: { readonly message: string }) {
  const { keeper } = useBoard();
  useTitle("Not reachable");
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
