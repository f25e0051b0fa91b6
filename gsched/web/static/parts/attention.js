// What needs attention, a line each: how many, what, why, and where one acts.

import { el } from "../html.js";
import { link } from "../place.js";
import { count, counted, duration } from "../words.js";
import { whoLooks } from "../me.js";
import { jobLink } from "./marks.js";
import { isShared } from "./nodes.js";
import { sentence, withCode } from "./shown.js";

/** @typedef {import("../answers.d.ts").Schemas["Overview"]} Overview */
/** @typedef {import("../answers.d.ts").Schemas["Finding"]} Finding */
/** @typedef {import("../html.js").Children} Children */
/** @typedef {{overview: Overview, counts: import("../api.js").Answers["counts"] | null, findings: Finding[]}} Known */
/** @typedef {{key: string, kind: "bad" | "warn" | "hold" | "dim", number: string, what: string, detail: Children, act: Children}} Line */

const NAMED = 3; // of several alike
const LONG_MS = 86_400_000; // a pause that is longer may be forgotten
const TOLD_BY_LINES = new Set(["parked jobs", "overdue jobs", "paused jobs", "runners"]); // findings that have a line anyway

/** @param {Known} known @returns {Line[]} the worst first, in an order that stays */
export function linesOf(known) {
  return [nodesOf, failingOf, overdueOf, parkedOf, pausedOf, lostOf, findingsOf, retriesOf].flatMap((each) => each(known));
}

/** @param {string} key @param {Line["kind"]} kind @param {number} n @param {string} one @param {string} many @param {Children} detail @param {Children} act @returns {Line[]} */
const line = (key, kind, n, one, many, detail, act) =>
  n > 0 ? [{ key, kind, number: count(n), what: n === 1 ? one : many, detail, act }] : [];

/** @param {Known} known @returns {Line[]} */
function nodesOf({ overview, findings }) {
  const why = findings.find(({ check, verdict }) => check === "runners" && verdict !== "ok");
  const { nodes, waiting, running, pool_size } = overview;
  const named = (/** @type {typeof nodes} */ some) => some.slice(0, NAMED).map(({ id }) => id).join(", ");
  const silent = nodes.filter(({ state }) => state === "silent");
  const paused = nodes.filter((node) => node.paused);
  const act = link("nodes", {}, {}, "nodes");
  const isAlive = nodes.some(({ state }) => state === "alive" || state === "draining");
  const stopped = isShared() ? !isAlive : !whoLooks().running;
  const own = isShared() ? [] : overview.alarms.filter((alarm) => / is paused: /.test(alarm));
  return [
    ...(stopped ? [{ key: "runners", kind: /** @type {const} */ ("bad"), number: "0", what: "runners are alive", detail: [why ? `${sentence(why.found)} ` : "", "Nothing runs until ", el.code(null, "gsched run"), " is started."], act }] : []),
    ...line("silent", "bad", silent.length, "node is silent", "nodes are silent", `No heartbeat: ${named(silent)}. Others take its jobs over.`, act),
    ...line("held", "hold", paused.length, "node is paused", "nodes are paused", `Due jobs wait: ${named(paused)}`, act),
    ...line("own", "hold", own.length, "scheduler is paused", "schedulers are paused", own.map(sentence).join(" "), act),
    ...line("waiting", "warn", waiting, "run waits for a worker", "runs wait for a worker", `${count(running)} in progress, the pools take ${count(pool_size)} at once.`, act),
  ];
}

/** @param {Known} known @returns {Line[]} */
function failingOf({ overview, counts }) {
  const failures = overview.groups.filter(({ outcome }) => outcome !== "skipped" && outcome !== "missed");
  const some = errorsOf(failures);
  const named = overview.troubles.filter((trouble) => trouble.failures > 0).slice(0, NAMED).flatMap(({ job_id }, n) => [n ? ", " : "", jobLink(job_id)]);
  const detail = [some && ["In 10 min: ", some, ". "], named.length ? [...named, ". "] : "", link("failures", {}, {}, "Failures")];
  const failing = line("failing", "bad", counts?.failing ?? 0, "job fails", "jobs fail", detail, link("jobs", { state: "failing" }, {}, "jobs"));
  if (failing.length) return failing;
  return line("failed", "warn", overview.failures, "run failed in the last minute", "runs failed in the last minute", detail, link("failures", {}, {}, "failures"));
}

