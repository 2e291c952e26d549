import { cleanup, configure } from "@testing-library/react";
import { afterEach, vi } from "vitest";

// A condition that is waited for comes true soon, or the machine is busy with other things.
configure({ asyncUtilTimeout: 20_000 });

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});
