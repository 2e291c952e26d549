export { knownSince, reasonOf, uptimeOf } from "./knowledge.js";
export type * from "./types.js";
