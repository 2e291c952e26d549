import { createClient, type TokenReason } from "@mcp-status/client";
import { MCPStatusProvider } from "@mcp-status/react";
import "@mcp-status/react/badge.css";
import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createQueryClient } from "./api/queries";
import type { BoardConfig } from "./api/types";
import { App } from "./app/app";
import { BoardContext } from "./app/board";
import { showFavicon } from "./app/favicon";
import { PacedOverview } from "./app/paced";
import { applyTheme } from "./app/theme";
import { CommandDesk } from "./commands/desk";
import { hasCode, SessionKeeper, takeCode } from "./session/session";
import "./styles/index.css";

applyTheme();
showFavicon(0);

// The first thing that happens: the code must be out of the address before anything else can see it.
const code = takeCode(location, history);

// A link that is opened in a tab where the board is already changes the fragment only: it begins anew, as in any other tab.
addEventListener("hashchange", () => {
  if (hasCode(location)) location.reload();
});

async function configuration(): Promise<BoardConfig> {
  const answer = await fetch("/board.json", { cache: "no-store", credentials: "omit" });
  if (!answer.ok) throw new Error(`board.json: ${answer.status}`);
  return (await answer.json()) as BoardConfig;
}

function start(place: HTMLElement, { apiUrl, version }: BoardConfig) {
  const queries = createQueryClient();
  const keeper = new SessionKeeper(apiUrl ?? "", sessionStorage, () => {
    client.signOut();
    desk.forget();
    queries.clear();
  });
  let given: string | undefined;
  const client = createClient({
    ...(apiUrl && { apiUrl }),
    token: (reason: TokenReason) => {
      // The one that it was given, which need not be the one that there is by now.
      if (reason === "refused" && given) keeper.refuse(given);
      given = keeper.token();
      return given ?? null;
    },
  });
  const desk = new CommandDesk(keeper.api);
  const overview = new PacedOverview(client);

  let wasIn = false;
  keeper.subscribe(() => {
    const isIn = keeper.snapshot().phase === "in";
    if (isIn && !wasIn) {
      client.resume();
      queries.invalidateQueries();
    }
    wasIn = isIn;
  });

  createRoot(place).render(
    <StrictMode>
      <BoardContext value={{ client, overview, keeper, desk, version }}>
        <QueryClientProvider client={queries}>
          <MCPStatusProvider client={client}>
            <App />
          </MCPStatusProvider>
        </QueryClientProvider>
      </BoardContext>
    </StrictMode>,
  );
  keeper.begin(code);
}

/** Its own configuration, as soon as it can be had: what serves the page may be restarting. */
async function begin(place: HTMLElement) {
  let config: BoardConfig | undefined;
  for (let pause = 1000; !config; pause = Math.min(pause * 2, 15_000)) {
    config = await configuration().catch(() => undefined);
    if (config) break;
    place.textContent = "The service cannot be reached. Trying again…";
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  start(place, config);
}

const place = document.getElementById("board");
if (!place) throw new Error("the page has no place for the board");
begin(place);
