// Where the user is: the page is the last part of the address, and all that it shows is in the query.

import { searchOf } from "./api.js";
import { el } from "./html.js";
import { watched } from "./watched.js";

/** @typedef {{page: string, query: URLSearchParams}} Place */

/** @returns {Place} */
export function here() {
  return { page: location.pathname.split("/").pop() || "overview", query: new URLSearchParams(location.search) };
}

/**
 * Go to a page. Choosing adds a step for "back"; typing replaces the last one.
 * @param {string} page
 * @param {import("./api.js").Query} [query]
 * @param {{replace?: boolean}} [how]
 */
export function go(page, query = {}, { replace = false } = {}) {
  const address = page + searchOf({ ...kept(), ...query });
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  place.tell();
}

/**
 * Change parts of the query of this page.
 * @param {import("./api.js").Query} change null takes a part out
 * @param {{replace?: boolean}} [how]
 */
export function change(change, how) {
  const { page, query } = here();
  go(page, { ...Object.fromEntries(query), ...change }, how);
}

const place = watched(here);

export const usePlace = place.use;

/**
 * A link to a page of the dashboard.
 * @param {string} page
 * @param {import("./api.js").Query} query
 * @param {import("./html.js").Elements["a"]} [props]
 * @param {import("./html.js").Children[]} children
 */
export function link(page, query, props = {}, ...children) {
  const href = page + searchOf({ ...kept(), ...query });
  const onClick = (/** @type {MouseEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(page, query);
    scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  };
  return el.a(/** @type {any} */ ({ ...props, href, onClick }), ...children);
}

/** What stays in the address from page to page: the store that is looked at. */
function kept() {
  const jobstore = here().query.get("jobstore");
  return jobstore ? { jobstore } : {};
}

addEventListener("popstate", place.tell);
