// One run: each attempt from due to ended, why it ended so, and what its node, its instant and its error say.

import { useAnswer, useSoon } from "../data.js";
import { el, h } from "../html.js";
import { now } from "../clock.js";
import { useKeys } from "../keys.js";
import { useFrames } from "../live.js";
import { may } from "../me.js";
import { cancelling, questionOf, useQuestions } from "../parts/actions.js";
import { Copy } from "../parts/copy.js";
import { Figure } from "../parts/figures.js";
import { jobLink, nodeMark, outcomeWord, tagsOf } from "../parts/marks.js";
import { Output } from "../parts/output.js";
import { nothing, sentence, shown } from "../parts/shown.js";
import { Age, inTime } from "../parts/times.js";
import { Timeline } from "../parts/timeline.js";
import { go, link } from "../place.js";
import { clock, counted, day, duration, exact, nodeName, size } from "../words.js";

/** @typedef {import("../api.js").Answers["run"]} RunAnswer */
/** @typedef {RunAnswer["attempts"][number]} Attempt */
/** @typedef {NonNullable<RunAnswer["explained"]>} Explained */

const UNENDED = ["running", "waiting"];
const FOLLOWED = [...UNENDED, "retried"]; // more is to come
const EVERY_SECONDS = 3;
const MOST_WORDS = 500; // of an explanation: the whole message of the error is below it
const NAMELESS = /^[0-9a-f]{16,}$/; // a request that a program has named
const OF_SCHEDULE = /^(.+)@(\d{4}-\d\d-\d\dT[\d:.]+Z)$/s;

/** @param {import("../app.js").PageProps} props */
export function Run({ query }) {
  const id = query.get("id") ?? "";
  const run = useAnswer("run", { id });
  const job_id = run.data?.job_id;
  const isOpen = FOLLOWED.includes(run.data?.attempts[0]?.outcome ?? "");
  const soon = useSoon(run.again, 300);
  useFrames((kind, fact) => {
    if (kind === "reset" || (kind === "fact" && fact.job_id === job_id)) soon();
  }, [job_id]);
  if (run.error?.status === 404 && !run.data) return h(Unknown, { id });
  return [
    run.data ? null : el.h1({ class: "sr" }, "Run"),
    isOpen ? h(Again, { again: run.again }) : null,
    shown(run, (found) => h(Whole, { run: found, again: run.again }), { rows: 8 }),
  ];
}

/** Asks anew every few seconds, while the run goes on. @param {{again: () => void}} props */
function Again({ again }) {
  const soon = useSoon(again, EVERY_SECONDS * 1000);
  useFrames(() => soon());
  return null;
}

/** A run without a record: what is known of its instant. @param {{id: string}} props */
function Unknown({ id }) {
  const [, job_id = "", at = ""] = OF_SCHEDULE.exec(id) ?? [];
  const explained = useAnswer("job/explain", job_id ? { id: job_id, at } : null);
  return [
    el.h1(null, "Run"),
    el.div({ class: "under" }, el.code(null, id)),
    nothing(
      "There is no record of this run",
      "It may have succeeded: such runs are counted, and not recorded one by one, unless the store's option history_successes says so. ",
      "Or it is older than the history, or began some seconds ago.",
    ),
    explained.data ? h(Why, { explained: explained.data }) : null,
    el.p({ class: "hint" }, ...(job_id ? [link("job", placeOf(job_id, at), {}, "What became of each instant of the job"), ", or "] : []), link("runs", {}, {}, "the runs on record"), "."),
  ];
}

/**
 * The job's page at an instant.
 * @param {string} id
 * @param {string} at
 */
function placeOf(id, at) {
  const hours = (now() - Date.parse(at)) / 3_600_000;
  return { id, at, period: hours < 1 ? "1h" : hours < 24 ? "24h" : "14d" };
}

/** @param {{run: RunAnswer, again: () => void}} props */
function Whole({ run, again }) {
  const last = /** @type {Attempt} */ (run.attempts[0]); // the last one is the first
  const first = /** @type {Attempt} */ (run.attempts.at(-1));
  const isOpen = UNENDED.includes(last.outcome);
  const { ask, dialog } = useQuestions(again);
  const cancel = () => ask(cancelling(run.run_id));
  const rerun = () => ask(questionOf("run", { ids: [run.job_id] }));
  useKeys([
    ...(may("run") ? [{ key: "n", does: "run the job again, now", act: rerun }] : []),
    { key: "r", does: "load the page anew", act: again },
  ]);
  return [
    el.div(
      { class: "head" },
      el.div(
        { class: "what" },
        el.h1(null, "Run of ", jobLink(run.job_id)),
        el.div(
          { class: "under" },
          outcomeWord(last.outcome),
          el.code(null, run.run_id),
          h(Copy, { text: run.run_id, label: "the run's id" }),
          tagsOf(last.tags, (tag) => go("jobs", { tag })),
          last.request ? el.span({ class: "tag", title: `not from the schedule, but requested as ${last.request}` }, NAMELESS.test(last.request) ? "on request" : `on request ${last.request}`) : null,
        ),
      ),
      el.span({ class: "grow" }),
      isOpen && may("cancel") ? el.button({ class: "danger", onClick: cancel }, "Cancel…") : null,
      may("run") ? el.button({ onClick: rerun }, "Run again…") : null,
    ),
    h(Figures, { first, last, earlier: run.attempts[1], attempts: run.attempts.length }),
    run.explained ? h(Why, { explained: run.explained }) : null,
    last.request ? h(Asked, { run, last }) : null,
    h(Attempts, { attempts: run.attempts }),
    last.command ? used(last.command) : null,
    h(Output, { run }),
    ...run.attempts.filter((each) => each.error_type || each.traceback).map((each, n) => h(Problem, { attempt: each, isOpen: n === 0, key: each.attempt })),
    dialog,
  ];
}

