// Editing a job: only what was changed is sent, its next times are shown first, and nobody's change is overwritten.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { act } from "../api.js";
import { el, h } from "../html.js";
import { jobstore } from "../me.js";
import { dateOf, duration } from "../words.js";
import { Dialog, problem } from "./dialog.js";
import { nextTimes } from "./times.js";
import { say } from "./toast.js";

/** @typedef {import("../answers.d.ts").Schemas["Job"]} Job */
/** @typedef {import("../api.js").Refusal} Refusal */
/** @typedef {{schedule: string, late: boolean, next: {at: string, offset_changes: boolean}[]}} Check */
/** @typedef {"text" | "list" | "json" | "number" | "duration" | "flag" | readonly string[]} Kind */

const CHECK_MS = 300;

/** The fields: name, label, kind, and a hint. @type {[string, string, Kind, string?][]} */
const FIELDS = [
  ["name", "Name", "text"],
  ["tags", "Tags", "list", "with commas between them"],
  ["args", "Arguments", "json", "a JSON list"],
  ["kwargs", "Named arguments", "json", "a JSON object; what is masked stays as it is"],
  ["timeout", "Timeout", "duration", "30s, 5m; empty: none"],
  ["misfire_grace_time", "Misfire grace time", "duration", "30s; empty: any time"],
  ["max_instances", "Runs at once", "number"],
  ["overlap", "When too many are in progress", ["skip", "queue", "cancel"]],
  ["coalesce", "Of several late instants, run only the last", "flag"],
  ["retries", "Retries", "number"],
  ["retry_delay", "Wait before a retry", "duration"],
  ["max_consecutive_failures", "Pause after failures in a row", "number", "empty: never"],
  ["expect_success_every", "Overdue without success for", "duration", "empty: never"],
  ["next_run_time", "Next run at", "text", "2026-12-01 08:00, or now"],
];

/** @type {[string, string, string][]} */
const SCHEDULES = [
  ["", "as it is", ""],
  ["every", "every", "30s, 5m, 1h30m"],
  ["cron", "by a cron expression", "*/15 8-18 * * mon-fri"],
  ["once", "once", "2026-12-24 18:00"],
];

/** @param {{job: Job, close: () => void, again: () => void}} props */
export function Edit({ job, close, again }) {
  const [changes, setChanges] = useState(/** @type {Record<string, string>} */ ({}));
  const [check, setCheck] = useState(/** @type {Check | null} */ (null));
  const [mistake, setMistake] = useState(/** @type {Refusal | null} */ (null)); // of the change, as the check says
  const [refused, setRefused] = useState(/** @type {Refusal | null} */ (null)); // of the last attempt to save it
  const [isBusy, setBusy] = useState(false);
  /** @type {Record<string, string>} */
  const was = { ...textsOf(job), zone: job.timezone };
  const meant = Object.fromEntries(Object.entries(changes).filter(([name, text]) => text !== (was[name] ?? "")));
  const changed = bodyOf(meant, was);
  const isChanged = Object.keys(changed).length > 0;
  const key = JSON.stringify([changed, job.rev]);
    useCheck(job, changed, key, setCheck, setMistake);
  const set = (/** @type {string} */ name, /** @type {string} */ text) => setChanges((last) => ({ ...last, [name]: text }));
  const text = (/** @type {string} */ name) => changes[name] ?? was[name] ?? "";
  const save = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (isBusy || !isChanged) return;
    setBusy(true);
    setRefused(null);
    try {
      const body = { ...changed, reason: meant["reason"] || null };
      await act("PATCH", "job", body, { query: { id: job.id, jobstore: jobstore() }, headers: { "If-Match": job.rev } });
      say(`Changed ${job.id}`);
      close();
      again();
    } catch (refusal) {
      setBusy(false);
      setRefused(/** @type {Refusal} */ (refusal));
      if (/** @type {Refusal} */ (refusal).status === 409) again();
    }
  };
  return h(
    Dialog,
    { title: `Edit ${job.id}`, close, wide: true, children: null },
    el.form(
      { onSubmit: save },
      h(Schedule, { job, text, set }),
      el.div({ class: "form" }, ...FIELDS.map(([name, label, kind, hint]) => field({ name, label, kind, hint: hint ?? "", value: text(name), set }))),
      field({ name: "reason", label: "Reason (optional)", kind: "text", hint: "for those who see it later", value: text("reason"), set }),
      h(Difference, { meant, was }),
      h(Times, { check, isChanged }),
      check?.late && isChanged ? el.p({ class: "notice warn", role: "status" }, lateWords(job)) : null,
      problem(named(mistake ?? refused)),
      refused?.status === 409 ? el.p(null, "The values that you have not changed are as they are now. Save again if your change is still meant.") : null,
      el.div(
        { class: "foot" },
        el.span({ class: "grow" }),
        el.button({ type: "button", onClick: close }, "Cancel"),
        el.button({ class: "strong", disabled: isBusy || !isChanged }, isBusy ? "Saving" : "Save"),
      ),
    ),
  );
}

