// The list of jobs: found, looked through, and acted on.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { ask } from "../api.js";
import { useAnswer, useSoon } from "../data.js";
import { el, h } from "../html.js";
import { useKeys } from "../keys.js";
import { useFrames } from "../live.js";
import { may } from "../me.js";
import { matched, questionOf, useQuestions } from "../parts/actions.js";
import { Pulse } from "../parts/figures.js";
import { TagPick } from "../parts/filters.js";
import { State, hasRun, isOverdue, outcomeWord, stateOf, strip, tagsOf } from "../parts/marks.js";
import { nothing, shown } from "../parts/shown.js";
import { inTime, timeAgo } from "../parts/times.js";
import { say } from "../parts/toast.js";
import { useCursor } from "../parts/rows.js";
import { change, go, link } from "../place.js";
import { count, counted, duration } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["JobRow"]} JobRow */
/** @typedef {{q: string, state: string, tag: string, group: string}} Filter */

const STATES = /** @type {const} */ ([["", "All", "total"], ["failing", "Failing", "failing"], ["paused", "Paused", "paused"], ["parked", "Parked", "parked"], ["overdue", "Overdue", "overdue"]]);
const OTHER_STATES = ["scheduled"]; // that an address may have
const PAGE = 100;
const TYPING_MS = 200;
const ROWS_SECONDS = 5;
const LATE = 0.25; // seconds, as from here lateness stands out

/** @param {import("../app.js").PageProps} props */
export function Jobs({ query }) {
  const part = (/** @type {string} */ name) => query.get(name) ?? "";
  const filter = { q: part("q"), state: part("state"), tag: part("tag"), group: part("group") };
  const after = part("after");
  const isFiltered = Object.values(filter).some(Boolean);
  const isKnown = STATES.some(([state]) => state === filter.state) || OTHER_STATES.includes(filter.state);
  const page = useAnswer("jobs", isKnown ? { ...filter, after, sort: part("sort"), limit: PAGE } : null);
  const counts = useAnswer("counts", isKnown ? filter : {}, { every: ROWS_SECONDS });
  const [marked, mark] = useState(/** @type {ReadonlySet<string>} */ (new Set()));
  const jobs = page.data?.jobs ?? [];
  useFreshRows(jobs, page.set);
  const { ask: question, dialog } = useQuestions(() => {
    mark(new Set());
    page.again();
    counts.again();
  });
  const toggle = (/** @type {string} */ id) =>
    mark((before) => {
      const now = new Set(before);
      if (!now.delete(id)) now.add(id);
      return now;
    });
  const open = (/** @type {number} */ n) => jobs[n] && go("job", { id: jobs[n].id });
  const chosenOr = (/** @type {number} */ n) => (marked.size ? [...marked] : jobs[n] ? [jobs[n].id] : []);
  const at = useCursor(jobs.length, open, (n) => [
    { key: "x", does: "choose the row", act: () => jobs[n] && toggle(jobs[n].id) },
    ...(may("pause") ? [{ key: "p", does: "pause what is chosen, or the row", act: () => question(questionOf("pause", { ids: chosenOr(n) })) }] : []),
    ...(may("run") ? [{ key: "n", does: "run what is chosen, or the row, now", act: () => question(questionOf("run", { ids: chosenOr(n) })) }] : []),
  ]);
  useKeys([
    { key: "r", does: "load the list anew", act: () => [page.again(), counts.again()] },
    { key: "Escape", does: "choose nothing", act: () => mark(new Set()) },
  ]);
  const onAll = jobs.length > 0 && jobs.every(({ id }) => marked.has(id));
  return [
    el.h1({ class: "sr" }, "Jobs"),
    h(Pulse, null),
    el.div(
      { class: "bar" },
      h(Tabs, { filter, counts: counts.data }),
      h(Search, { q: filter.q }),
      h(TagPick, { tag: filter.tag }),
      filter.group ? el.span({ class: "tag" }, `group ${filter.group}`) : null,
      isFiltered ? el.button({ class: "quiet", onClick: () => go("jobs") }, "Clear") : null,
      el.span({ class: "grow" }),
      isKnown && page.data ? h(Bulk, { marked: [...marked], filter, isFiltered, question }) : null,
    ),
    isKnown ? null : unknownState(filter.state),
    !isKnown ? null : shown(page, ({ jobs, next, stopped_early }) =>
      jobs.length === 0
        ? empty(isFiltered)
        : [
            el.div(
              { class: "wide", tabIndex: 0, role: "region", "aria-label": "Jobs" },
              el.table(
                { class: "rows jobs" },
                el.thead(null, head(onAll, () => mark(new Set(onAll ? [] : jobs.map(({ id }) => id))))),
                el.tbody(null, ...jobs.map((job, n) => h(Row, { key: job.id, job, n, isAt: n === at, isMarked: marked.has(job.id), toggle }))),
              ),
            ),
            el.div(
              { class: "foot" },
              el.span({ class: "num" }, footOf(jobs.length, counts.data, filter, stopped_early)),
              el.span({ class: "grow" }),
              after ? el.button({ onClick: () => history.back() }, "‹ Earlier") : null,
              next ? el.button({ onClick: () => change({ after: next }) }, "Later ›") : null,
            ),
          ], { rows: 12 }),
    dialog,
  ];
}

