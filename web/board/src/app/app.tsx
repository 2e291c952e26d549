import { useEffect, useMemo, useState } from "react";
import { Route, Switch, useLocation } from "wouter";
import { FleetPage } from "../fleet/fleet-page";
import { countTroubles } from "../fleet/summary";
import { ServerPage } from "../server/server-page";
import { ExpiredDialog, SignInPage } from "../session/sign-in";
import { ToolboxPage } from "../toolbox/toolbox-page";
import { Banners } from "./banners";
import { useBoard, useOverview, useSession } from "./board";
import { Fallible } from "./fallible";
import { showFavicon } from "./favicon";
import { Header } from "./header";
import { NotFound } from "./not-found";
import { Notices } from "./notices";
import { ShortcutsDialog, useShortcuts } from "./shortcuts";
import { Unreachable } from "./unreachable";

export function App() {
  const session = useSession();
  switch (session.phase) {
    case "checking":
      return <main aria-busy="true" aria-label="Signing in" />;
    case "unreachable":
      return <Unreachable message={session.message} />;
    case "out":
      return <SignInPage notice={session.notice} />;
    case "in":
    case "expired":
      return (
        <>
          <Shell />
          {session.phase === "expired" && <ExpiredDialog />}
        </>
      );
  }
}

function Shell() {
  const { servers } = useOverview();
  const { version } = useBoard();
  const [help, setHelp] = useState(false);
  const [path, navigate] = useLocation();
  const attention = useMemo(() => countTroubles(servers).attention, [servers]);
  useEffect(() => showFavicon(attention), [attention]);
  useShortcuts({ "?": () => setHelp(true), u: () => navigate("/") });
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <Header onShortcuts={() => setHelp(true)} />
      <main className="page" id="main" tabIndex={-1}>
        <Banners servers={servers} />
        <Fallible key={path}>
          <Switch>
            <Route path="/">
              <FleetPage />
            </Route>
            <Route path="/servers/:id">
              {({ id }) => <ServerPage key={id} serverId={id.toLowerCase()} />}
            </Route>
            <Route path="/toolboxes/:id">
              {({ id }) => <ToolboxPage key={id} toolboxId={id.toLowerCase()} />}
            </Route>
            <Route>
              <NotFound />
            </Route>
          </Switch>
        </Fallible>
      </main>
      <footer className="footer">mcp-status-sync {version}</footer>
      <Notices />
      {help && <ShortcutsDialog onClose={() => setHelp(false)} />}
    </>
  );
}
