import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { useBoard } from "../app/board";
import { useTitle } from "../app/page";
import { Mark } from "../ui/icons";
import { signInProblem } from "./session";

/** The page for who is not signed in. */
export function SignInPage({ notice }: { readonly notice?: string | undefined }) {
  useTitle("Sign in");
  return (
    <main className="sign-in" id="main">
      <div className="sign-in-inner">
        <p className="brand">
          <Mark size={24} />
          <span>MCP status</span>
        </p>
        <h1 className="headline">Sign in</h1>
        <p className="lede">The status of your MCP servers, as it is now, and as old as it is.</p>
        {notice && (
          <p className="notice-inline" role="status">
            {notice}
          </p>
        )}
        <SignInForm autoFocus />
        <Help />
      </div>
    </main>
  );
}

function Help() {
  return (
    <div className="help">
      <p>
        A token is the one that your application signs you in with, and that{" "}
        <code className="mono">status-api</code> takes. It stays in this tab: it is forgotten when you close
        the tab or sign out.
      </p>
      <p>
        On a machine with <code className="mono">statusctl</code>,{" "}
        <code className="mono">statusctl board</code> prints a link that signs you in, once.
      </p>
    </div>
  );
}

export function SignInForm({ autoFocus = false }: { readonly autoFocus?: boolean }) {
  const { keeper } = useBoard();
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (autoFocus) input.current?.focus();
  }, [autoFocus]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    const pasted = token.trim().replace(/^bearer\s+/i, "");
    if (!pasted) {
      setProblem("Paste a token first.");
      input.current?.focus();
      return;
    }
    setBusy(true);
    setProblem(undefined);
    try {
      await keeper.signIn(pasted);
    } catch (error) {
      setProblem(signInProblem(error));
      setBusy(false);
      input.current?.focus();
    }
  };
  return (
    <form className="sign-in-form" onSubmit={submit}>
      <label htmlFor={id}>Token</label>
      <div className="sign-in-field">
        <input
          aria-describedby={problem ? `${id}-problem` : undefined}
          aria-invalid={problem !== undefined}
          autoComplete="off"
          className="mono"
          id={id}
          onChange={(event) => setToken(event.target.value)}
          placeholder="eyJhbGciOi…"
          ref={input}
          spellCheck={false}
          type="password"
          value={token}
        />
        <button aria-disabled={busy} className="button primary" type="submit">
          {busy ? "Signing in…" : "Sign in"}
        </button>
      </div>
      <p className="field-problem" id={`${id}-problem`} role="alert">
        {problem}
      </p>
    </form>
  );
}

/** Over what is still shown, when the token has come to its end. */
export function ExpiredDialog() {
  const { keeper } = useBoard();
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      aria-labelledby={title}
      className="expired"
      onCancel={(event) => event.preventDefault()}
      ref={dialog}
    >
      <h2 id={title}>Sign in again</h2>
      <p>
        Your session has ended. What you see behind this is as it was then; after signing in, everything goes
        on from where you are.
      </p>
      <SignInForm autoFocus />
      <button className="text-button" onClick={() => keeper.signOut()} type="button">
        Sign out instead, and forget everything
      </button>
    </dialog>
  );
}
