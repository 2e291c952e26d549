import { expect, test, vi } from "vitest";
import { derived } from "../src/snapshot.js";

test("works out only what another input asks for, and keeps what came out the same", () => {
  let [list, other] = [[1, 2, 3], 0];
  const compute = vi.fn(([list]: readonly [number[], number]) => ({ odd: list.filter((n) => n % 2 === 1) }));
  const snapshot = derived(() => [list, other] as const, compute);
  const first = snapshot();
  expect(first).toEqual({ odd: [1, 3] });
  expect(snapshot()).toBe(first);
  expect(compute).toHaveBeenCalledTimes(1);
  [list, other] = [[1, 2, 3, 4], 1];
  expect(snapshot()).toBe(first);
  expect(compute).toHaveBeenCalledTimes(2);
  list = [1, 2, 3, 5];
  expect(snapshot()).toEqual({ odd: [1, 3, 5] });
  list = [1];
  expect(snapshot()).toEqual({ odd: [1] });
});
