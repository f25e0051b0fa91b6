// Who looks, and what they may do.

import { ask } from "./api.js";
import { setClock, setZone } from "./clock.js";
import { here } from "./place.js";

/** @typedef {import("./api.js").Answers["me"]} Me */
/** @typedef {"view" | "run" | "pause" | "edit" | "remove" | "cancel" | "drain"} Permission */

/** @type {Me | null} */
let me = null;

export async function learnMe() {
  const found = await ask("me");
  setZone(found.zone);
  setClock(found.now);
  me = found;
}

/** @returns {Me} known before any page is shown */
export const whoLooks = () => /** @type {Me} */ (me);

/** @param {Permission} permission */
export const may = (permission) => !!me && !me.read_only && me.may.includes(permission);

export const jobstores = () => whoLooks().stores.map((store) => store.jobstore);

/** The store that is looked at, as the server calls it; undefined if there is only one. */
export const jobstore = () => here().query.get("jobstore") ?? (jobstores().length > 1 ? jobstores()[0] : undefined);