/**
 * Keeps the rows on screen as the jobs are now. Their order stays: rows do not move under the pointer.
 * @param {JobRow[]} jobs
 * @param {ReturnType<typeof useAnswer<"jobs">>["set"]} set
 */
function useFreshRows(jobs, set) {
  const ids = jobs.map(({ id }) => id);
  const key = ids.join("\n");
  const refresh = async () => {
    if (!ids.length || document.hidden) return;
    try {
      const { rows } = await ask("rows", { id: ids, jobstore: jobs[0]?.jobstore });
      const now = new Map(rows.map((row) => [row.id, row]));
      set((page) => ({
        ...page,
        jobs: page.jobs.map((job) => now.get(job.id) ?? (ids.includes(job.id) ? /** @type {any} */ ({ ...job, isGone: true }) : job)),
      }));
    } catch {
      // The stream, and the next question, say that the server does not answer.
    }
  };
  const soon = useSoon(refresh, 300);
  useEffect(() => {
    const timer = setInterval(refresh, ROWS_SECONDS * 1000);
    return () => clearInterval(timer);
  }, [key]);
  useFrames((kind, fact) => {
    // Runs that end badly may be many a second: the next rows show them.
    if (kind === "reset" || (kind === "fact" && !fact.event.startsWith("run.") && (!fact.job_id || ids.includes(fact.job_id)))) soon();
  }, [key]);
}

/** @param {string} state */
const unknownState = (state) =>
  nothing(`The filter “${state}” is unknown`, "The address asks for jobs in a state that there is not. ", link("jobs", {}, {}, "Show all jobs"), ".");

/** @param {boolean} isFiltered */
const empty = (isFiltered) =>
  isFiltered
    ? nothing("No job matches", "Search finds a part of an id or of a name. ", link("jobs", {}, {}, "Show all jobs"), ".")
    : nothing("There are no jobs yet", "An application adds them with add_job(), a runner reads them from gsched.toml.");

/**
 * @param {number} length
 * @param {import("../api.js").Answers["counts"] | null} counts
 * @param {Filter} filter
 * @param {boolean} stoppedEarly
 */
function footOf(length, counts, filter, stoppedEarly) {
  if (stoppedEarly) return `${counted(length, "job")}; the search stopped after a second: type how the id begins`;
  const of = counts ? ` of ${count(counts.matched)}${counts.matched >= 10_000 && Object.values(filter).some(Boolean) ? "+" : ""}` : "";
  return `${count(length)}${of}, ${filter.q ? "by id" : "the next due first"}`;
}

/** @param {{filter: Filter, counts: import("../api.js").Answers["counts"] | null}} props */
const Tabs = ({ filter, counts }) =>
  el.div(
    { class: "tabs", role: "group", "aria-label": "State" },
    ...STATES.map(([state, word, what]) =>
      el.button(
        { "aria-pressed": filter.state === state, onClick: () => change({ state, after: null }) },
        word,
        el.span({ class: `num ${state === "failing" && counts?.failing ? "bad" : ""}` }, count(counts?.[what])),
      ),
    ),
  );

/** @param {{q: string}} props */
function Search({ q }) {
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const sent = useRef(q);
  useEffect(() => {
    // The address has changed by another way, such as "back".
    if (field.current && q !== sent.current) field.current.value = sent.current = q;
  }, [q]);
  const onInput = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      sent.current = field.current?.value ?? "";
      change({ q: sent.current, after: null }, { replace: true });
    }, TYPING_MS);
  };
  return el.label(
    { class: "search" },
    el.span({ class: "sr" }, "Search jobs"),
    el.input({ id: "search", ref: field, type: "search", placeholder: "Search ids and names", defaultValue: q, onInput, autoComplete: "off", spellcheck: false }),
    el.kbd({ "aria-hidden": true }, "/"),
  );
}

