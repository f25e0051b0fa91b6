// One job: what became of each of its instants and why, what comes next, and what it is.

import { useEffect, useState } from "../vendor/hooks.js";
import { now } from "../clock.js";
import { useAnswer, useSoon } from "../data.js";
import { el, h } from "../html.js";
import { useKeys } from "../keys.js";
import { useFrames } from "../live.js";
import { may } from "../me.js";
import { questionOf, useQuestions } from "../parts/actions.js";
import { Edit } from "../parts/edit.js";
import { Instants } from "../parts/instants.js";
import { Changes, Recorded } from "../parts/lately.js";
import { State, isOverdue, tagsOf } from "../parts/marks.js";
import { Durations, Figures } from "../parts/measured.js";
import { Options } from "../parts/options.js";
import { nothing, shown } from "../parts/shown.js";
import { inTime, nextTimes } from "../parts/times.js";
import { go, link } from "../place.js";
import { dateOf, exact } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["Job"]} JobAnswer */

const EVERY_SECONDS = 10;

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
    el.div({ class: "split two" }, h(Recorded, { job }), h(Changes, { job })),
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
  if (isOverdue(job)) lines.push(["warn", `Overdue since ${exact(/** @type {string} */ (job.overdue_at))}: no run has succeeded within the time that expect_success_every gives`]);
  if (job.failing_since) lines.push(["bad", `Failing since ${exact(job.failing_since)}${job.last_error ? `: ${job.last_error}` : ""}`]);
  return lines.map(([kind, text]) => el.p({ class: `notice ${kind}` }, text));
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
