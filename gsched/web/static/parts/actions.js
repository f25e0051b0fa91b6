// What users can do to jobs, runs and nodes: each is a question before it is an action.

import { useState } from "../vendor/hooks.js";
import { act, newKey } from "../api.js";
import { h } from "../html.js";
import { useFrames } from "../live.js";
import { jobstore } from "../me.js";
import { count, counted } from "../words.js";
import { Ask } from "./dialog.js";
import { say } from "./toast.js";

/** @typedef {import("./dialog.js").Question} Question */
/** @typedef {"pause" | "resume" | "remove" | "run"} Verb */
/** @typedef {{ids: string[]} | {filter: Record<string, string>, expect: number}} Chosen */

const TYPED_FROM = 100; // jobs, as from here the number is typed

/** What each verb does to jobs. */
const VERBS = {
  pause: {
    word: "Pause", past: "Paused",
    text: "They are not due until somebody resumes them. Runs in progress go on.",
    one: "It is not due until somebody resumes it. A run in progress goes on.",
  },
  resume: {
    word: "Resume", past: "Resumed",
    text: "They are due again at their next times. What was due meanwhile does not run.",
    one: "It is due again at its next time. What was due meanwhile does not run.",
  },
  remove: {
    word: "Remove", past: "Removed",
    text: "Their definitions are gone for good. Runs in progress go on; the history stays.",
    one: "Its definition is gone for good. A run in progress goes on; the history stays.",
  },
  run: {
    word: "Run", past: "Asked for runs of",
    text: "Each runs once now. Their schedules stay as they are.",
    one: "It runs once now. Its schedule stays as it is.",
  },
};

/**
 * The question before a verb.
 * @param {Verb} verb
 * @param {Chosen} chosen
 * @returns {Question}
 */
export function questionOf(verb, chosen) {
  const { word, past, text, one } = VERBS[verb];
  const ids = "ids" in chosen ? chosen.ids : null;
  const many = "expect" in chosen ? chosen.expect : chosen.ids.length;
  const what = many === 1 && ids ? ids[0] : counted(many, "job");
  const isHard = verb === "remove" || many > TYPED_FROM;
  const key = newKey();
  return {
    title: `${word} ${what}?`,
    text: many === 1 ? one : text,
    verb: word,
    isDangerous: verb === "remove",
    needsReason: verb === "pause" && many > 1,
    asksUntil: verb === "pause",
    ...(isHard && { typed: many }),
    act: async (answer) => {
      /** @type {Record<string, string>} */
      const headers = verb === "run" ? { "Idempotency-Key": key } : {};
      const done = await act("POST", `jobs/${verb}`, { ...chosen, ...answer, jobstore: jobstore() }, { headers });
      if (done.action) return `${word} ${counted(done.matched, "job")}: it goes on beside this page`;
      const failed = done.failed?.length ? `; ${count(done.failed.length)} failed: ${done.failed[0].message}` : "";
      return `${past} ${many === 1 ? what : counted(done.changed ?? done.runs.length, "job")}${failed}`;
    },
  };
}

/**
 * How many jobs a filter matches now.
 * @param {Verb} verb
 * @param {Record<string, string>} filter
 * @returns {Promise<number>}
 */
export async function matched(verb, filter) {
  const found = await act("POST", `jobs/${verb}`, { filter, dry_run: true, jobstore: jobstore() });
  return found.matched;
}

/** @param {string} run_id @returns {Question} */
export const cancelling = (run_id) => ({
  title: "Cancel this run?",
  text: `${run_id} is told to end, in whatever process it is. What it has done so far stays.`,
  verb: "Cancel the run",
  isDangerous: true,
  act: async ({ reason }) => {
    await act("POST", "runs/cancel", { id: run_id, reason, jobstore: jobstore() });
    return "Asked the run to end";
  },
});

/** @param {{id: string, running: number | null}} node @returns {Question} */
export const draining = ({ id, running }) => ({
  title: `Drain ${id}?`,
  text: `It hands its jobs over, finishes its ${running == null ? "runs" : counted(running, "run")} in progress, and ends.`,
  verb: "Drain",
  isDangerous: true,
  act: async ({ reason }) => {
    await act("POST", "nodes/drain", { id, reason, jobstore: jobstore() });
    return `Asked ${id} to drain`;
  },
});

/**
 * A place for questions: `ask` opens one, `dialog` is shown.
 * @param {() => void} [changed] called after an action
 */
export function useQuestions(changed = () => undefined) {
  const [question, set] = useState(/** @type {Question | null} */ (null));
  const close = () => set(null);
  const done = (/** @type {string} */ text) => {
    set(null);
    say(text);
    changed();
  };
  return { ask: set, isOpen: question !== null, dialog: question && h(Ask, { question, close, done, key: question.title }) };
}

/** Tells how far actions on many jobs are. */
export function ActionNews() {
  useFrames((kind, data) => {
    if (kind !== "action") return;
    const so_far = `${count(data.changed)} of ${counted(data.of, "job")}`;
    say(data.error ? `${data.verb}: ${so_far}, then: ${data.error}` : `${data.verb}: ${so_far}${data.is_over ? ", done" : ""}`);
  });
  return null;
}
