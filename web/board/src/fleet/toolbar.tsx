import type { ServerStatus } from "@mcp-status/client";
import { type RefObject, useMemo } from "react";
import { CloseIcon, SearchIcon } from "../ui/icons";
import { everything, type Filter, isEverything, matcher, toggled } from "./filter";

interface ToolbarProps {
  readonly servers: readonly ServerStatus[];
  /** How many are let through. */
  readonly found: number;
  readonly filter: Filter;
  readonly onFilter: (filter: Filter) => void;
  readonly search: RefObject<HTMLInputElement | null>;
}

interface Chip {
  readonly name: string;
  /** The filter that the chip alone stands for. */
  readonly alone: Filter;
  readonly isOn: (filter: Filter) => boolean;
  readonly toggle: (filter: Filter) => Filter;
}

const healthChip = (health: "degraded" | "unhealthy", name: string): Chip => ({
  name,
  alone: { ...everything, healths: new Set([health]) },
  isOn: (filter) => filter.healths.has(health),
  toggle: (filter) => ({ ...filter, healths: toggled(filter.healths, health) }),
});

const chips: readonly Chip[] = [
  {
    name: "Needs attention",
    alone: { ...everything, attention: true },
    isOn: (filter) => filter.attention,
    toggle: (filter) => ({ ...filter, attention: !filter.attention }),
  },
  healthChip("degraded", "Degraded"),
  healthChip("unhealthy", "Unhealthy"),
  {
    name: "Not monitored",
    alone: { ...everything, unmonitored: true },
    isOn: (filter) => filter.unmonitored,
    toggle: (filter) => ({ ...filter, unmonitored: !filter.unmonitored }),
  },
];

export function Toolbar({ servers, found, filter, onFilter, search }: ToolbarProps) {
  const counts = useMemo(
    () =>
      chips.map(({ alone }) => {
        const matches = matcher(alone);
        return servers.reduce((count, server) => count + (matches(server, "") ? 1 : 0), 0);
      }),
    [servers],
  );
  const filtered = !isEverything(filter);
  return (
    <search className="toolbar">
      <div className="search">
        <SearchIcon />
        <input
          aria-keyshortcuts="/"
          aria-label="Search servers"
          autoCapitalize="off"
          autoComplete="off"
          enterKeyHint="search"
          onChange={(event) => onFilter({ ...filter, search: event.target.value })}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            if (filter.search) onFilter({ ...filter, search: "" });
            else event.currentTarget.blur();
          }}
          placeholder="Search by name, toolbox or reason"
          ref={search}
          spellCheck={false}
          type="text"
          value={filter.search}
        />
        <span aria-hidden="true" className="only-wide">
          <kbd>/</kbd>
        </span>
      </div>
      <fieldset className="chips">
        <legend className="hidden">Show only</legend>
        {chips.map((chip, index) => (
          <button
            aria-pressed={chip.isOn(filter)}
            className="chip"
            data-empty={counts[index] === 0 || undefined}
            key={chip.name}
            onClick={() => onFilter(chip.toggle(filter))}
            type="button"
          >
            {chip.name} <span className="chip-count">{counts[index]}</span>
          </button>
        ))}
        {filtered && (
          <button className="chip clear" onClick={() => onFilter(everything)} type="button">
            <CloseIcon size={12} /> Clear
          </button>
        )}
      </fieldset>
      <p className="hidden" role="status">
        {filtered ? `${found} of ${servers.length} servers shown` : ""}
      </p>
    </search>
  );
}
