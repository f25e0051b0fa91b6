// Runs: those in progress, then those on record, the newest first.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { useAnswer, useLater, useSoon } from "../data.js";
import { el, h } from "../html.js";
import { useKeys } from "../keys.js";
import { useFrames } from "../live.js";
import { may } from "../me.js";
import { cancelling, useQuestions } from "../parts/actions.js";
import { AgeBar } from "../parts/age.js";
import { Chip, Pick, Range, TagPick, TextFilter, filterBy } from "../parts/filters.js";
import { jobLink, nodeMark, outcomeWord } from "../parts/marks.js";
import { useCursor } from "../parts/rows.js";
import { nothing, shown } from "../parts/shown.js";
import { atTime, inTime } from "../parts/times.js";
import { change, go, link } from "../place.js";
import { OUTCOME_NAMES, count, counted, duration, moment, nodeName, outcome } from "../words.js";
import { now } from "../clock.js";

/** @typedef {import("../answers.d.ts").Schemas["Run"]} Run */
/** @typedef {{job: string, tag: string, node: string}} Which */
/** @typedef {Run & {isOver?: boolean}} Current */

const PAGE = 100;
const MOST_CURRENT = 50;
const EVERY_SECONDS = 5;
const NEWER_SECONDS = 5;
const SOON_MS = 2000; // after a failure that the stream tells
const LATE = 0.25; // seconds, as from here lateness stands out
const PERIODS = /** @type {const} */ ([["1h", "1 h"], ["24h", "24 h"], ["14d", "14 d"], ["", "All"]]);
const UNENDED = ["running", "waiting"];

/** @param {import("../app.js").PageProps} props */
export function Runs({ query }) {
  const part = (/** @type {string} */ name) => query.get(name) ?? "";
  const which = { job: part("job"), tag: part("tag"), node: part("node") };
  const filter = { ...which, outcome: part("outcome"), since: part("since"), until: part("until") };
  const before = part("before");
  const isFiltered = Object.values(filter).some(Boolean);
  const page = useAnswer("runs", { ...filter, before, limit: PAGE });
  const { ask, dialog } = useQuestions(page.again);
  // Runs that have not ended are in the card above.
  const runs = page.data?.runs.filter((run) => filter.outcome || !UNENDED.includes(run.outcome)) ?? [];
  const open = (/** @type {number} */ n) => runs[n] && go("run", { id: runs[n].run_id });
  const at = useCursor(runs.length, open);
  useKeys([{ key: "r", does: "load the list anew", act: page.again }]);
  return [
    el.h1({ class: "sr" }, "Runs"),
    before || filter.outcome || filter.until ? null : h(Current, { which, ask, key: JSON.stringify(which) }),
    el.div(
      { class: "bar" },
      Pick({ label: "Outcome", name: "outcome", value: filter.outcome, any: "any outcome", options: OUTCOME_NAMES.map((name) => [name, outcome(name).word]) }),
      h(TextFilter, { label: "Job id", name: "job", value: filter.job }),
      h(TagPick, { tag: filter.tag }),
      Chip({ label: "node", name: "node", value: filter.node, shown: nodeName(filter.node) }),
      Range({ label: "Period", value: filter.since, options: PERIODS, pick: (since) => filterBy("since", since) }),
      PERIODS.some(([since]) => since === filter.since) ? null : Chip({ label: "from", name: "since", value: filter.since, shown: shortTime(filter.since) }),
      Chip({ label: "until", name: "until", value: filter.until, shown: shortTime(filter.until) }),
      isFiltered ? el.button({ class: "quiet", onClick: () => go("runs") }, "Clear") : null,
      el.span({ class: "grow" }),
      before ? null : h(Newer, { filter, page, key: JSON.stringify(filter) }),
    ),
    shown(page, ({ next }) =>
      runs.length
        ? [
            el.div(
              { class: "wide", tabIndex: 0, role: "region", "aria-label": "Runs on record" },
              el.table(
                { class: "rows runs" },
                el.thead(null, head()),
                el.tbody(null, ...runs.map((run, n) => h(Row, { key: keyOf(run), run, n, isAt: n === at }))),
              ),
            ),
            el.div(
              { class: "foot" },
              el.span({ class: "num" }, `${counted(runs.length, "record")}, the newest first; times in the server's zone`),
              el.span({ class: "grow" }),
              before ? el.button({ onClick: () => history.back() }, "‹ Newer") : null,
              next ? el.button({ onClick: () => change({ before: next }) }, "Older ›") : null,
            ),
          ]
        : [
            empty(filter, isFiltered),
            next ? el.div({ class: "foot" }, el.button({ onClick: () => change({ before: next }) }, "Older ›")) : null,
          ], { rows: 12 }),
    dialog,
  ];
}

