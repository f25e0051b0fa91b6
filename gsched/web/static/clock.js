// The server's clock and zone, and the seconds as they pass.

import { watched } from "./watched.js";

let ahead = 0; // of the browser's clock, ms
let zone = "UTC";

/** The server's time, in ms since the epoch. */
export const now = () => Date.now() + ahead;
const seconds = watched(now);

/** @param {string} time by the server's clock, ISO 8601 */
export function setClock(time) {
  ahead = Date.parse(time) - Date.now();
}

/** @param {string} name of a zone; one that the browser does not know is shown as UTC */
export function setZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    zone = name;
  } catch {
    zone = "UTC";
  }
}

export const zoneName = () => zone;

/** The server's time, again each second. */
export const useNow = seconds.use;

setInterval(() => {
  if (!document.hidden) seconds.tell();
}, 1000);
