import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Where cargo put the programs: `scripts/web e2e` says so. */
const programs =
  process.env.MCP_STATUS_PROGRAMS ?? new URL("../../../target/debug/", import.meta.url).pathname;

/** A machine that has not started everything by then never will; it bounds a run that fails, and asserts nothing. */
const PATIENCE_MS = 120_000;

export interface StackOptions {
  readonly toolboxes: number;
  /** Containers of each toolbox; default 3. */
  readonly containers?: number;
  /** Accounts that own them; default 1. */
  readonly accounts?: number;
  /** How often agents push by themselves, such as `60s`; default `24h`: when a test says so. */
  readonly heartbeat?: string;
  /** Options of the services, by their environment variables. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A server of the simulated fleet. */
export interface Simulated {
  readonly id: string;
  readonly name: string;
  readonly toolbox: string;
  readonly toolboxId: string;
  readonly account: string;
}

interface Endpoints {
  readonly services: Readonly<
    Record<"notifier" | "status-api" | "dtma-poller" | "status-mapper", { readonly url: string }>
  >;
  readonly nats: { readonly url: string };
  readonly sim: { readonly url: string };
}

interface Toolbox {
  readonly id: string;
  readonly account_id: string;
  readonly name: string;
  readonly instances: readonly { readonly id: string; readonly name: string }[];
}

/** The whole system on this machine, with a simulated fleet: real servers, real agents' answers. */
export class Stack {
  readonly #child: ChildProcess;
  readonly #directory: string;
  readonly #log: string[];
  readonly endpoints: Endpoints;
  readonly servers: readonly Simulated[];

  private constructor(
    child: ChildProcess,
    directory: string,
    log: string[],
    endpoints: Endpoints,
    fleet: readonly Toolbox[],
  ) {
    this.#child = child;
    this.#directory = directory;
    this.#log = log;
    this.endpoints = endpoints;
    this.servers = fleet.flatMap((toolbox) =>
      toolbox.instances.map(({ id, name }) => ({
        id,
        name,
        toolbox: toolbox.name,
        toolboxId: toolbox.id,
        account: toolbox.account_id,
      })),
    );
  }

  static async start(options: StackOptions): Promise<Stack> {
    const directory = await mkdtemp(join(tmpdir(), "mcp-status-e2e-"));
    const log: string[] = [];
    const child = start(
      "statusctl",
      [
        "up",
        "--data-dir",
        directory,
        "--demo",
        String(options.toolboxes),
        "--demo-containers",
        String(options.containers ?? 3),
        "--demo-accounts",
        String(options.accounts ?? 1),
        "--demo-chaos",
        "0",
        "--demo-heartbeat",
        options.heartbeat ?? "24h",
      ],
      options.env ?? {},
      log,
    );
    const endpoints = await patiently(
      "statusctl up",
      child,
      log,
      async () => JSON.parse(await readFile(join(directory, "endpoints.json"), "utf8")) as Endpoints,
    );
    const fleet = (await (await fetch(`${endpoints.sim.url}/control/fleet`)).json()) as {
      toolboxes: Toolbox[];
    };
    return new Stack(child, directory, log, endpoints, fleet.toolboxes);
  }

  async stop(): Promise<void> {
    await end(this.#child);
    await rm(this.#directory, { recursive: true, force: true });
  }

  get board(): string {
    return this.endpoints.services.notifier.url;
  }

  /** Runs `statusctl` against this stack, and gives what it says. */
  async statusctl(...args: string[]): Promise<string> {
    const { stdout } = await run(join(programs, "statusctl"), ["--data-dir", this.#directory, ...args]);
    return stdout.trim();
  }

  /** A token of an account, of the demo's first by default. */
  token(options: { account?: string; lasts?: string } = {}): Promise<string> {
    const account = options.account ?? this.accounts[0] ?? "";
    return this.statusctl("token", "--account", account, "--for", options.lasts ?? "1h");
  }

  get accounts(): readonly string[] {
    return [...new Set(this.servers.map((server) => server.account))];
  }

  /** The secret that tokens are signed with, for a service beside this stack. */
  secret(): Promise<string> {
    return readFile(join(this.#directory, "jwt-secret"), "utf8").then((text) => text.trim());
  }

  /** Does something to a simulated container, and has its agent tell at once. */
  async container(server: Simulated, action: string, body: object = {}): Promise<void> {
    await this.sim(`toolboxes/${server.toolboxId}/containers/${server.name}/${action}`, body);
    await this.sim(`toolboxes/${server.toolboxId}/heartbeat-now`, {});
  }

  /** Asks the simulation's control. */
  async sim(path: string, body: object): Promise<void> {
    const response = await fetch(`${this.endpoints.sim.url}/control/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok)
      throw new Error(`the simulation refused ${path}: ${response.status} ${await response.text()}`);
  }

  /** What the stack wrote to its log, for a test that failed. */
  get log(): string {
    return this.#log.join("");
  }
}

/** A notifier of its own beside a stack, which can be killed and started again at the same address. */
export class Notifier {
  #child: ChildProcess;
  readonly #start: () => Promise<ChildProcess>;
  readonly url: string;

  private constructor(url: string, child: ChildProcess, restart: () => Promise<ChildProcess>) {
    this.url = url;
    this.#child = child;
    this.#start = restart;
  }

  static async start(stack: Stack, port: number): Promise<Notifier> {
    const url = `http://127.0.0.1:${port}`;
    const secret = await stack.secret();
    const begin = async () => {
      const log: string[] = [];
      const child = start(
        "notifier",
        ["--listen", `127.0.0.1:${port}`, "--board-api-url", stack.endpoints.services["status-api"].url],
        { NATS_URL: stack.endpoints.nats.url, JWT_SECRET: secret },
        log,
      );
      await patiently("notifier", child, log, async () => {
        const response = await fetch(`${url}/readyz`);
        if (!response.ok) throw new Error(`not ready: ${response.status}`);
      });
      return child;
    };
    return new Notifier(url, await begin(), begin);
  }

  /** Without a word to anybody. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }

  async restart(): Promise<void> {
    this.#child = await this.#start();
  }

  async stop(): Promise<void> {
    await end(this.#child);
  }
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

function start(
  name: string,
  args: string[],
  env: Readonly<Record<string, string>>,
  log: string[],
): ChildProcess {
  const child = spawn(join(programs, name), args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const keep = (chunk: Buffer) => log.push(chunk.toString());
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}

/** Tries until it works, or the process has ended, or it takes too long. */
async function patiently<T>(
  what: string,
  child: ChildProcess,
  log: string[],
  attempt: () => Promise<T>,
): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${what} ended:\n${log.join("")}`);
      if (Date.now() > deadline) {
        child.kill("SIGKILL");
        throw new Error(`${what} did not start:\n${log.join("")}`, { cause: error });
      }
      await sleep(100);
    }
  }
}
