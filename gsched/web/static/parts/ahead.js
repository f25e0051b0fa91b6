// The load ahead, hour by hour: as rows of days, and in sentences.

import { clock, day, rough } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["Load"]} Load */
/** @typedef {Load["hours"][number]} Hour */

const HOUR_MS = 3_600_000;
const ALIKE = 1.1; // as long as the fullest hour has less than so many times the runs of the emptiest one
const QUIET = 0.05; // of the way from the emptiest hour to the fullest one
const STRETCHES = 3;

/**
 * The hours in rows of days, today first. Days begin and end within the week: cells before and after it are null.
 * Where clocks are set back, two hours share a cell.
 * @param {Load} load
 */
export function daysAhead({ begins, hours }) {
  /** @type {Map<string, (number | null)[]>} */ const rows = new Map([[begins.slice(0, 10), emptyDay()]]);
  /** @type {Map<string, string>} */ const names = new Map([[begins.slice(0, 10), begins]]);
  for (const { at, runs } of hours) {
    const date = at.slice(0, 10);
    const row = rows.get(date) ?? emptyDay();
    row[hourOf(at)] = (row[hourOf(at)] ?? 0) + runs;
    rows.set(date, row);
    if (!names.has(date)) names.set(date, at);
  }
  const dates = [...rows.keys()];
  return { dates, week: [...rows.values()], days: dates.map((date) => shortDay(/** @type {string} */ (names.get(date)))) };
}

const emptyDay = () => /** @type {(number | null)[]} */ (Array.from({ length: 24 }, () => null));

/** @param {string} at */
const hourOf = (at) => Number(at.slice(11, 13));

/** @param {string} at @returns {string} as Mon 30 */
const shortDay = (at) => day(at).split(" ").slice(0, 2).join(" ");

/**
 * The hour of a cell.
 * @param {Load} load
 * @param {string | undefined} date
 * @param {number} hour
 */
export const hourAt = ({ hours }, date, hour) => hours.find(({ at }) => at.slice(0, 10) === date && hourOf(at) === hour);

/** @param {Load} load @returns {Hour | undefined} the fullest hour */
export const fullest = ({ hours }) => hours.reduce((most, hour) => (hour.runs > most.runs ? hour : most), /** @type {Hour} */ (hours[0]));

/** @param {Load} load how many runs half of the hours do not exceed */
export function usual({ hours }) {
  const sorted = hours.map(({ runs }) => runs).sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

/** @param {number} runs @param {number} usually */
const times = (runs, usually) => (usually > 0 ? `${(runs / usually).toFixed(1)} times the usual` : "while there are none in the usual");

/** @param {string} at the beginning of an hour */
export const hourWords = (at) => `${day(at)} ${clock(at, false)}`;

/** When it is quiet, in one sentence. @param {Load} load */
export function whenQuiet(load) {
  const { hours } = load;
  const all = hours.map(({ runs }) => runs);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  if (most <= least * ALIKE) {
    return `No hour is quieter than another: each has ${rough(least)} to ${rough(most)} runs.`;
  }
  const limit = least + QUIET * (most - least);
  const quiet = stretches(hours, limit).sort((a, b) => b.length - a.length);
  const some = quiet.slice(0, STRETCHES).sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const named = listed(some.map(stretchWords));
  const more = quiet.length > some.length ? `, and ${quiet.length - some.length} shorter times` : "";
  return `It is quietest ${named}${more}, with ${rough(least)}${limit > least + 1 ? ` to ${rough(limit)}` : ""} runs an hour; the fullest hour has ${rough(most)}.`;
}

/**
 * The triggers of an hour, those that make it fuller than other hours first. `extra` are the runs beyond those that the
 * trigger makes in each hour.
 * @param {Load} load
 * @param {Hour} hour
 */
export const triggersOf = ({ triggers }, hour) =>
  hour.triggers
    .flatMap(({ number, runs }) => {
      const known = triggers[number];
      return known ? [{ ...known, runs, extra: Math.max(0, runs - known.least) }] : [];
    })
    .sort((a, b) => b.extra - a.extra || b.runs - a.runs);

/** Which hour is fullest, in one sentence. @param {Load} load */
export function busiestHour(load) {
  const most = fullest(load);
  const usually = usual(load);
  if (!most || most.runs <= 0) return "Nothing is due in the week ahead.";
  if (most.runs <= usually * ALIKE) return `No hour stands out: the fullest, ${hourWords(most.at)}, has ${rough(most.runs)} runs, and the usual one ${rough(usually)}.`;
  return `The fullest hour is ${hourWords(most.at)} with ${rough(most.runs)} runs, ${times(most.runs, usually)} hour.`;
}

/** @typedef {{at: string, length: number}} Stretch `length` is in hours */

/** @param {Hour[]} hours @param {number} limit @returns {Stretch[]} hours in a row with no more runs than that */
function stretches(hours, limit) {
  /** @type {Stretch[]} */ const found = [];
  /** @type {Stretch | null} */ let last = null;
  for (const { at, runs } of hours) {
    if (runs > limit) last = null;
    else if (last) last.length += 1;
    else found.push((last = { at, length: 1 }));
  }
  return found;
}

/** @param {Stretch} stretch */
function stretchWords({ at, length }) {
  const end = Date.parse(at) + length * HOUR_MS;
  return `${hourWords(at)} to ${day(at) === day(end) ? "" : `${day(end)} `}${clock(end, false)}`;
}

/** @param {string[]} words */
const listed = (words) => (words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

/** When the next hour is fullest. @param {Load} load */
export function busiestMinute({ begins, hour }) {
  const most = Math.max(...hour);
  const usually = [...hour].sort((a, b) => a - b)[30] ?? 0;
  const at = Date.parse(begins) + hour.indexOf(most) * 60_000;
  if (most <= 0) return "Nothing is due within the next hour.";
  if (most <= usually * ALIKE) return `Each minute has about ${rough(most)} runs.`;
  return `The fullest minute is ${clock(at, false)} with ${rough(most)} runs, ${times(most, usually)} minute.`;
}

/** The minutes of the next hour, in words. @param {Load} load */
export const minuteTitles = ({ begins, hour }) =>
  hour.map((runs, n) => `${clock(Date.parse(begins) + n * 60_000, false)}, ${rough(runs)} runs`);

/** Of how many jobs the load was estimated. @param {Load} load */
export const estimate = ({ estimated_from, of }) => (estimated_from < of ? `estimated from ${rough(estimated_from)} of ${rough(of)} jobs` : "");
