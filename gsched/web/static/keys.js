// Keys: each part of the page says which it takes, and the list of keys shows them.

import { useEffect } from "./vendor/hooks.js";

/** @typedef {{key: string, does: string, act: () => void}} Key */

/** @type {Set<{current: Key[]}>} */
const parts = new Set();
const PAIRS_MS = 1500; // between the keys of a pair such as "g j"
let first = "";
let firstAt = 0;

/**
 * Take keys while the component is there.
 * @param {Key[]} keys `key` is as the browser names it, or two of them with a space between
 */
export function useKeys(keys) {
  useEffect(() => {
    const part = { current: keys };
    parts.add(part);
    return () => void parts.delete(part);
  });
}

/** All keys that do something now. */
export const knownKeys = () => [...parts].flatMap((part) => part.current);

/** @param {EventTarget | null} target */
const isTyping = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) &&
  !(target instanceof HTMLInputElement && target.type === "checkbox");

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") /** @type {HTMLElement} */ (event.target).blur();
    return;
  }
  const pair = event.timeStamp - firstAt < PAIRS_MS ? `${first} ${event.key}` : "";
  const found = knownKeys().find(({ key }) => key === pair) ?? knownKeys().find(({ key }) => key === event.key);
  [first, firstAt] = [found ? "" : event.key, event.timeStamp];
  // Enter on a link or a button is theirs.
  if (!found || (event.key === "Enter" && /** @type {Element} */ (event.target).closest("a, button, summary"))) return;
  event.preventDefault();
  found.act();
});
