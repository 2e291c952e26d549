// An import for its effect only: there is nothing to take from it.
export {};
