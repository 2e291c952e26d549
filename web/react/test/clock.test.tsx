import { act, render, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { useNow } from "../src/index.js";

const AT = Date.parse("2026-11-28T12:00:00.300Z");

beforeEach(() => {
  vi.useFakeTimers({ now: AT });
});

afterEach(() => {
  vi.restoreAllMocks();
});

function Time() {
  return <time>{useNow(1_000)}</time>;
}

const pass = (ms: number) => act(() => vi.advanceTimersByTime(ms));

function hidden(is: boolean) {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(is ? "hidden" : "visible");
  act(() => {
    document.dispatchEvent(new Event("visibilitychange"));
  });
}

describe("useNow", () => {
  test("ticks at the multiples of its pace, whenever it was mounted", () => {
    const { result } = renderHook(() => useNow(1_000));
    expect(result.current).toBe(AT - 300);
    pass(699);
    expect(result.current).toBe(AT - 300);
    pass(1);
    expect(result.current).toBe(AT + 700);
    pass(1_000);
    expect(result.current).toBe(AT + 1_700);
  });

  test("is one timer for all of a pace, and they show the same", () => {
    const { container } = render(["a", "b", "c", "d"].map((name) => <Time key={name} />));
    expect(vi.getTimerCount()).toBe(1);
    pass(700);
    const texts = new Set([...container.querySelectorAll("time")].map(({ textContent }) => textContent));
    expect(texts).toEqual(new Set([String(AT + 700)]));
    expect(vi.getTimerCount()).toBe(1);
  });

  test("has no timer while nobody asks", () => {
    const { unmount } = renderHook(() => useNow(1_000));
    unmount();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("stops while the page is hidden, and shows the present as soon as it is seen", () => {
    const { result } = renderHook(() => useNow(1_000));
    hidden(true);
    expect(vi.getTimerCount()).toBe(0);
    pass(3_600_000);
    expect(result.current).toBe(AT - 300);
    hidden(false);
    expect(result.current).toBe(AT - 300 + 3_600_000);
    expect(vi.getTimerCount()).toBe(1);
  });

  test("begins without a timer on a hidden page", () => {
    hidden(true);
    renderHook(() => useNow(1_000));
    expect(vi.getTimerCount()).toBe(0);
  });

  test("refuses a pace that is none", () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(() => renderHook(() => useNow(0))).toThrow(RangeError);
  });
});
