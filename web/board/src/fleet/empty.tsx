import type { RefObject } from "react";

/** For who has no server yet: how to have one. */
export function NoServers({ heading }: { readonly heading: RefObject<HTMLHeadingElement | null> }) {
  return (
    <section className="empty">
      <h1 className="headline" ref={heading} tabIndex={-1}>
        No servers yet.
      </h1>
      <p className="lede">
        A server appears here, by itself, as soon as it is registered: first the toolbox it runs on, then the
        server under its container’s name.
      </p>
      <pre className="commands">
        <code>
          {"statusctl toolbox add vm-7 --ip 10.0.0.7 --agent-token-file vm-7.token\n"}
          {"statusctl server add vm-7 mcp-github"}
        </code>
      </pre>
      <p className="muted">
        Programs use <code className="mono">POST /v1/toolboxes</code> and{" "}
        <code className="mono">POST /v1/servers</code>. Servers that somebody shares with you appear as well.
      </p>
    </section>
  );
}

export function NothingFound({ onClear }: { readonly onClear: () => void }) {
  return (
    <div className="nothing">
      <p>No server is like that at present.</p>
      <button className="button" onClick={onClear} type="button">
        Show all
      </button>
    </div>
  );
}
