import { useDeferredValue, useMemo, useRef } from "react";
import { useSearchParams } from "wouter";
import { useOverview } from "../app/board";
import { useArrival, useTitle } from "../app/page";
import { useShortcuts } from "../app/shortcuts";
import { useCalmOrder } from "./calm";
import { NoServers, NothingFound } from "./empty";
import { type Filter, filterFromQuery, queryFromFilter } from "./filter";
import { groupServers } from "./groups";
import { ServerList } from "./list";
import { moveFocus } from "./move";
import { FleetSkeleton } from "./skeleton";
import { countTroubles, Summary } from "./summary";
import { Toolbar } from "./toolbar";

export function FleetPage() {
  const { servers, complete } = useOverview();
  const [parameters, setParameters] = useSearchParams();
  const filter = useMemo(() => filterFromQuery(parameters.toString()), [parameters]);
  const heading = useArrival("fleet");
  const search = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const attention = useMemo(() => countTroubles(servers).attention, [servers]);
  useTitle(attention > 0 ? `(${attention}) All servers` : "All servers");

  // Typing and pressing change the present address and make no new one: "back" leaves the page.
  const setFilter = (next: Filter) => setParameters(queryFromFilter(next), { replace: true });

  const focusSearch = (event: KeyboardEvent) => {
    event.preventDefault();
    search.current?.focus();
    search.current?.select();
  };
  const move = (by: 1 | -1, within: boolean) => (event: KeyboardEvent) =>
    moveFocus(event, list.current, by, within);
  useShortcuts({
    "/": focusSearch,
    j: move(1, false),
    k: move(-1, false),
    ArrowDown: move(1, true),
    ArrowUp: move(-1, true),
  });

  if (servers.length === 0) {
    return complete ? <NoServers heading={heading} /> : <FleetSkeleton heading={heading} />;
  }
  return (
    <>
      <Summary filter={filter} heading={heading} onFilter={setFilter} servers={servers} />
      <Found filter={filter} list={list} onFilter={setFilter} search={search} />
    </>
  );
}

interface FoundProps {
  readonly filter: Filter;
  readonly onFilter: (filter: Filter) => void;
  readonly search: React.RefObject<HTMLInputElement | null>;
  readonly list: React.RefObject<HTMLDivElement | null>;
}

function Found({ filter, onFilter, search, list }: FoundProps) {
  const { servers, toolboxes, connection } = useOverview();
  // Typing never waits for the list.
  const asked = useDeferredValue(filter);
  const sorted = useMemo(() => groupServers(servers, toolboxes, asked), [servers, toolboxes, asked]);
  const groups = useCalmOrder(sorted, queryFromFilter(asked), list);
  const found = sorted.reduce((sum, group) => sum + group.servers.length, 0);
  return (
    <>
      <Toolbar filter={filter} found={found} onFilter={onFilter} search={search} servers={servers} />
      <div className="servers" ref={list}>
        {groups.length > 0 ? (
          <ServerList connection={connection} groups={groups} />
        ) : (
          <NothingFound onClear={() => onFilter(filterFromQuery(""))} />
        )}
      </div>
    </>
  );
}