/**
 * What can be done to the chosen jobs, or to all that the filter matches.
 * @param {{marked: string[], filter: Filter, isFiltered: boolean, question: (question: import("../parts/dialog.js").Question) => void}} props
 */
function Bulk({ marked, filter, isFiltered, question }) {
  const verbs = /** @type {const} */ ([["pause", "Pause…", "pause"], ["resume", "Resume…", "pause"], ["run", "Run…", "run"], ["remove", "Remove…", "remove"]]);
  const allowed = verbs.filter(([, , permission]) => may(permission));
  if (!allowed.length || (!marked.length && !isFiltered)) return null;
  const act = async (/** @type {typeof verbs[number][0]} */ verb) => {
    if (marked.length) return question(questionOf(verb, { ids: marked }));
    const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value));
    try {
      const expect = await matched(verb, given);
      if (expect) question(questionOf(verb, { filter: given, expect }));
      else say("No job matches any more");
    } catch (error) {
      say(/** @type {Error} */ (error).message);
    }
  };
  return el.div(
    { class: "bulk", role: "group", "aria-label": marked.length ? "the chosen jobs" : "all jobs that match" },
    el.span({ class: "chosen" }, marked.length ? `${marked.length} chosen` : "All that match:"),
    ...allowed.map(([verb, word]) => el.button({ onClick: () => act(verb) }, word)),
  );
}

/** @param {boolean} onAll @param {() => void} toggleAll */
const head = (onAll, toggleAll) =>
  el.tr(
    null,
    el.th({ class: "tick", scope: "col" }, el.input({ type: "checkbox", checked: onAll, "aria-label": "choose all on this page", onChange: toggleAll })),
    ...["State", "Job", "Schedule"].map((title) => el.th({ scope: "col" }, title)),
    el.th({ scope: "col", class: "r" }, "Next run"),
    el.th({ scope: "col" }, "Last run"),
    ...["Late", "Took", "p95"].map((title) => el.th({ scope: "col", class: "r" }, title)),
    el.th({ scope: "col" }, "Last 30 instants"),
    el.th({ scope: "col", class: "r" }, "Runs"),
  );

/** @param {{job: JobRow & {isGone?: boolean}, n: number, isAt: boolean, isMarked: boolean, toggle: (id: string) => void}} props */
function Row({ job, n, isAt, isMarked, toggle }) {
  const { last } = job;
  const ran = last && hasRun(last);
  return el.tr(
    { class: `${isAt ? "at" : ""} ${job.isGone ? "gone" : ""}`, "data-row": n },
    el.td({ class: "tick" }, el.input({ type: "checkbox", checked: isMarked, "aria-label": `choose ${job.id}`, onChange: () => toggle(job.id) })),
    el.td({ class: "st" }, job.isGone ? el.span({ class: "state" }, "removed") : State(job)),
    el.td(
      { class: "id" },
      link("job", { id: job.id }, {}, job.id),
      tagsOf(job.tags, (tag) => change({ tag, after: null })),
      job.group ? el.button({ class: "tag group", title: `jobs of the group ${job.group}`, onClick: () => change({ group: job.group, after: null }) }, job.group) : null,
      remark(job),
    ),
    el.td({ class: "sched", title: job.trigger }, job.schedule),
    el.td({ class: "r num next" }, inTime(job.next_run_time)),
    el.td({ class: "last" }, last ? [outcomeWord(last.outcome), " ", el.span({ class: "dim num" }, timeAgo(last.at))] : el.span({ class: "dim" }, "–")),
    el.td({ class: `r num late ${last && last.lateness > LATE ? "warn" : "dim"}` }, ran ? duration(last.lateness) : "–"),
    el.td({ class: "r num took" }, ran ? duration(last.duration) : "–"),
    el.td({ class: "r num dim usual" }, duration(job.usual_duration)),
    el.td({ class: "recent" }, strip(job.recent)),
    el.td({ class: "r num dim runs" }, count(job.runs)),
  );
}

/** Why the job is as it is, in a few words. @param {JobRow} job */
function remark(job) {
  const state = stateOf(job);
  if (state === "failing" && job.last_error) return el.em({ title: job.last_error }, job.last_error);
  if (job.parked) return el.em({ title: job.parked }, job.parked);
  if (isOverdue(job)) return el.em(null, "overdue since ", timeAgo(job.overdue_at));
  if (!job.pause) return null;
  const by = job.pause.by ? ` by ${job.pause.by}` : "";
  const why = job.pause.reason ? `: ${job.pause.reason}` : "";
  return el.em({ title: job.pause.reason ?? undefined }, job.pause.cause === "failures" ? `too many failures${why}` : `paused${by}${why}`);
}
