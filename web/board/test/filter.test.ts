import { describe, expect, test } from "vitest";
import {
  everything,
  type Filter,
  filterFromQuery,
  matcher,
  queryFromFilter,
  toggled,
} from "../src/fleet/filter";
import { because, server } from "./statuses";

const filters: readonly (readonly [string, Filter])[] = [
  ["", everything],
  ["state=error,unknown", { ...everything, states: new Set(["unknown", "error"] as const) }],
  ["health=degraded", { ...everything, healths: new Set(["degraded"] as const) }],
  ["attention=yes", { ...everything, attention: true }],
  ["monitored=no&q=git+hub", { ...everything, unmonitored: true, search: "git hub" }],
  ["q=%26%3D%23%2F%C3%A9", { ...everything, search: "&=#/é" }],
];

describe("a filter and its address", () => {
  test.each(filters)("%s", (query, filter) => {
    expect(queryFromFilter(filter)).toBe(query);
    expect(filterFromQuery(query)).toEqual(filter);
  });

  test("what is not understood counts as not said", () => {
    expect(filterFromQuery("state=error,sleeping&health=fine&attention=perhaps&more=1")).toEqual({
      ...everything,
      states: new Set(["error"]),
    });
  });

  test("a search of blanks is none, and the same filter is the same address", () => {
    expect(queryFromFilter({ ...everything, search: "  " })).toBe("");
    expect(queryFromFilter(filterFromQuery("state=unknown,error,error"))).toBe("state=error,unknown");
  });
});

describe("what a filter lets through", () => {
  const killed = server({
    name: "mcp-GitHub",
    state: "stopped",
    lastError: because("oom_killed", "exit code 137"),
  });
  const matches = (query: string, status = killed, toolbox = "vm-7") =>
    matcher(filterFromQuery(query))(status, toolbox);

  test.each([
    ["", true],
    ["state=stopped,error", true],
    ["state=running", false],
    ["state=stopped&health=healthy", true],
    ["state=stopped&health=degraded", false],
    ["attention=yes", true],
    ["monitored=no", false],
    ["q=github", true],
    ["q=VM-7+137", true],
    ["q=vm-7+138", false],
    ["q=oom_killed", true],
  ])("%s: %s", (query, expected) => {
    expect(matches(query)).toBe(expected);
  });

  test("what nobody has watched", () => {
    expect(matches("monitored=no", server({ monitored: false }))).toBe(true);
    expect(matches("attention=yes", server())).toBe(false);
  });
});

test("a word is taken out of a set where it is in, else put in, and the set itself stays", () => {
  const set = new Set(["a"]);
  expect([...toggled(set, "b")]).toEqual(["a", "b"]);
  expect([...toggled(set, "a")]).toEqual([]);
  expect([...set]).toEqual(["a"]);
});