/**
 * Asks what the job would be, whenever the change is another one.
 * @param {Job} job
 * @param {Record<string, any>} changed
 * @param {string} key
 * @param {(check: Check | null) => void} setCheck
 * @param {(mistake: Refusal | null) => void} setMistake
 */
function useCheck(job, changed, key, setCheck, setMistake) {
  const asked = useRef(0);
  useEffect(() => {
    const turn = ++asked.current;
    const timer = setTimeout(async () => {
      try {
        if (!Object.keys(changed).length) return void (turn === asked.current && [setCheck(null), setMistake(null)]);
        const found = await act("PATCH", "job", changed, { query: { id: job.id, jobstore: jobstore(), check: true } });
        if (turn === asked.current) [setCheck(found), setMistake(null)];
      } catch (refusal) {
        if (turn === asked.current) [setCheck(null), setMistake(/** @type {Refusal} */ (refusal))];
      }
      return undefined;
    }, CHECK_MS);
    return () => clearTimeout(timer);
  }, [key]);
}

/** The job's values as texts, as the form shows them. @param {Job} job @returns {Record<string, string>} */
function textsOf(job) {
  const values = /** @type {Record<string, any>} */ (job);
  const texts = FIELDS.filter(([name]) => name !== "next_run_time").map(([name, , kind]) => {
    const value = values[name];
    return [name, value == null ? "" : kind === "list" ? value.join(", ") : String(value)];
  });
  return Object.fromEntries(texts);
}

/** What is sent. @param {Record<string, string>} meant @param {Record<string, string>} was @returns {Record<string, any>} */
function bodyOf(meant, was) {
  /** @type {Record<string, any>} */ const body = {};
  for (const [name, , kind] of FIELDS) {
    const text = meant[name]?.trim();
    if (text !== undefined && !(name === "next_run_time" && !text)) body[name] = valueOf(text, kind);
  }
  const how = meant["how"];
  const when = meant["when"]?.trim() ?? "";
  const zone = (meant["zone"] ?? was["zone"])?.trim();
  if (!how || !when) return body;
  if (how === "every") return { ...body, trigger: "interval", seconds: secondsOf(when) };
  const trigger = how === "cron" ? { trigger: "cron", crontab: when } : { trigger: "date", run_date: when };
  return { ...body, ...trigger, ...(zone && { timezone: zone }) };
}

const UNITS = { ms: 0.001, s: 1, m: 60, min: 60, h: 3600, d: 86_400, w: 604_800 };

/** @param {string} text such as 1h30m, or seconds @returns {number | string} the text if it is no duration: the server says so */
function secondsOf(text) {
  if (/^[\d.]+$/.test(text)) return Number(text);
  const parts = [...text.matchAll(/([\d.]+)\s*(ms|min|s|m|h|d|w)(?![a-z])/g)];
  if (!parts.length || parts.map(([part]) => part).join("") !== text.replaceAll(" ", "")) return text;
  return parts.reduce((sum, [, n, unit]) => sum + Number(n) * UNITS[/** @type {keyof typeof UNITS} */ (unit)], 0);
}