/** @param {{first: Attempt, last: Attempt, earlier: Attempt | undefined, attempts: number}} props */
function Figures({ first, last, earlier, attempts }) {
  const isRunning = last.outcome === "running";
  const none = last.until ? "nothing ran" : "";
  const ended = last.finished_at ?? null;
  return el.div(
    { class: "figures flat" },
    Figure({ label: "Due", value: clock(first.scheduled_at), note: day(first.scheduled_at), title: exact(first.scheduled_at) }),
    Figure({
      label: attempts > 1 ? "First started" : "Started", value: first.started_at ? clock(first.started_at) : isRunning ? "running" : "–",
      note: first.lateness == null ? none : `${duration(first.lateness)} late`, title: first.started_at ? exact(first.started_at) : "",
    }),
    last.outcome === "waiting"
      ? Figure({ label: "Next attempt", value: inTime(last.due_at), note: clock(last.due_at) })
      : Figure({ label: "Ended", value: ended ? clock(ended) : "–", note: ended ? day(ended) : isRunning ? "it goes on" : none, title: ended ? exact(ended) : "" }),
    Figure({
      label: isRunning ? "Has run for" : attempts > 1 ? "Last attempt took" : "Took",
      value: isRunning ? h(Age, { since: last.started_at ?? last.due_at }) : duration((last.outcome === "waiting" ? earlier : last)?.duration),
      note: attempts > 1 && ended ? `${duration((Date.parse(ended) - Date.parse(first.scheduled_at)) / 1000)} since it was due` : "",
    }),
    Figure({ label: attempts > 1 ? "Attempt" : "Node", value: attempts > 1 ? String(last.attempt) : last.node ? nodeName(last.node) : "–", note: attempts > 1 && last.node ? `on ${nodeName(last.node)}` : "", title: last.node ?? "" }),
  );
}

/** How a command has ended, and what it has used. @param {NonNullable<Attempt["command"]>} command */
function used({ exit_status, exit_signal, limit, user_seconds, system_seconds, peak_memory }) {
  const ended = exit_signal ?? `status ${exit_status}`;
  return el.div(
    { class: "figures flat" },
    Figure({ label: "Command ended with", value: ended, note: limit ? `it reached ${limit}` : "" }),
    Figure({ label: "CPU in programs", value: duration(user_seconds) }),
    Figure({ label: "CPU in the kernel", value: duration(system_seconds) }),
    Figure({ label: "Most memory", value: size(peak_memory), note: peak_memory === null ? "less than the runner itself" : "of one of its processes" }),
  );
}

/** What became of the instant, in words, and the instants beside it. @param {{explained: Explained | import("../api.js").Answers["job/explain"]}} props */
function Why({ explained }) {
  const { job_id, instant, sentence: words, before, after, recorded } = explained;
  const beside = (/** @type {string | null} */ at, /** @type {string} */ word) =>
    at ? link("job", placeOf(job_id, at), { title: exact(at) }, word) : null;
  return el.section(
    { class: "why apart", "aria-label": "Why" },
    el.span({ class: "because" }, sentence(words.length > MOST_WORDS ? `${words.slice(0, MOST_WORDS)}…` : words)),
    el.span({ class: "dim" }, recorded ? "on record" : "inferred"),
    el.span({ class: "grow" }),
    el.span(
      { class: "beside" },
      beside(before, "‹ instant before"),
      link("job", placeOf(job_id, instant), { title: exact(instant) }, "this instant"),
      beside(after, "instant after ›"),
    ),
  );
}