/** The errors with the most records, whatever the tags of their jobs. @param {Overview["groups"]} groups */
function errorsOf(groups) {
  /** @type {Map<string, number>} */ const counts = new Map();
  for (const { error, outcome, count: n } of groups) {
    const words = error || outcome.replace("_", " ");
    counts.set(words, (counts.get(words) ?? 0) + n);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const more = sorted.length > NAMED ? `, ${counted(sorted.length - NAMED, "other")}` : "";
  return sorted.slice(0, NAMED).map(([words, n]) => `${words} (${count(n)})`).join(", ") + more;
}

/** @param {Known} known @returns {Line[]} */
function overdueOf({ overview: { overdue } }) {
  const some = overdue.slice(0, NAMED).flatMap(({ job_id, seconds }, n) => [n ? ", " : "", jobLink(job_id), ` for ${duration(seconds)}`]);
  const more = overdue.length > NAMED ? `, ${count(overdue.length - NAMED)} more` : "";
  return line("overdue", "bad", overdue.length, "job is overdue", "jobs are overdue", ["No run has succeeded in time: ", ...some, more], link("jobs", { state: "overdue" }, { "aria-label": "overdue jobs" }, "jobs"));
}

/** @param {Known} known @returns {Line[]} */
function parkedOf({ counts, findings }) {
  const why = findings.find(({ check, verdict }) => check === "parked jobs" && verdict !== "ok");
  const detail = why ? [sentence(why.found), " ", why.remedy ? withCode(why.remedy) : ""] : "They cannot be run.";
  return line("parked", "warn", counts?.parked ?? 0, "job is parked", "jobs are parked", detail, link("jobs", { state: "parked" }, {}, "jobs"));
}

/** @param {Overview["pauses"]} pauses */
const sum = (pauses) => pauses.reduce((all, { jobs }) => all + jobs, 0);

/** @param {Overview} overview @param {boolean} isLong */
const byUsers = ({ pauses, as_of }, isLong) =>
  pauses.filter(({ cause, since }) => cause !== "failures" && isLong === (since !== null && Date.parse(as_of) - Date.parse(since) > LONG_MS));

/** @param {Overview["pauses"]} pauses @param {string} as_of @returns {Children[]} */
const pauseWords = (pauses, as_of) =>
  pauses.slice(0, NAMED).flatMap(({ jobs, job_id, by, reason, since }, n) => [
    n ? "; " : "",
    jobs === 1 ? jobLink(job_id) : `${count(jobs)} jobs`,
    by ? ` by ${by}` : "",
    reason ? `: ${reason}` : ", no reason given",
    since ? ` (for ${duration((Date.parse(as_of) - Date.parse(since)) / 1000)})` : "",
  ]);

/** @param {Known} known @returns {Line[]} */
function pausedOf({ overview }) {
  const failed = overview.pauses.filter(({ cause }) => cause === "failures");
  const long = byUsers(overview, true);
  const act = link("jobs", { state: "paused" }, {}, "jobs");
  return [
    ...line("failed-often", "warn", sum(failed), "job was paused after too many failures", "jobs were paused after too many failures", pauseWords(failed, overview.as_of), act),
    ...line("paused", "hold", sum(long), "job is paused for more than a day", "jobs are paused for more than a day", pauseWords(long, overview.as_of), act),
  ];
}

/** Jobs that were paused not long ago: somebody knows of them. @param {Known} known @returns {Children} */
export function pausedLately({ overview, counts }) {
  const lately = byUsers(overview, false);
  const jobs = sum(lately) || (overview.pauses.length ? 0 : (counts?.paused ?? 0));
  if (!jobs) return null;
  return [link("jobs", { state: "paused" }, {}, `${counted(jobs, "job")} ${jobs === 1 ? "is" : "are"} paused`), lately.length ? ": " : ".", ...pauseWords(lately, overview.as_of)];
}

/** Instants that did not run. @param {Known} known @returns {Line[]} */
function lostOf({ overview: { misses, skips, groups } }) {
  const why = (/** @type {string} */ outcome) => {
    const some = groups.filter((group) => group.outcome === outcome).slice(0, NAMED);
    const named = some.flatMap(({ error, count: n, jobs, latest_job_id: id }, at) => [
      at ? "; " : "", jobLink(id), jobs > 1 ? ` and ${counted(jobs - 1, "more job")}` : "", error ? `: ${error}` : "", ` (${count(n)})`,
    ]);
    return some.length ? ["In 10 min: ", ...named, "."] : null;
  };
  return [
    ...line("missed", "warn", misses, "instant was missed in the last minute", "instants were missed in the last minute", why("missed"), link("runs", { outcome: "missed" }, {}, "runs")),
    ...line("skipped", "warn", skips, "instant was skipped in the last minute", "instants were skipped in the last minute", why("skipped"), link("runs", { outcome: "skipped" }, {}, "runs")),
  ];
}

/** @param {Known} known @returns {Line[]} */
function findingsOf({ findings }) {
  return findings
    .filter(({ check, verdict }) => verdict !== "ok" && !TOLD_BY_LINES.has(check))
    .map(({ check, verdict, found, remedy }) => ({
      key: `doctor ${check}`, kind: verdict === "problem" ? "bad" : "warn", number: "1", what: `${verdict}: ${check}`,
      detail: [sentence(found), " ", remedy ? withCode(remedy) : ""], act: link("nodes", {}, {}, "findings"),
    }));
}

/** @param {Known} known @returns {Line[]} */
const retriesOf = ({ overview: { outcomes } }) =>
  line("retried", "dim", outcomes["retried"] ?? 0, "attempt failed in the last minute and is tried again", "attempts failed in the last minute and are tried again", null, link("runs", { outcome: "retried" }, {}, "runs"));
