/**
 * Moves the focus to the next or previous server of a list; into the list where it is not there yet.
 *
 * `within`: only from one server to another. Arrow keys scroll the page wherever else the focus is.
 */
export function moveFocus(event: KeyboardEvent, list: HTMLElement | null, by: 1 | -1, within: boolean): void {
  const rows = [...(list?.querySelectorAll<HTMLElement>("[data-row]") ?? [])];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  if (at < 0 && within) return;
  const next = at < 0 ? rows[0] : rows[at + by];
  if (!next) return;
  event.preventDefault();
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}