/** Who asked for a run on request, as the audit has it. @param {{run: RunAnswer, last: Attempt}} props */
function Asked({ run, last }) {
  const audit = useAnswer("audit", { target: run.job_id, action: "job.run", limit: 20 });
  const due = Date.parse(last.scheduled_at);
  const found = audit.data?.entries.find(({ at }) => Math.abs(Date.parse(at) - due) < 2000);
  return el.p(
    { class: "notice" },
    "It was asked for, and is not from the schedule",
    found ? [`: by ${found.actor ?? "somebody"}`, found.via ? ` (${found.via})` : "", ` at ${clock(found.at)}`, found.reason ? `, “${found.reason}”` : ""] : "",
    ". ",
    link("audit", { target: run.job_id, action: "job.run" }, {}, "Who asked for runs of this job"),
  );
}

/** @param {{attempts: Attempt[]}} props the last one first */
function Attempts({ attempts }) {
  const inOrder = [...attempts].reverse();
  return el.section(
    { class: "card" },
    el.div(
      { class: "title" },
      el.h2(null, attempts.length > 1 ? counted(attempts.length, "attempt") : "From due to ended"),
      el.span({ class: "legend" }, el.span({ class: "key late" }, "due, not begun"), el.span({ class: "key run" }, "running"), el.span({ class: "key bad" }, "did not succeed"), el.span({ class: "key ok" }, "succeeded")),
    ),
    inOrder.some((each) => each.started_at || UNENDED.includes(each.outcome)) ? h(Timeline, { attempts: inOrder }) : null,
    el.div(
      { class: "wide bare", tabIndex: 0, role: "region", "aria-label": "Attempts" },
      el.table(
        { class: "rows attempts" },
        el.thead(null, el.tr(null, ...["Attempt", "Outcome", "Due", "Started", "Ended"].map((title) => el.th({ scope: "col" }, title)), el.th({ scope: "col", class: "r" }, "Late"), el.th({ scope: "col", class: "r" }, "Took"), el.th({ scope: "col" }, "Node"), el.th({ scope: "col" }, "Why"))),
        el.tbody(null, ...inOrder.flatMap((each, n) => [waitBetween(inOrder[n - 1], each), attemptRow(each)])),
      ),
    ),
  );
}

/** How long the job waited after an attempt that failed. @param {Attempt | undefined} earlier @param {Attempt} attempt */
function waitBetween(earlier, attempt) {
  if (!earlier) return null;
  const from = Date.parse(earlier.finished_at ?? earlier.due_at);
  const until = Date.parse(attempt.due_at);
  const words =
    attempt.outcome === "waiting"
      ? ["waits: attempt ", String(attempt.attempt), " is due ", inTime(attempt.due_at)]
      : until > from ? [`waited ${duration((until - from) / 1000)}`] : ["at once"];
  return el.tr({ class: "between" }, el.td({ colSpan: 9 }, el.span({ class: "dim num" }, ...words)));
}

/** @param {Attempt} attempt */
function attemptRow(attempt) {
  const time = (/** @type {string | null} */ at) => (at ? el.time({ dateTime: at, title: exact(at) }, clock(at)) : el.span({ class: "dim" }, "–"));
  return el.tr(
    null,
    el.td({ class: "num" }, attempt.attempt || el.span({ class: "dim" }, "none ran")),
    el.td(null, outcomeWord(attempt.outcome)),
    el.td({ class: "num" }, time(attempt.due_at)),
    el.td({ class: "num" }, time(attempt.started_at)),
    el.td({ class: "num" }, time(attempt.finished_at)),
    el.td({ class: "num r dim" }, duration(attempt.lateness)),
    el.td({ class: "num r" }, attempt.outcome === "running" ? h(Age, { since: attempt.started_at ?? attempt.due_at }) : duration(attempt.duration)),
    el.td({ class: "node" }, nodeMark(attempt.node)),
    el.td({ class: "cut dim" }, [attempt.reason, attempt.error_type].filter(Boolean).join(" · ") || "–"),
  );
}

/** The error of an attempt. @param {{attempt: Attempt, isOpen: boolean}} props */
function Problem({ attempt, isOpen }) {
  const { error_type, error_message, traceback } = attempt;
  const all = traceback ?? `${error_type}: ${error_message}`;
  return el.details(
    { class: "card problem-card", open: isOpen },
    el.summary(null, el.h2(null, attempt.attempt > 1 || !isOpen ? `Attempt ${attempt.attempt}: ` : "", error_type ?? "Output")),
    error_message ? el.p({ class: "said", tabIndex: 0, role: "region", "aria-label": `message of attempt ${attempt.attempt}` }, error_message) : null,
    traceback
      ? [
          el.div({ class: "title sub" }, el.h3(null, "Traceback"), el.span({ class: "dim num" }, counted(traceback.trimEnd().split("\n").length, "line")), el.span({ class: "grow" }), h(Copy, { text: all, label: `the traceback of attempt ${attempt.attempt}` })),
          el.pre({ class: "raw", tabIndex: 0, "aria-label": `traceback of attempt ${attempt.attempt}`, role: "region" }, traceback.trimEnd()),
        ]
      : null,
  );
}
