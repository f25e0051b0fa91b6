// Times, durations, counts and outcomes, for people.

import { zoneName } from "./clock.js";

const NOTHING = "–";
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const number = new Intl.NumberFormat("en");

/** @param {number | null | undefined} n */
export const count = (n) => (n == null ? NOTHING : number.format(n));

/** @param {number} n @param {string} one @param {string} [many] */
export const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** @param {number | null | undefined} n a rate or an estimate */
export const rough = (n) => (n == null ? NOTHING : n >= 10 || Number.isInteger(n) ? count(Math.round(n)) : n.toFixed(1));

/** @param {number} part @param {number} whole */
export function percent(part, whole) {
  if (!whole) return NOTHING;
  const share = (100 * part) / whole;
  if (share === 0 || share === 100) return `${share} %`;
  if (share < 0.01) return "under 0.01 %";
  return share > 99.99 ? "over 99.99 %" : `${share.toFixed(share < 1 || share > 99 ? 2 : 1)} %`;
}

/** @param {number} n @returns {string} with a decimal as long as it makes a difference: 2.5, 3, 38 */
const short = (n) => String(n < 9.95 ? Number(n.toFixed(1)) : Math.round(n));

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds == null) return NOTHING;
  const ms = seconds * 1000;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${short(seconds / 60)} min`;
  if (seconds < 172_800) return `${short(seconds / 3600)} h`;
  return `${short(seconds / 86_400)} d`;
}

/** A number of bytes in words. @param {number | null | undefined} bytes */
export function size(bytes) {
  if (bytes == null) return NOTHING;
  for (const [unit, each] of /** @type {const} */ ([["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]])) {
    if (bytes >= each) return `${short(bytes / each)} ${unit}`;
  }
  return `${bytes} B`;
}

/** @param {number} ms */
function distance(ms) {
  if (ms < 90 * SECOND) return `${Math.round(ms / SECOND)} s`;
  if (ms < 90 * MINUTE) return `${Math.round(ms / MINUTE)} min`;
  if (ms < 36 * HOUR) return `${Math.round(ms / HOUR)} h`;
  return `${Math.round(ms / DAY)} d`;
}

/** True for the run time of a job that waits for the next start of its machine: END_OF_TIME of the runner. @param {string} time */
export const isNextStart = (time) => time.startsWith("9999-12-31T00:00:00");

/** @param {string | null | undefined} time @param {number} now ms */
export function until(time, now) {
  if (!time) return NOTHING;
  if (isNextStart(time)) return "at the next start";
  const ms = Date.parse(time) - now;
  if (ms < -5 * SECOND) return `${distance(-ms)} ago`;
  return ms < SECOND ? "now" : `in ${distance(ms)}`;
}

/** @param {string | null | undefined} time @param {number} now ms */
export function ago(time, now) {
  if (!time) return NOTHING;
  const ms = now - Date.parse(time);
  return ms < SECOND ? "now" : `${distance(ms)} ago`;
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} key @param {Intl.DateTimeFormatOptions} options */
function formatted(key, options) {
  const known = `${zoneName()} ${key}`;
  let format = formats.get(known);
  if (!format) formats.set(known, (format = new Intl.DateTimeFormat("en-GB", { timeZone: zoneName(), ...options })));
  return format;
}

/** @param {string | number} time @returns {string} as 10:41:07, in the server's zone */
export const clock = (time, seconds = true) =>
  formatted(`clock${seconds}`, {
    hour: "2-digit", minute: "2-digit", ...(seconds && { second: "2-digit" }), hourCycle: "h23",
  }).format(new Date(time));

/** @param {string | number} time @returns {string} as Mon 30 Nov */
export const day = (time) =>
  formatted("day", { weekday: "short", day: "numeric", month: "short" }).format(new Date(time)).replace(",", "");

/** @param {string} time with an offset @returns {string} its day where it has this offset, as Mon 30 Nov */
export const dateOf = (time) => date.format(Date.parse(`${time.slice(0, 10)}T00:00:00Z`)).replace(",", "");

const date = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

/** @param {string | number} time @param {number} now ms @returns {string} the clock, with the day if it is not today's */
export function moment(time, now, seconds = true) {
  const at = new Date(time).getTime();
  return day(at) === day(now) ? clock(at, seconds) : `${day(at)} ${clock(at, false)}`;
}

/** @param {string | number} time @returns {string} all of it, as 2026-11-30 10:41:07.250 CET */
export function exact(time) {
  const format = formatted("exact", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    fractionalSecondDigits: 3, hourCycle: "h23", timeZoneName: "short",
  });
  const parts = Object.fromEntries(format.formatToParts(new Date(time)).map(({ type, value }) => [type, value]));
  const ms = parts["fractionalSecond"] === "000" ? "" : `.${parts["fractionalSecond"]}`;
  const date = `${parts["year"]}-${parts["month"]}-${parts["day"]}`;
  return `${date} ${parts["hour"]}:${parts["minute"]}:${parts["second"]}${ms} ${parts["timeZoneName"]}`;
}

/** @returns {string} as CET */
export function zoneWord() {
  const parts = formatted("zone", { timeZoneName: "short" }).formatToParts(new Date());
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "UTC";
}

/** @param {string} id of a node @returns {string} without the time at which the node began, which comes first */
export const nodeName = (id) => id.replace(/^\d{12,14}-/, "");

/** @typedef {"ok" | "bad" | "warn" | "idle" | "live"} Kind */

/** What becomes of an instant, each with its word, and with how it looks. @type {Record<string, {word: string, kind: Kind, means?: string}>} */
const OUTCOMES = {
  succeeded: { word: "succeeded", kind: "ok" },
  failed: { word: "failed", kind: "bad" },
  timed_out: { word: "timed out", kind: "bad" },
  lost: { word: "lost", kind: "bad", means: "its node ended while the run was in progress" },
  cancelled: { word: "cancelled", kind: "warn" },
  missed: { word: "missed", kind: "warn", means: "later than misfire_grace_time" },
  skipped: { word: "skipped", kind: "warn" },
  retried: { word: "failed, retried", kind: "warn" },
  coalesced: { word: "coalesced", kind: "idle", means: "a later instant ran for it" },
  running: { word: "running", kind: "live" },
  waiting: { word: "waiting", kind: "live" },
  upcoming: { word: "upcoming", kind: "idle" },
  not_due: { word: "not due", kind: "idle" },
  paused: { word: "paused", kind: "idle" },
  parked: { word: "parked", kind: "warn" },
  unknown: { word: "unknown", kind: "idle" },
};

/** The outcomes of records, for a choice: trouble first. */
export const OUTCOME_NAMES = /** @type {const} */ ([
  "failed", "timed_out", "lost", "cancelled", "missed", "skipped", "retried", "coalesced", "succeeded", "running", "waiting",
]);

/** The letters of a row's last outcomes. @type {Record<string, string>} */
const LETTERS = {
  s: "succeeded", f: "failed", t: "timed_out", c: "cancelled", m: "missed", k: "skipped", o: "coalesced", l: "lost",
};

/** @param {string} name of an outcome, or its letter in a row */
export function outcome(name) {
  const full = LETTERS[name] ?? name;
  return { means: "", ...(OUTCOMES[full] ?? { word: full.replaceAll("_", " "), kind: /** @type {Kind} */ ("idle") }) };
}
