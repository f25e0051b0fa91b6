// One job: what became of each of its instants and why, what comes next, and what it is.

import { useEffect, useMemo, useState } from "../vendor/hooks.js";
import { now } from "../clock.js";
import { useAnswer, useSoon } from "../data.js";
import { el, h } from "../html.js";
import { useKeys } from "../keys.js";
import { useFrames } from "../live.js";
import { may } from "../me.js";
import { questionOf, useQuestions } from "../parts/actions.js";
import { Chart, History } from "../parts/charts.js";
import { Edit } from "../parts/edit.js";
import { Figure } from "../parts/figures.js";
import { State, outcomeWord, tagsOf } from "../parts/marks.js";
import { nothing, sentence, shown } from "../parts/shown.js";
import { atTime, inTime, nextTimes, timeAgo } from "../parts/times.js";
import { change, go, link } from "../place.js";
import { clock, count, counted, dateOf, day, duration, exact, moment, outcome, percent } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["Job"]} JobAnswer */
/** @typedef {import("../answers.d.ts").Schemas["Instant"]} Instant */
/** @typedef {import("../parts/charts.js").Bar & {instant: Instant}} Stretch */
/** @typedef {Pick<Instant, "at" | "outcome" | "recorded" | "sentence" | "reason" | "run_id">} Shown */

const PERIODS = /** @type {const} */ ([["1h", "1 h"], ["24h", "24 h"], ["14d", "14 d"]]);
const EVERY_SECONDS = 10;
const RAN = ["succeeded", "failed", "timed_out"];

/** @param {import("../app.js").PageProps} props */
export function Job({ query }) {
  const id = query.get("id") ?? "";
  const job = useAnswer("job", { id }, { every: EVERY_SECONDS });
  const soon = useSoon(job.again, 300);
  useFrames((kind, fact) => {
    if (kind === "reset" || (kind === "fact" && (!fact.job_id || fact.job_id === id))) soon();
  }, [id]);
  if (job.error?.status === 404) return h(Gone, { id, last: job.data });
  return shown(job, (found) => h(Whole, { job: found, query, again: job.again }), { rows: 8 });
}

/** @param {{id: string, last: JobAnswer | null}} props */
const Gone = ({ id, last }) => [
  el.h1(null, id),
  nothing(
    last ? "Somebody has removed this job" : "There is no such job",
    "Its history stays: ", link("runs", { job: id }, {}, "its runs"), ", ", link("audit", { target: id }, {}, "who did what"), ".",
  ),
];

/** @param {{job: JobAnswer, query: URLSearchParams, again: () => void}} props */
function Whole({ job, query, again }) {
  const [isEditing, edit] = useState(false);
  const { ask, dialog } = useQuestions(again);
  const run = () => ask(questionOf("run", { ids: [job.id] }));
  const pause = () => ask(questionOf(job.pause ? "resume" : "pause", { ids: [job.id] }));
  useKeys([
    ...(may("run") ? [{ key: "n", does: "run the job now", act: run }] : []),
    ...(may("pause") ? [{ key: "p", does: job.pause ? "resume the job" : "pause the job", act: pause }] : []),
    ...(may("edit") ? [{ key: "e", does: "edit the job", act: () => edit(true) }] : []),
    { key: "r", does: "load the page anew", act: again },
  ]);
  return [
    el.div(
      { class: "head" },
      el.div(
        null,
        el.h1(null, job.id),
        el.div(
          { class: "under" },
          State(job),
          tagsOf(job.tags, (tag) => go("jobs", { tag })),
          job.group ? el.button({ class: "tag group", onClick: () => go("jobs", { group: job.group }) }, job.group) : null,
          el.span({ title: job.trigger }, job.schedule),
          job.func_ref ? el.code(null, job.func_ref) : null,
        ),
      ),
      el.span({ class: "grow" }),
      may("remove") ? el.button({ onClick: () => ask(questionOf("remove", { ids: [job.id] })) }, "Remove…") : null,
      may("edit") ? el.button({ onClick: () => edit(true) }, "Edit…") : null,
      may("pause") ? el.button({ onClick: pause }, job.pause ? "Resume…" : "Pause…") : null,
      may("run") ? el.button({ class: "strong", onClick: run }, "Run now…") : null,
    ),
    h(Trouble, { job }),
    h(Figures, { job }),
    h(Instants, { job, query }),
    el.div(
      { class: "split" },
      h(Durations, { job }),
      h(NextRuns, { job }),
      h(Options, { job }),
    ),
    el.div({ class: "split two" }, h(Errors, { job }), h(Changes, { job })),
    isEditing ? h(Edit, { job, close: () => edit(false), again }) : null,
    dialog,
  ];
}