/** @param {Run} run */
const keyOf = (run) => `${run.run_id}#${run.attempt}`;

/** @param {string} time "24h", or a time */
const shortTime = (time) => (/^\d{4}-/.test(time) ? moment(time, now()) : `${time} ago`);

/**
 * Why there is nothing.
 * @param {Which & {outcome: string, since: string, until: string}} filter
 * @param {boolean} isFiltered
 */
function empty(filter, isFiltered) {
  const where = filter.job ? link("job", { id: filter.job }, {}, "what became of each instant of this job") : link("jobs", {}, {}, "what became of each instant is on a job's page");
  const counts = "Runs that succeed are counted, and not recorded one by one, unless the store's option history_successes says so: ";
  if (["succeeded", "coalesced"].includes(filter.outcome)) return nothing(`No run on record ${outcome(filter.outcome).word}`, counts, where, ".");
  if (UNENDED.includes(filter.outcome)) {
    return nothing(`No run is ${filter.outcome}`, filter.outcome === "running" ? "A run of another process is known after ten seconds." : "Retries and runs on request wait here.");
  }
  if (isFiltered) return nothing("Nothing on record matches", counts, where, ". ", link("runs", {}, {}, "Show all records"), ".");
  return nothing("Nothing on record", "So nothing failed, was missed or skipped. ", counts, where, ".");
}

/**
 * How many records have come since: they are loaded when the user says so, and rows that are there change in place.
 * @param {{filter: Record<string, string>, page: import("../data.js").Answered<import("../api.js").Answers["runs"]>}} props
 */
function Newer({ filter, page }) {
  const isLater = useLater(NEWER_SECONDS, [page.at]);
  const newest = useAnswer("runs", isLater ? { ...filter, limit: PAGE } : null, { every: NEWER_SECONDS });
  const soon = useSoon(newest.again, SOON_MS);
  useFrames((kind) => {
    if (kind === "fact" || kind === "reset") soon();
  });
  const fresh = newest.data?.runs ?? [];
  useEffect(() => {
    const ended = new Map(fresh.map((run) => [keyOf(run), run]));
    page.set((last) => ({ ...last, runs: last.runs.map((run) => ended.get(keyOf(run)) ?? run) }));
  }, [newest.data]);
  const known = new Set(page.data?.runs.map(keyOf));
  const isNew = (/** @type {Run} */ run) => !known.has(keyOf(run)) && (filter["outcome"] || !UNENDED.includes(run.outcome));
  const newer = newest.at > page.at ? fresh.filter(isNew).length : 0;
  return el.span(
    { role: "status" },
    newer ? el.button({ class: "more", onClick: page.again }, `${count(newer)}${newer >= PAGE ? " or more" : ""} newer: load`) : null,
  );
}

/**
 * What is in progress, or waits to begin. Rows stay where they are while the pointer is over them.
 * @param {{which: Which, ask: (question: import("../parts/dialog.js").Question) => void}} props
 */
function Current({ which, ask }) {
  const how = { every: EVERY_SECONDS };
  const running = useAnswer("runs", { ...which, outcome: "running", limit: MOST_CURRENT }, how);
  const waiting = useAnswer("runs", { ...which, outcome: "waiting", limit: MOST_CURRENT }, how);
  const soon = useSoon(() => [running.again(), waiting.again()], 1000);
  useFrames((kind) => {
    if (kind === "fact" || kind === "reset") soon();
  });
  const isHeld = useRef(false);
  const [rows, set] = useState(/** @type {Current[]} */ ([]));
  const isAsked = running.data && waiting.data;
  useEffect(() => {
    if (!running.data || !waiting.data) return;
    const found = new Map([...running.data.runs, ...waiting.data.runs].map((run) => [keyOf(run), run]));
    set((last) => {
      const kept = last.filter((run) => isHeld.current || found.has(keyOf(run)));
      const stay = kept.map((run) => found.get(keyOf(run)) ?? { ...run, isOver: true });
      const known = new Set(kept.map(keyOf));
      const added = [...found.values()].filter((run) => !known.has(keyOf(run)));
      return [...stay, ...added.sort((a, b) => Date.parse(a.due_at) - Date.parse(b.due_at))];
    });
  }, [running.data, waiting.data]);
  const ids = [...new Set(rows.map((run) => run.job_id))].slice(0, 200).sort();
  const jobs = useAnswer("rows", ids.length ? { id: ids } : null);
  const limits = new Map(jobs.data?.rows.map((job) => [job.id, job]));
  const isMore = [running, waiting].some((each) => each.data?.next);
  const current = rows.filter((run) => !run.isOver);
  const count_ = (/** @type {string} */ name) => current.filter((run) => run.outcome === name).length;
  return el.section(
    { class: "card", onPointerEnter: () => void (isHeld.current = true), onPointerLeave: () => void (isHeld.current = false) },
    el.div(
      { class: "title" },
      el.h2(null, "In progress now"),
      isAsked ? el.span({ class: "dim num" }, `${count(count_("running"))}${isMore ? "+" : ""} running, ${count(count_("waiting"))} waiting`) : null,
      isMore ? link("runs", { ...which, outcome: "running" }, {}, "all") : null,
    ),
    shown(running, () =>
      rows.length
        ? el.div(
            { class: "wide bare", tabIndex: 0, role: "region", "aria-label": "Runs in progress" },
            el.table(
              { class: "rows now" },
              el.thead(null, el.tr(null, ...["Job", "Due", "State", "Age", "Node"].map((title) => el.th({ scope: "col" }, title)), el.th({ scope: "col" }, el.span({ class: "sr" }, "Actions")))),
              el.tbody(null, ...rows.map((run) => h(CurrentRow, { key: keyOf(run), run, job: limits.get(run.job_id), ask }))),
            ),
          )
        : isAsked && nothing("No run is in progress", "A run is listed here once it has gone on for some seconds."),
    ),
  );
}

