// Times that pass: only their text changes from second to second.

import { useNow } from "../clock.js";
import { el, h } from "../html.js";
import { ago, duration, exact, isNextStart, moment, until } from "../words.js";

/** @param {{time: string, say: (time: string, now: number) => string}} props */
function Passing({ time, say }) {
  const said = say(time, useNow());
  return isNextStart(time) ? el.span(null, said) : el.time({ dateTime: time, title: exact(time) }, said);
}

const none = () => el.span({ class: "dim" }, "–");

/** @param {string | null | undefined} time */
export const inTime = (time) => (time ? h(Passing, { time, say: until }) : none());

/** @param {string | null | undefined} time */
export const timeAgo = (time) => (time ? h(Passing, { time, say: ago }) : none());

/** @param {string | null | undefined} time */
export const atTime = (time) => (time ? h(Passing, { time, say: moment }) : none());

/**
 * The next times of a job. A change of the clock in the zone of its trigger is marked.
 * @param {import("../answers.d.ts").Schemas["NextTime"][]} next
 * @param {(at: string) => string} show
 * @param {(at: string) => import("../html.js").Children} beside what is said beside the others
 */
export const nextTimes = (next, show, beside) =>
  el.ol(
    { class: "next num" },
    ...next.map(({ at, offset_changes }) =>
      isNextStart(at) ? el.li(null, inTime(at)) : el.li(
        null,
        el.time({ dateTime: at, title: exact(at) }, show(at)),
        offset_changes
          ? el.span({ class: "warn", title: "the clock of the trigger's zone changes before it" }, `${at.slice(-6)}, clock change`)
          : el.span({ class: "dim" }, beside(at)),
      ),
    ),
  );

/** How long something has gone on. @param {{since: string}} props */
export function Age({ since }) {
  const seconds = Math.max(0, (useNow() - Date.parse(since)) / 1000);
  return el.span({ class: "num", title: `since ${exact(since)}` }, duration(seconds < 1 ? seconds : Math.round(seconds)));
}
