// Light, dark, or as the system is; kept in the browser.

import { watched } from "./watched.js";

export const THEMES = /** @type {const} */ (["auto", "light", "dark"]);
/** @typedef {typeof THEMES[number]} Choice */

const KEY = "gsched.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
/** @type {Choice} */
let choice = "auto";

export const chosenTheme = () => choice;

/** @returns {"light" | "dark"} */
const theme = () => (choice === "auto" ? (system.matches ? "dark" : "light") : choice);
const shown = watched(theme);

/** @param {Choice} next */
export function chooseTheme(next) {
  choice = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing forgets the choice.
  }
  apply();
}

/** The theme that is shown: "light" or "dark". */
export const useTheme = shown.use;

export function beginTheme() {
  try {
    const kept = /** @type {Choice} */ (localStorage.getItem(KEY));
    if (THEMES.includes(kept)) choice = kept;
  } catch {
    // As above.
  }
  system.addEventListener("change", apply);
  apply();
}

function apply() {
  document.documentElement.dataset["theme"] = theme();
  shown.tell();
}