/** What keeps the job from running, or is wrong with it. @param {{job: JobAnswer}} props */
function Trouble({ job }) {
  const lines = [];
  if (job.parked) lines.push(["warn", `Parked: ${job.parked}`]);
  if (job.pause) {
    const { by, reason, until, cause } = job.pause;
    const why = cause === "failures" ? "too many runs failed in a row" : (reason ?? "no reason given");
    lines.push(["hold", `Paused${by ? ` by ${by}` : ""}${job.pause.at ? `, ${exact(job.pause.at)}` : ""}: ${why}${until ? `. It goes on at ${exact(until)}` : ""}`]);
  }
  if (job.overdue_at) lines.push(["warn", `Overdue since ${exact(job.overdue_at)}: no run has succeeded within the time that expect_success_every gives`]);
  if (job.failing_since) lines.push(["bad", `Failing since ${exact(job.failing_since)}${job.last_error ? `: ${job.last_error}` : ""}`]);
  return lines.map(([kind, text]) => el.p({ class: `notice ${kind}` }, text));
}

/** @param {{job: JobAnswer}} props */
function Figures({ job }) {
  const took = job.recent.filter((each) => RAN.includes(each.outcome));
  const bad = took.filter((each) => each.outcome !== "succeeded").length;
  const rank = (/** @type {"lateness" | "duration"} */ what, /** @type {number} */ share) => {
    const all = took.map((each) => each[what]).sort((a, b) => a - b);
    return all[Math.ceil(share * all.length) - 1];
  };
  return el.div(
    { class: "figures flat" },
    Figure({ label: "Next run", value: inTime(job.next_run_time), note: job.next_run_time && exact(job.next_run_time) }),
    Figure({ label: `Success, last ${took.length}`, value: percent(took.length - bad, took.length), kind: bad ? "bad" : "" }),
    Figure({ label: "Duration p50", value: duration(rank("duration", 0.5)), note: `p95 ${duration(rank("duration", 0.95))}` }),
    Figure({ label: "Lateness p50", value: duration(rank("lateness", 0.5)), note: `p95 ${duration(rank("lateness", 0.95))}` }),
    Figure({ label: "Runs", value: count(job.runs), note: job.failures ? `${count(job.failures)} failed` : "none failed" }),
  );
}

/** @param {{job: JobAnswer, query: URLSearchParams}} props */
function Instants({ job, query }) {
  const [least, setLeast] = useState(0); // the shortest period in which it was due
  const chosen = PERIODS.find(([name]) => name === query.get("period"))?.[0];
  const period = chosen ?? PERIODS[least]?.[0] ?? "14d";
  const answer = useAnswer("job/instants", { id: job.id, since: period, limit: 300 }, { every: EVERY_SECONDS });
  const bars = useMemo(() => (answer.data ? barsOf(answer.data.instants) : []), [answer.data]);
  useEffect(() => {
    if (answer.data && !bars.length && !chosen) setLeast((last) => Math.min(last + 1, PERIODS.length - 1));
  }, [answer.data]);
  const at = query.get("at");
  const found = bars.findIndex((bar) => bar.at === at);
  const trouble = bars.findLastIndex((bar) => ["bad", "warn"].includes(outcome(bar.name).kind));
  const picked = found >= 0 ? found : trouble >= 0 ? trouble : bars.length - 1;
  const pick = (/** @type {number} */ n) => change({ at: bars[n]?.at }, { replace: true });
  return el.section(
    { class: "card" },
    el.div(
      { class: "title" },
      el.h2(null, "What became of each instant"),
      el.span(
        { class: "range", role: "group", "aria-label": "Period" },
        ...PERIODS.map(([name, word]) => el.button({ "aria-pressed": name === period, onClick: () => change({ period: name, at: null }) }, word)),
      ),
      el.span(
        { class: "legend" },
        ...[["ok", "succeeded"], ["bad", "failed"], ["warn", "skipped or missed"], ["idle", "coalesced"]].map(([kind, word]) => el.span({ class: `key ${kind}` }, word)),
      ),
    ),
    shown(answer, () => {
      const bar = bars[picked];
      const elsewhere = at && found < 0 ? h(Elsewhere, { job, at }) : null;
      if (!bar) return elsewhere ?? nothing("It was not due in this time", period === "14d" ? "" : "Choose a longer one.");
      return [
        el.div(
          { class: "instants" },
          h(History, { bars, picked: at && found < 0 ? null : picked, pick }),
          el.div({ class: "scale num" }, ...(bars.length > 2 ? [bars[0], bars[bars.length >> 1], bars.at(-1)] : bars).map((each) => el.span(null, each && short(each.at, period)))),
        ),
        elsewhere ?? h(Why, { instant: bar.instant, job }),
      ];
    }),
  );
}

