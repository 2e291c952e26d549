import type { Scope } from "./book.js";
import type { StreamMessage, StreamRequest } from "./generated/stream.js";
import type { TokenReason, Transport } from "./types.js";

/** What happens. */
export type Event =
  | { readonly type: "want"; readonly wanted: Scope }
  /** What the application gave; undefined: it could not say. */
  | { readonly type: "token"; readonly asked: number; readonly token: string | null | undefined }
  /** A WebSocket is open: it waits to be told who is asking. */
  | { readonly type: "open" }
  | { readonly type: "message"; readonly message: StreamMessage }
  /** A sign of life that says nothing. */
  | { readonly type: "heard" }
  | {
      readonly type: "closed";
      readonly code?: number;
      readonly reason?: string;
      readonly retryAfterMs?: number;
    }
  | { readonly type: "probed"; readonly works: boolean }
  | { readonly type: "tick" }
  | { readonly type: "online" }
  | { readonly type: "visible"; readonly visible: boolean }
  | { readonly type: "resume" }
  | { readonly type: "sign_out" }
  | { readonly type: "close" };

/** What a stream or poll begins with. */
export type Opening = Scope & { readonly cursor: string | undefined };

/** What is to be done about it. */
export type Effect =
  | { readonly type: "ask_token"; readonly reason: TokenReason; readonly asked: number }
  | {
      readonly type: "open";
      readonly transport: Transport;
      readonly token: string;
      /** Of a transport that cannot be asked. */
      readonly opening?: Opening;
    }
  | { readonly type: "send"; readonly message: StreamRequest }
  /** Polls go on with another token. */
  | { readonly type: "renew"; readonly token: string }
  | { readonly type: "shut" }
  /** Finds out whether a WebSocket can be had, beside the connection that is there. */
  | { readonly type: "probe" };

/** What the core is to know of its owner's options. */
export interface CoreOptions {
  readonly transports: readonly Transport[];
  readonly pauseHiddenAfter: number | false;
  /** In `0..1`. */
  readonly random: () => number;
}
