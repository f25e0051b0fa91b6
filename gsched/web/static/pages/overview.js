// The store at a glance: what needs attention, the load ahead, who runs jobs, and what holds them back.

import { useAnswer, useSoon } from "../data.js";
import { el, h } from "../html.js";
import { useKeys } from "../keys.js";
import { useFrames } from "../live.js";
import { busiestHour, busiestMinute, daysAhead, estimate, fullest, hourAt, minuteTitles } from "../parts/ahead.js";
import { linesOf, pausedLately } from "../parts/attention.js";
import { Bars, Heat } from "../parts/charts.js";
import { Pulse } from "../parts/figures.js";
import { jobLink } from "../parts/marks.js";
import { NodeState, isShared } from "../parts/nodes.js";
import { useHeld } from "../parts/rows.js";
import { nothing, shown } from "../parts/shown.js";
import { Age, timeAgo } from "../parts/times.js";
import { go, link } from "../place.js";
import { clock, count, counted, duration, rough } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["Overview"]} OverviewAnswer */
/** @typedef {import("../answers.d.ts").Schemas["Group"]} Group */
/** @typedef {import("../data.js").Answered<OverviewAnswer>} Asked */

const EVERY_SECONDS = 5;
const SELDOM_SECONDS = 60;
const MOST_RUNS = 8;

export function Overview() {
  const overview = useAnswer("overview", {}, { every: EVERY_SECONDS });
  const counts = useAnswer("counts", {}, { every: EVERY_SECONDS });
  const doctor = useAnswer("doctor", {}, { every: SELDOM_SECONDS });
  const load = useAnswer("load", {}, { every: 10 * SELDOM_SECONDS });
  const groups = useAnswer("groups", {}, { every: 2 * EVERY_SECONDS });
  const all = [overview, counts, doctor, load, groups];
  const soon = useSoon(() => [overview.again(), counts.again()], 500);
  useFrames((kind) => {
    if (kind === "fact" || kind === "reset") soon();
  });
  useKeys([{ key: "r", does: "load the page anew", act: () => all.forEach(({ again }) => again()) }]);
  return [
    el.h1({ class: "sr" }, "Overview"),
    h(Pulse, null),
    el.div(
      { class: "split ahead" },
      el.div(null, h(Attention, { overview, counts, doctor }), h(InProgress, { overview })),
      el.div(null, h(LoadAhead, { load }), h(Nodes, { overview }), h(Groups, { groups })),
    ),
  ];
}

/**
 * @param {{overview: Asked, counts: ReturnType<typeof useAnswer<"counts">>, doctor: ReturnType<typeof useAnswer<"doctor">>}} props
 */
function Attention({ overview, counts, doctor }) {
  const known = overview.data && { overview: overview.data, counts: counts.data, findings: doctor.data?.findings ?? [] };
  const [held, props] = useHeld(known);
  const lines = held ? linesOf(held) : [];
  const lately = held ? pausedLately(held) : null;
  return el.section(
    { class: "card", ...props },
    el.div({ class: "title" }, el.h2(null, "Needs attention")),
    shown(overview, () => [
      lines.length
        ? el.table(
            { class: "plain attention" },
            el.tbody(
              null,
              ...lines.map(({ key, kind, number, what, detail, act }) =>
                el.tr(
                  { key },
                  el.td({ class: "r" }, el.b({ class: `num ${kind}` }, number)),
                  el.td(null, el.span({ class: kind === "bad" ? "bad" : "" }, what), detail ? el.div({ class: "dim" }, detail) : null),
                  el.td({ class: "r" }, act),
                ),
              ),
            ),
          )
        : nothing("Nothing needs attention", allWell(held?.overview, held?.counts ?? null)),
      lately ? el.p({ class: "hint" }, lately) : null,
    ]),
  );
}

/** @param {OverviewAnswer | undefined} overview @param {import("../api.js").Answers["counts"] | null} counts */
function allWell(overview, counts) {
  const jobs = counts ? counted(counts.total, "job") : "All jobs";
  const runs = overview?.runs_per_second ? `, ${rough(overview.runs_per_second)} runs a second` : "";
  return `${jobs}${runs}: none fails, none is overdue or parked, and nothing was missed or skipped in the last minute.`;
}

/** @param {{load: ReturnType<typeof useAnswer<"load">>}} props */
function LoadAhead({ load }) {
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Load ahead"), el.span({ class: "dim" }, ["runs per hour", load.data && estimate(load.data)].filter(Boolean).join(", ")), link("load", {}, {}, "all")),
    shown(load, (data) => {
      const { dates, week, days } = daysAhead(data);
      const most = fullest(data);
      const pick = (/** @type {number} */ row, /** @type {number} */ hour) => go("load", { at: hourAt(data, dates[row], hour)?.at });
      const last = Date.parse(data.begins) + 3_600_000;
      return [
        h(Heat, { week, days, pick, label: "runs in each hour ahead; arrow keys move, Enter shows what makes the hour" }),
        el.p({ class: "hint" }, busiestHour(data), most?.runs ? [" ", link("load", { at: most.at }, {}, "What makes it?")] : null),
        el.div({ class: "title sub" }, el.h2(null, "Next hour"), el.span({ class: "dim" }, "runs per minute")),
        h(Bars, { values: data.hour, label: `runs in each of the next 60 minutes. ${busiestMinute(data)}`, titles: minuteTitles(data) }),
        el.div({ class: "scale num" }, el.span(null, clock(data.begins, false)), el.span(null, clock(last, false))),
        el.p({ class: "hint" }, busiestMinute(data)),
      ];
    }, { rows: 9 }),
  );
}