/** @param {string} text @param {Kind} kind */
function valueOf(text, kind) {
  if (kind === "text" || kind === "json" || typeof kind === "object") return text;
  if (kind === "list") return text ? text.split(",").map((each) => each.trim()).filter(Boolean) : [];
  if (kind === "flag") return text === "true";
  if (!text) return null;
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** @param {{name: string, label: string, kind: Kind, hint: string, value: string, set: (name: string, text: string) => void}} props */
function field({ name, label, kind, hint, value, set }) {
  const onInput = (/** @type {any} */ event) => set(name, event.currentTarget.value);
  if (kind === "flag") {
    const toggle = (/** @type {any} */ event) => set(name, String(event.currentTarget.checked));
    return el.label({ class: "flag" }, el.input({ type: "checkbox", name, checked: value === "true", onChange: toggle }), label);
  }
  const control =
    typeof kind === "object"
      ? el.select({ name, value, onChange: onInput }, ...kind.map((choice) => el.option({ value: choice }, choice)))
      : kind === "json"
        ? el.textarea({ name, rows: 2, value, onInput, spellcheck: false, class: "mono" })
        : el.input({ name, value, onInput, autoComplete: "off", placeholder: hint, ...(kind === "number" && { inputMode: /** @type {const} */ ("numeric") }) });
  return el.label({ class: kind === "json" ? "whole-row" : "" }, label, kind === "json" ? el.small({ class: "dim" }, ` ${hint}`) : null, control);
}

/** @param {{job: Job, text: (name: string) => string, set: (name: string, text: string) => void}} props */
function Schedule({ job, text, set }) {
  const how = text("how");
  const hint = SCHEDULES.find(([name]) => name === how)?.[2] ?? "";
  return el.div(
    { class: "form" },
    el.label(
      null, "Schedule",
      el.select(
        { name: "how", value: how, onChange: (event) => set("how", event.currentTarget.value) },
        ...SCHEDULES.map(([name, word]) => el.option({ value: name }, name ? word : `${word}: ${job.schedule}`)),
      ),
    ),
    how ? field({ name: "when", label: how === "once" ? "When" : how === "cron" ? "Expression" : "Period", kind: "text", hint, value: text("when"), set }) : null,
    how && how !== "every" ? field({ name: "zone", label: "Time zone", kind: "text", hint: "the scheduler's", value: text("zone"), set }) : null,
  );
}

/** A refusal, with the field as the form calls it. @param {Refusal | null} refusal */
const named = (refusal) =>
  refusal && { message: refusal.message.replace(/^\w+(?=:)/, (name) => FIELDS.find(([each]) => each === name)?.[1] ?? name), remedy: refusal.remedy };

/** What is changed, from and to. @param {{meant: Record<string, string>, was: Record<string, string>}} props */
function Difference({ meant, was }) {
  const rows = FIELDS.filter(([name]) => name in meant);
  if (!rows.length) return null;
  const shown = (/** @type {string | undefined} */ text) => el.code(null, text || "–");
  return el.table(
    { class: "plain" },
    el.tbody(null, ...rows.map(([name, label]) => el.tr(null, el.td({ class: "dim" }, label), el.td(null, shown(was[name]), " → ", shown(meant[name]))))),
  );
}

/** What a next run time in the past means. @param {Job} job */
const lateWords = ({ misfire_grace_time: grace }) =>
  `The next run time is past: the job is due at once${grace == null ? "" : `, and misses this run if it is more than ${duration(grace)} late`}.`;

/** The next five times of the changed job. @param {{check: Check | null, isChanged: boolean}} props */
function Times({ check, isChanged }) {
  if (!check || !isChanged) return null;
  return el.div(
    { class: "times", role: "status" },
    el.b(null, `${check.schedule}: the next times`),
    nextTimes(check.next, (at) => `${dateOf(at)} ${at.slice(11, 19)}`, (at) => at.slice(-6)),
    check.next.length ? null : el.p(null, "It would never be due again."),
  );
}