/** @param {string} time @param {string} period */
const short = (time, period) => (period === "14d" ? `${day(time)} ${clock(time, false)}` : clock(time));

/** A bar for each instant; instants at which nothing happened to a run yet are left out. @param {Instant[]} instants @returns {Stretch[]} */
function barsOf(instants) {
  return instants
    .filter(({ outcome: name }) => !["upcoming", "not_due"].includes(name))
    .sort((a, b) => Date.parse(a.at) - Date.parse(b.at))
    .map((each) => ({
      at: each.at, until: each.at, name: each.outcome, took: each.duration, count: 1, instant: each,
      title: `${moment(each.at, now())}  ${outcome(each.outcome).word}${each.duration == null ? "" : `  ${duration(each.duration)}`}`,
    }));
}

/** What became of an instant that is not among those of the period. @param {{job: JobAnswer, at: string}} props */
function Elsewhere({ job, at }) {
  const answer = useAnswer("job/explain", { id: job.id, at });
  return shown(answer, ({ instant, outcome: name, recorded, sentence: words, record }) =>
    h(Why, { job, instant: { at: instant, outcome: name, recorded, sentence: words, reason: record?.reason ?? null, run_id: record?.run_id ?? null } }), { rows: 1 });
}

/** What an outcome means for the job, in a sentence. @param {string} why the reason, or the outcome @param {JobAnswer} job */
function meaningOf(why, { max_instances, misfire_grace_time }) {
  if (why === "missed" && misfire_grace_time != null) return `The job could not start within ${duration(misfire_grace_time)} of this time, so it did not run.`;
  if (why !== "max_instances") return "";
  const runs = max_instances === 1 ? "An earlier run" : counted(max_instances, "earlier run");
  return `${runs} of the job ${max_instances === 1 ? "was" : "were"} in progress, and max_instances allows no more.`;
}

/** What became of an instant, and why. @param {{instant: Shown, job: JobAnswer}} props */
function Why({ instant, job }) {
  const meaning = meaningOf(instant.reason ?? instant.outcome, job);
  return el.div(
    { class: "why", role: "status" },
    outcomeWord(instant.outcome),
    el.time({ class: "num", dateTime: instant.at, title: exact(instant.at) }, moment(instant.at, now())),
    el.span({ class: "because" }, sentence(instant.sentence), meaning && ` ${meaning}`),
    el.span({ class: "dim" }, instant.recorded ? "on record" : "inferred"),
    el.span({ class: "grow" }),
    instant.run_id ? link("run", { id: instant.run_id }, {}, "run") : null,
  );
}

/** @param {{job: JobAnswer}} props */
function Durations({ job }) {
  const data = useMemo(() => {
    const ran = job.recent.filter(({ outcome: name }) => RAN.includes(name));
    const at = ran.map((each) => Date.parse(each.scheduled_at) / 1000);
    const durations = (/** @type {boolean} */ isWell) =>
      ran.map((each) => ((each.outcome === "succeeded") === isWell ? Math.max(each.duration, 0.0001) : null));
    return [at, durations(true), ran.map((each) => Math.max(each.lateness, 0.0001)), durations(false)];
  }, [job.recent]);
  const series = [
    { label: "duration", color: "--c1", isPoints: true },
    { label: "lateness", color: "--c3", isPoints: true },
    { label: "failed", color: "--bad", isPoints: true },
  ];
  return el.section(
    { class: "card" },
    el.div(
      { class: "title" },
      el.h2(null, "Duration and lateness"),
      el.span({ class: "dim" }, `the last ${counted(data[0]?.length ?? 0, "run")}`),
      el.span({ class: "legend" }, el.span({ class: "key c1" }, "duration"), el.span({ class: "key c3" }, "lateness"), el.span({ class: "key bad" }, "failed")),
    ),
    data[0]?.length
      ? h(Chart, { data, series, height: 220, isLog: true, label: "duration and lateness of the last runs" })
      : nothing(job.runs ? "No run is among the last outcomes" : "No run has ended yet"),
  );
}

