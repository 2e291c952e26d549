// What a thousand servers with fifty changes a second cost the page: frames, main thread, memory.
//
//   scripts/bench board [MINUTES]
//
// Everything is real: agents (simulated containers), heartbeats, mapper, notifier, Chromium. Frames are those that the
// browser's own tracing counts; memory is what the heap holds after a collection.
import { setTimeout as sleep } from "node:timers/promises";
import { type CDPSession, chromium } from "@playwright/test";
import config from "../playwright.config.ts";
import { type Simulated, Stack } from "../src/stack.ts";

const MINUTES = Number(process.argv[2] ?? 10);
const TOOLBOXES = 250;
const CONTAINERS = 4;
const CHANGES_PER_SECOND = 50;
/** How long frames are counted, in ms. */
const TRACED_MS = 20_000;

/** In the page: the time between its frames, in ms. Text, because what compiles this file adds to functions. */
const INTERVALS = `new Promise((resolve) => {
  const seen = [];
  const began = performance.now();
  let last = began;
  requestAnimationFrame(function tick(now) {
    seen.push(now - last);
    last = now;
    if (now - began < ${TRACED_MS}) requestAnimationFrame(tick);
    else resolve(seen.slice(1));
  });
})`;

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly ts: number;
  readonly dur?: number;
  readonly args?: {
    readonly frame_reporter?: { readonly state?: string; readonly affects_smoothness?: boolean };
  };
}

/** Keeps the fleet changing at a steady rate until it is told to stop; gives how many changes it made. */
function churn(stack: Stack, signal: AbortSignal): Promise<number> {
  const down = new Set<string>();
  let made = 0;
  const one = async (server: Simulated) => {
    const action = down.delete(server.id) ? "start" : "stop";
    if (action === "stop") down.add(server.id);
    // One that is on its way refuses: then it was another's turn.
    await stack.container(server, action).then(
      () => made++,
      () => undefined,
    );
  };
  return (async () => {
    const under = new Set<Promise<void>>();
    const began = performance.now();
    for (let n = 0; !signal.aborted; n++) {
      const server = stack.servers[(n * 7919) % stack.servers.length];
      if (server === undefined) break;
      const doing: Promise<void> = one(server).finally(() => under.delete(doing));
      under.add(doing);
      const due = began + ((n + 1) * 1000) / CHANGES_PER_SECOND;
      await sleep(Math.max(0, due - performance.now()));
    }
    await Promise.all(under);
    return made;
  })();
}

/** What the browser's tracing says of the frames of `ms` milliseconds. */
async function frames(session: CDPSession, ms: number) {
  const events: TraceEvent[] = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  const complete = new Promise<void>((resolve) => session.once("Tracing.tracingComplete", () => resolve()));
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: {
      includedCategories: [
        "cc,benchmark",
        "devtools.timeline",
        "disabled-by-default-devtools.timeline.frame",
        "toplevel",
      ],
    },
  } as never);
  await sleep(ms);
  await session.send("Tracing.end");
  await complete;
  const reported = events.filter((event) => event.name === "PipelineReporter" && event.ph === "b");
  const states = new Map<string, number>();
  for (const event of reported) {
    const state = event.args?.frame_reporter?.state ?? "unknown";
    states.set(state, (states.get(state) ?? 0) + 1);
  }
  const tasks = events
    .filter((event) => event.name === "RunTask" && event.dur !== undefined)
    .map((event) => (event.dur ?? 0) / 1000);
  return { states, longTasks: tasks.filter((task) => task > 50).length, longest: Math.max(0, ...tasks) };
}

const stack = await Stack.start({ toolboxes: TOOLBOXES, containers: CONTAINERS });
const browser = await chromium.launch(config.use?.launchOptions ?? {});
const stop = new AbortController();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const token = await stack.statusctl("token", "--for", "2h");
  await page.goto(stack.board);
  await page.getByLabel(/token/i).fill(token);
  await page.getByRole("button", { name: /sign in/i }).click();
  await page
    .getByText(String(TOOLBOXES * CONTAINERS))
    .first()
    .waitFor();
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const memory = async () => {
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    const of = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? 0;
    return {
      heap: of("JSHeapUsedSize") / 1048576,
      nodes: of("Nodes"),
      listeners: of("JSEventListeners"),
      busy: of("TaskDuration"),
    };
  };
  const quiet = await memory();
  console.log(
    `${TOOLBOXES * CONTAINERS} servers shown; heap ${quiet.heap.toFixed(1)} MiB, ${quiet.nodes} nodes`,
  );
  const churning = churn(stack, stop.signal);
  // Intervals between frames as the page itself sees them.
  const intervals = page.evaluate<number[]>(INTERVALS);
  const traced = await frames(session, TRACED_MS);
  const sorted = (await intervals).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const mean = sorted.reduce((sum, one) => sum + one, 0) / sorted.length;
  console.log(
    `frames: ${(1000 / mean).toFixed(1)} a second (mean), interval p50 ${at(0.5).toFixed(1)} p99 ${at(0.99).toFixed(1)} max ${at(1).toFixed(1)} ms`,
  );
  console.log(
    `tracing: ${[...traced.states].map(([state, n]) => `${state} ${n}`).join(", ")}; tasks over 50 ms: ${traced.longTasks}, longest ${traced.longest.toFixed(0)} ms`,
  );
  let busy = (await memory()).busy;
  for (let minute = 1; minute <= MINUTES; minute++) {
    await sleep(60_000);
    const now = await memory();
    console.log(
      `minute ${minute}: heap ${now.heap.toFixed(1)} MiB, ${now.nodes} nodes, ${now.listeners} listeners, main thread ${(((now.busy - busy) / 60) * 100).toFixed(0)} % busy`,
    );
    busy = now.busy;
  }
  stop.abort();
  console.log(`${await churning} changes made`);
} finally {
  stop.abort();
  await browser.close();
  await stack.stop();
}
