import { useEffect } from "react";
import type { Notice } from "../commands/desk";
import { useNotices } from "../commands/hooks";
import { CheckIcon, CloseIcon, WarningIcon } from "../ui/icons";
import { useBoard } from "./board";

/** How long good news stays; bad news stays until it was read. */
const goodNewsMs = 8_000;

/** What came of what the person did. */
export function Notices() {
  const notices = useNotices();
  return (
    <div aria-live="polite" className="notices" role="log">
      {notices.map((notice) => (
        <NoticeCard key={notice.id} notice={notice} />
      ))}
    </div>
  );
}

function NoticeCard({ notice }: { readonly notice: Notice }) {
  const { desk } = useBoard();
  const { id, tone, text, detail } = notice;
  useEffect(() => {
    if (tone !== "ok") return;
    const timer = setTimeout(() => desk.dismiss(id), goodNewsMs);
    return () => clearTimeout(timer);
  }, [desk, id, tone]);
  return (
    <div className="notice" data-tone={tone}>
      {tone === "ok" ? <CheckIcon /> : <WarningIcon />}
      <p>
        <strong>{text}</strong>
        {detail && <> {detail}</>}
      </p>
      <button aria-label="Dismiss" className="icon-button" onClick={() => desk.dismiss(id)} type="button">
        <CloseIcon size={14} />
      </button>
    </div>
  );
}