/** @param {{job: JobAnswer}} props */
function NextRuns({ job }) {
  const answer = useAnswer("job/next", { id: job.id, count: 8 }, { every: 30 });
  const later = useSoon(answer.again, 300);
  useEffect(() => later(), [job.rev, job.next_run_time]);
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Next runs"), el.span({ class: "dim" }, job.timezone)),
    shown(answer, ({ next }) => [
      job.pause ? el.p({ class: "dim" }, "If it were not paused:") : null,
      next.length
        ? nextTimes(next, localTime, inTime)
        : el.p({ class: "dim" }, "Its trigger has no further times."),
    ]),
  );
}

/** A time in the zone of its trigger, with the day if it is another one there. @param {string} at */
function localTime(at) {
  const today = new Date(now() + (Date.parse(`${at.slice(0, 19)}Z`) - Date.parse(at))).toISOString().slice(0, 10);
  return `${at.startsWith(today) ? "" : `${dateOf(at)} `}${at.slice(11, 19)}`;
}

const SHOWN_ELSEWHERE = new Set([
  "id", "state", "schedule", "trigger", "tags", "pause", "next_run_time", "recent", "last_change", "last", "runs", "failures", "rev",
  "failing_since", "last_error", "overdue_at", "parked", "func_ref", "last_run", "last_duration", "usual_duration", "group", "timezone",
]);
const SECONDS = new Set(["timeout", "misfire_grace_time", "retry_delay", "retry_max_delay", "retry_within", "expect_success_every", "slow_after", "spread"]);

/** @param {{job: JobAnswer}} props */
function Options({ job }) {
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

/** @param {{job: JobAnswer}} props */
function Errors({ job }) {
  const answer = useAnswer("runs", { job: job.id, since: "24h", limit: 8 }, { every: EVERY_SECONDS });
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Runs on record, 24 h"), link("runs", { job: job.id }, {}, "all")),
    shown(answer, ({ runs }) =>
      runs.length
        ? el.table(
            { class: "plain" },
            el.tbody(
              null,
              ...runs.map((run) =>
                el.tr(
                  null,
                  el.td({ class: "num dim" }, link("run", { id: run.run_id }, {}, atTime(run.scheduled_at))),
                  el.td(null, outcomeWord(run.outcome), run.attempt > 1 ? el.span({ class: "dim" }, ` attempt ${run.attempt}`) : null),
                  el.td({ class: "cut" }, run.error_message ?? run.reason ?? ""),
                  el.td({ class: "num dim r" }, duration(run.duration)),
                ),
              ),
            ),
          )
        : nothing("Nothing on record", "Runs that succeed are counted, and not recorded one by one."),
    ),
  );
}

/** @param {{job: JobAnswer}} props */
function Changes({ job }) {
  const answer = useAnswer("audit", { target: job.id, limit: 8 });
  const later = useSoon(answer.again, 300);
  useEffect(() => later(), [job.rev]);
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Who did what"), link("audit", { target: job.id }, {}, "all")),
    shown(answer, ({ entries }) =>
      entries.length
        ? el.table(
            { class: "plain" },
            el.tbody(
              null,
              ...entries.map((entry) =>
                el.tr(
                  null,
                  el.td({ class: "num dim" }, timeAgo(entry.at)),
                  el.td(null, el.b(null, entry.actor ?? "somebody"), ` ${entry.action.replace("job.", "")}`),
                  el.td({ class: "dim" }, entry.reason ?? ""),
                ),
              ),
            ),
          )
        : nothing("Nobody has changed it", job.added ? `It was added ${exact(job.added)}.` : ""),
    ),
  );
}