/** @param {{run: Current, job: import("../answers.d.ts").Schemas["JobRow"] | undefined, ask: (question: import("../parts/dialog.js").Question) => void}} props */
function CurrentRow({ run, job, ask }) {
  return el.tr(
    { class: run.isOver ? "gone" : "" },
    el.td({ class: "id" }, jobLink(run.job_id)),
    el.td({ class: "num when" }, runLink(run, run.due_at)),
    el.td({ class: "st" }, run.isOver ? el.span({ class: "outcome" }, "ended") : outcomeWord(run.outcome), attempt(run)),
    el.td({ class: "age" }, run.outcome === "running" && !run.isOver ? h(AgeBar, { since: run.started_at ?? run.due_at, timeout: job?.timeout ?? null, usual: job?.usual_duration ?? null }) : run.isOver ? null : el.span({ class: "dim num" }, "due ", inTime(run.due_at))),
    el.td({ class: "node" }, nodeMark(run.node)),
    el.td({ class: "r does" }, may("cancel") && !run.isOver ? el.button({ class: "small", onClick: () => ask(cancelling(run.run_id)) }, "Cancel…", el.span({ class: "sr" }, ` the run of ${run.job_id}`)) : null),
  );
}

/** @param {Run} run @param {string} at */
const runLink = (run, at) => link("run", { id: run.run_id }, {}, atTime(at), el.span({ class: "sr" }, `, run of ${run.job_id}`));

/** @param {Run} run */
const attempt = (run) => (run.attempt > 1 ? el.span({ class: "dim" }, ` attempt ${run.attempt}`) : null);

const head = () =>
  el.tr(
    null,
    ...["When due", "Job", "Outcome", "Reason or error"].map((title) => el.th({ scope: "col" }, title)),
    ...["Attempt", "Late", "Took"].map((title) => el.th({ scope: "col", class: "r" }, title)),
    el.th({ scope: "col" }, "Node"),
  );

/** @param {{run: Run, n: number, isAt: boolean}} props */
function Row({ run, n, isAt }) {
  const open = (/** @type {MouseEvent} */ event) => {
    if (!(/** @type {Element} */ (event.target).closest("a, button")) && !getSelection()?.toString()) go("run", { id: run.run_id });
  };
  const why = [run.error_type, run.error_message ?? run.reason].filter(Boolean).join(": ") || outcome(run.outcome).means;
  return el.tr(
    { class: `opens ${isAt ? "at" : ""}`, "data-row": n, onClick: open },
    el.td({ class: "num when" }, runLink(run, run.scheduled_at)),
    el.td({ class: "id" }, jobLink(run.job_id)),
    el.td({ class: "st" }, outcomeWord(run.outcome)),
    el.td({ class: `cut dim because ${why ? "" : "none"}`, title: why.slice(0, 500) }, why || "–"),
    el.td({ class: "r num dim try" }, run.attempt || "–"),
    el.td({ class: `r num late ${(run.lateness ?? 0) > LATE ? "warn" : "dim"}` }, duration(run.lateness)),
    el.td({ class: "r num took" }, duration(run.duration)),
    el.td({ class: "node" }, run.node ? el.button({ class: "quiet small", title: `only the runs of ${run.node}`, onClick: () => filterBy("node", run.node) }, nodeName(run.node)) : el.span({ class: "dim" }, "–")),
  );
}
