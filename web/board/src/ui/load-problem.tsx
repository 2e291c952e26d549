import { WarningIcon } from "./icons";

interface LoadProblemProps {
  readonly error: Error;
  /** What could not be had, as the beginning of a sentence. */
  readonly what: string;
  readonly onRetry: () => void;
}

export function LoadProblem({ error, what, onRetry }: LoadProblemProps) {
  return (
    <div className="problem" role="alert">
      <WarningIcon />
      <p>
        <strong>{what} could not be loaded.</strong> {error.message}
      </p>
      <button className="button" onClick={onRetry} type="button">
        Try again
      </button>
    </div>
  );
}
