// The options of a job.

import { useState } from "../vendor/hooks.js";
import { el } from "../html.js";
import { count, duration, exact } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["Job"]} JobAnswer */

const SHOWN_ELSEWHERE = new Set([
  "id", "state", "schedule", "trigger", "tags", "pause", "next_run_time", "recent", "last_change", "last", "runs", "failures", "rev",
  "failing_since", "last_error", "overdue_at", "parked", "func_ref", "last_run", "last_duration", "usual_duration", "group", "timezone",
]);
const SECONDS = new Set(["timeout", "misfire_grace_time", "retry_delay", "retry_max_delay", "retry_within", "expect_success_every", "slow_after", "spread"]);

/** @param {{job: JobAnswer}} props */
export function Options({ job }) {
  const [isRaw, show] = useState(false);
  const rows = Object.entries(job).filter(([name, value]) => !SHOWN_ELSEWHERE.has(name) && !isUnset(job, name, value));
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Options"), el.button({ class: "quiet", "aria-pressed": isRaw, onClick: () => show(!isRaw) }, "JSON")),
    isRaw
      ? el.pre({ class: "raw", tabIndex: 0 }, JSON.stringify(job, null, 2))
      : el.dl({ class: "options" }, ...rows.flatMap(([name, value]) => [el.dt(null, name.replaceAll("_", " ")), el.dd({ class: "num" }, optionText(name, value))])),
  );
}

/** True for an option that says nothing: there is no value, or it is about retries and there are none. @param {Record<string, any>} job @param {string} name @param {unknown} value */
const isUnset = (job, name, value) =>
  value === null || ["", "{}", "[]"].includes(String(value)) || (name.startsWith("retry_") && !job["retries"]) || (name === "name" && value === job["id"]);

/** @param {string} name @param {unknown} value */
function optionText(name, value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return SECONDS.has(name) ? duration(value) : count(value);
  if (typeof value === "string") return /^\d{4}-\d\d-\d\dT/.test(value) ? exact(value) : value;
  return JSON.stringify(value);
}
