import { expect, test } from "vitest";
import { everything } from "../src/fleet/filter";
import { groupServers, inOrderOf, sameOrder } from "../src/fleet/groups";
import { because, server, toolbox } from "./statuses";

const toolboxes = [toolbox("t1", "vm-1"), toolbox("t2", "vm-2"), toolbox("t10", "vm-10")];
const names = (groups: ReturnType<typeof groupServers>) =>
  groups.map((group) => [group.toolbox?.name ?? "shared", ...group.servers.map((one) => one.name)]);

const calm = [
  server({ name: "a", toolboxId: "t10" }),
  server({ name: "b", toolboxId: "t2" }),
  server({ name: "c", toolboxId: "t1" }),
  server({ name: "d", toolboxId: "somebody's" }),
];

test("toolboxes with the worst trouble are first, the others by name", () => {
  const failed = server({ name: "e", toolboxId: "t10", state: "error" });
  const weak = server({ name: "f", toolboxId: "t2", health: "degraded" });
  expect(names(groupServers([...calm, weak, failed], toolboxes, everything))).toEqual([
    ["vm-10", "e", "a"],
    ["vm-2", "f", "b"],
    ["shared", "d"],
    ["vm-1", "c"],
  ]);
});

test("a restart moves no toolbox", () => {
  const [a, b, c, d] = calm as [(typeof calm)[0], (typeof calm)[0], (typeof calm)[0], (typeof calm)[0]];
  const before = groupServers([a, b, c, d], toolboxes, everything);
  const during = groupServers(
    [{ ...a, state: "starting", health: "unknown" }, b, c, d],
    toolboxes,
    everything,
  );
  expect(names(during)).toEqual(names(before));
});

test("how many need somebody is counted, and these have lines of their own", () => {
  const [group] = groupServers(
    [
      server({ toolboxId: "t1" }),
      server({ toolboxId: "t1", state: "stopped", lastError: because("exit_code") }),
      server({ toolboxId: "t1", state: "starting" }),
    ],
    toolboxes,
    everything,
  );
  expect(group).toMatchObject({ attention: 1, prominent: 1, worst: "failed" });
});

test("an order that was shown is kept, with what is known now", () => {
  const shown = groupServers(calm, toolboxes, everything);
  const now = calm.map((one) => (one.name === "c" ? { ...one, state: "error" as const, version: 2 } : one));
  const added = server({ name: "0", toolboxId: "t1" });
  const sorted = groupServers([...now.filter((one) => one.name !== "b"), added], toolboxes, everything);
  expect(names(sorted)[0]).toEqual(["vm-1", "c", "0"]);

  const kept = inOrderOf(sorted, shown);
  expect(names(kept)).toEqual([
    ["shared", "d"],
    ["vm-1", "c", "0"],
    ["vm-10", "a"],
  ]);
  expect(kept[1]?.servers[0]).toMatchObject({ state: "error", version: 2 });
  // It has the place that it had, and no line to itself under somebody's pointer.
  expect(kept[1]).toMatchObject({ attention: 1, prominent: 0 });
  expect(sameOrder(kept, sorted)).toBe(false);
  expect(sameOrder(inOrderOf(sorted, sorted), sorted)).toBe(true);
});

test("what had a line to itself keeps it while the order is kept", () => {
  const shown = groupServers(
    [server({ toolboxId: "t1", state: "error" }), server({ toolboxId: "t1" })],
    toolboxes,
    everything,
  );
  const healed = shown[0]?.servers.map((one) => ({ ...one, state: "running" as const })) ?? [];
  const [kept] = inOrderOf(groupServers(healed, toolboxes, everything), shown);
  expect(kept).toMatchObject({ attention: 0, prominent: 1 });
});
