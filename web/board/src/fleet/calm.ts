import { type RefObject, useEffect, useRef, useState } from "react";
import { type Group, inOrderOf, sameOrder } from "./groups";

/** Rests between two new orders, in milliseconds. */
const rest = 1500;

/**
 * The groups in an order that stays while a person points at the list or moves through it, and otherwise changes at most
 * every moment. What the groups hold is always what is known now.
 *
 * `asked` tells one question from another: the answer to a new one comes in its own order at once.
 */
export function useCalmOrder(
  groups: readonly Group[],
  asked: string,
  list: RefObject<HTMLElement | null>,
): readonly Group[] {
  const [held, setHeld] = useState({ asked, groups, at: 0 });
  const shown = held.asked === asked ? inOrderOf(groups, held.groups) : groups;
  const moved = held.asked !== asked || !sameOrder(shown, groups);
  const latest = useRef(groups);
  latest.current = groups;

  // What was asked anew is the order that is held from now on.
  if (held.asked !== asked) setHeld({ asked, groups, at: Date.now() });

  useEffect(() => {
    if (!moved) return;
    let timer: ReturnType<typeof setTimeout>;
    const settle = () => {
      if (isBusy(list.current)) timer = setTimeout(settle, rest);
      else setHeld({ asked, groups: latest.current, at: Date.now() });
    };
    timer = setTimeout(settle, rest);
    return () => clearTimeout(timer);
  }, [moved, asked, list]);

  return shown;
}

/** Whether a pointer is over the list, or the focus in it. */
const isBusy = (list: HTMLElement | null) =>
  list !== null && (list.matches(":hover") || list.contains(document.activeElement));
