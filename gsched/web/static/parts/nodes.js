// Nodes: the schedulers that share a store.

import { el } from "../html.js";
import { jobstore, whoLooks } from "../me.js";

/** Nodes share the store that is looked at. */
export const isShared = () => storeLooked()?.shared ?? true;

/** The store that is looked at. */
export const storeLooked = () => whoLooks().stores.find((store) => store.jobstore === jobstore()) ?? whoLooks().stores[0];

/** @param {{state: string, paused?: boolean, drain_requested?: string | null}} node */
export function NodeState({ state, paused = false, drain_requested = null }) {
  const word = state === "alive" && paused ? "paused" : state;
  const asked = drain_requested && state === "alive" ? ", asked to drain" : "";
  return el.span({ class: `state ${word}` }, el.i(null), `${word}${asked}`);
}
