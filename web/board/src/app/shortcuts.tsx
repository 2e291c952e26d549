import { useEffect, useId, useRef, useSyncExternalStore } from "react";
import { CloseIcon } from "../ui/icons";

const stored = "mcp-status.shortcuts";
const listeners = new Set<() => void>();

/** Single keys can get in the way of speech input and of trembling hands: they can be switched off. */
const shortcutsOn = () => localStorage.getItem(stored) !== "off";

function setShortcuts(on: boolean) {
  localStorage.setItem(stored, on ? "on" : "off");
  for (const listener of listeners) listener();
}

const useShortcutsOn = () =>
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, shortcutsOn);

/** Whether a key belongs to what has the focus, to a dialog or to the browser. */
function isTaken(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return true;
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable || target.matches("input, textarea, select") || target.closest("dialog") !== null
  );
}

/** Calls what belongs to a key while the component is there. */
export function useShortcuts(keys: Readonly<Record<string, (event: KeyboardEvent) => void>>): void {
  const latest = useRef(keys);
  useEffect(() => {
    latest.current = keys;
  });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const action = latest.current[event.key];
      if (!action || isTaken(event)) return;
      if (event.key.length === 1 && !shortcutsOn()) return;
      action(event);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

const listed: readonly (readonly [readonly string[], string])[] = [
  [["/"], "Search"],
  [["j", "↓"], "Next server"],
  [["k", "↑"], "Previous server"],
  [["Enter"], "Open it"],
  [["u"], "All servers"],
  [["Esc"], "Leave the search"],
  [["?"], "These shortcuts"],
];

export function ShortcutsDialog({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const label = useId();
  const on = useShortcutsOn();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog aria-labelledby={title} className="shortcuts" onClose={onClose} ref={dialog}>
      <div className="dialog-head">
        <h2 id={title}>Keyboard</h2>
        <button
          aria-label="Close"
          className="icon-button"
          onClick={() => dialog.current?.close()}
          type="button"
        >
          <CloseIcon />
        </button>
      </div>
      <dl>
        {listed.map(([keys, what]) => (
          <div key={what}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <div className="setting">
        <span id={label}>Single-key shortcuts</span>
        <button
          aria-checked={on}
          aria-labelledby={label}
          className="switch"
          onClick={() => setShortcuts(!on)}
          role="switch"
          type="button"
        />
      </div>
    </dialog>
  );
}