/** @param {{overview: Asked}} props */
function Nodes({ overview }) {
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Nodes"), link("nodes", {}, {}, "all")),
    shown(overview, (data) => {
      if (!isShared()) return el.p({ class: "dim" }, "Jobs are in memory: this process runs all of them, and there are no other nodes.");
      if (!data.nodes.length) return nothing("No node is there", "Jobs run only while a runner is alive: start ", el.code(null, "gsched run"), ".");
      return el.div(
        { class: "scroll" },
        el.table(
          { class: "plain" },
          el.thead(null, el.tr(null, ...["Node", "State"].map((word) => el.th({ scope: "col" }, word)), ...["Slots", "In progress", "Runs/s", "Beat"].map((word) => el.th({ scope: "col", class: "r" }, word)))),
          el.tbody(
            null,
            ...data.nodes.map((node) =>
              el.tr(
                { key: node.id },
                el.td(null, link("nodes", {}, { class: "mono" }, node.id)),
                el.td(null, NodeState(node)),
                el.td({ class: "r num" }, count(node.slots)),
                el.td({ class: "r num" }, count(node.running)),
                el.td({ class: "r num" }, rough(node.runs_per_second)),
                el.td({ class: "r num dim" }, node.beat_age == null ? "–" : `${duration(Math.max(0, node.beat_age))} ago`),
              ),
            ),
          ),
        ),
      );
    }),
  );
}

/** @param {{overview: Asked}} props */
function InProgress({ overview }) {
  const [held, props] = useHeld(overview.data);
  return el.section(
    { class: "card", ...props },
    el.div({ class: "title" }, el.h2(null, "Longest in progress"), link("runs", { outcome: "running" }, {}, "all")),
    shown(overview, () => {
      const runs = held?.in_progress.slice(0, MOST_RUNS) ?? [];
      if (!held || !runs.length) return nothing("No long run is in progress", "Runs of a few seconds have no record before they end.");
      return el.table(
        { class: "plain" },
        el.thead(null, el.tr(null, el.th({ scope: "col" }, "Job"), el.th({ scope: "col" }, "Node"), el.th({ scope: "col", class: "r" }, "Due for"), el.th({ scope: "col", class: "r" }, el.span({ class: "sr" }, "Run")))),
        el.tbody(
          null,
          ...runs.map(({ job_id, run_id, seconds, node }) =>
            el.tr(
              { key: run_id },
              el.td(null, jobLink(job_id)),
              el.td({ class: "dim" }, node ?? "this process"),
              el.td({ class: "r" }, h(Age, { since: new Date(Date.parse(held.as_of) - seconds * 1000).toISOString() })),
              el.td({ class: "r" }, link("run", { id: run_id }, { "aria-label": `the run of ${job_id}` }, "run")),
            ),
          ),
        ),
      );
    }),
  );
}

/** Groups with a limit or a pause. @param {{groups: ReturnType<typeof useAnswer<"groups">>}} props */
function Groups({ groups }) {
  const [held, props] = useHeld(groups.data);
  const bound = held?.groups.filter(({ limit, pause, waiting }) => limit || pause || waiting) ?? [];
  if (groups.data && !bound.length) return null;
  return el.section(
    { class: "card", ...props },
    el.div({ class: "title" }, el.h2(null, "Groups with a limit or a pause")),
    shown(groups, () =>
      el.div(
        { class: "scroll" },
        el.table(
          { class: "plain" },
          el.thead(null, el.tr(null, el.th({ scope: "col" }, "Group"), el.th({ scope: "col" }, "Limit"), ...["Running", "Waiting", "Starts/min"].map((word) => el.th({ scope: "col", class: "r" }, word)), el.th({ scope: "col" }, "Held"))),
          el.tbody(
            null,
            ...bound.map((group) =>
              el.tr(
                { key: group.group },
                el.td(null, link("jobs", { group: group.group }, { class: "mono" }, group.group)),
                el.td({ class: "dim" }, limitWords(group.limit)),
                el.td({ class: "r num" }, count(group.running)),
                el.td({ class: `r num ${group.waiting ? "warn" : ""}` }, count(group.waiting)),
                el.td({ class: "r num" }, count(group.starts_per_minute)),
                el.td(null, heldWords(group)),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {Group["limit"]} limit */
function limitWords(limit) {
  if (!limit) return "–";
  const rate = limit.rate == null ? "" : `${limit.rate >= 1 ? `${rough(limit.rate)}/s` : `${rough(limit.rate * 60)}/min`}${(limit.burst ?? 1) > 1 ? ` in bursts of ${limit.burst}` : ""}`;
  return [limit.concurrency == null ? "" : `${limit.concurrency} at once`, rate].filter(Boolean).join(", ");
}

/** @param {Group} group */
function heldWords({ pause, held_since }) {
  if (pause) {
    const why = [pause.by && `by ${pause.by}`, pause.reason].filter(Boolean).join(": ");
    return [el.span({ class: "state paused" }, el.i(null), "paused"), el.div({ class: "dim" }, why, pause.at ? [why ? ", " : "", timeAgo(pause.at)] : null)];
  }
  return held_since ? el.span({ class: "warn" }, "full for ", h(Age, { since: held_since })) : el.span({ class: "dim" }, "–");
}
