// States and outcomes: each has a shape and a word, never a colour alone.

import { now } from "../clock.js";
import { el } from "../html.js";
import { link } from "../place.js";
import { nodeName, outcome } from "../words.js";

const IN_ROWS = 30; // instants of a strip

/** @param {{state: string, failing_since?: string | null, pause?: {reason: string | null} | null, parked?: string | null}} job */
export const stateOf = (job) => (job.state === "scheduled" && job.failing_since ? "failing" : job.state);

/** True if no run has succeeded in time. @param {{overdue_at: string | null}} job */
export const isOverdue = ({ overdue_at: at }) => at !== null && Date.parse(at) <= now();

/** @param {Parameters<typeof stateOf>[0]} job */
export function State(job) {
  const word = stateOf(job);
  const title = job.parked ?? job.pause?.reason ?? undefined;
  return el.span({ class: `state ${word}`, title }, el.i(null), word);
}

/** True for an outcome of a run to its end: it has a duration. @param {{outcome: string}} each */
export const hasRun = ({ outcome: name }) => ["succeeded", "failed", "timed_out"].includes(name);

/** @param {string} name of an outcome */
export function outcomeWord(name) {
  const { word, kind } = outcome(name);
  return el.span({ class: `outcome ${kind}` }, word);
}

/** The last outcomes of a job, the oldest first: what is well is low and quiet, trouble is tall. @param {string} letters */
export function strip(letters) {
  const each = [...letters].slice(-IN_ROWS).map((letter) => outcome(letter));
  const bad = each.filter(({ kind }) => kind === "bad" || kind === "warn").length;
  const label = each.length ? `last ${each.length} instants: ${bad ? `${bad} not well` : "all well"}` : "no instants yet";
  return el.span({ class: "strip", role: "img", "aria-label": label }, ...each.map(({ kind }) => el.i({ class: kind })));
}

/** @param {string[]} tags @param {(tag: string) => void} [pick] */
export const tagsOf = (tags, pick) =>
  tags.map((tag) =>
    pick
      ? el.button({ class: "tag", title: `jobs with the tag ${tag}`, onClick: () => pick(tag) }, tag)
      : el.span({ class: "tag" }, tag),
  );

/** @param {string} id */
export const jobLink = (id) => link("job", { id }, { class: "mono" }, id);

/** @param {string | null | undefined} id of a node */
export const nodeMark = (id) => (id ? el.span({ class: "mono", title: id }, nodeName(id)) : el.span({ class: "dim" }, "–"));
