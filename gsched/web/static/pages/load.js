// The load: what is due in the week ahead and which triggers make it; and what ran.

import { useMemo } from "../vendor/hooks.js";
import { useAnswer } from "../data.js";
import { el, h } from "../html.js";
import { useKeys } from "../keys.js";
import { whoLooks } from "../me.js";
import { busiestHour, busiestMinute, daysAhead, estimate, fullest, hourAt, hourWords, minuteTitles, triggersOf, usual, whenQuiet } from "../parts/ahead.js";
import { Bars, Chart, Heat } from "../parts/charts.js";
import { Range } from "../parts/filters.js";
import { jobLink } from "../parts/marks.js";
import { nothing, shown } from "../parts/shown.js";
import { unknownValue } from "../parts/unknown.js";
import { change, link } from "../place.js";
import { clock, count, counted, day, duration, percent, rough } from "../words.js";

/** @typedef {import("../parts/ahead.js").Load} Load */
/** @typedef {import("../parts/ahead.js").Hour} Hour */
/** @typedef {import("../answers.d.ts").Schemas["Rate"]} Rate */

const HOUR_MS = 3_600_000;
const PERIODS = /** @type {const} */ ([["1h", "1 h", "1m", "minute"], ["24h", "24 h", "1h", "hour"], ["14d", "14 d", "6h", "6 hours"]]);
const AHEAD_SECONDS = 600;
const RATES_SECONDS = 60;

/** @param {import("../app.js").PageProps} props */
export function Load({ query }) {
  const load = useAnswer("load", {}, { every: AHEAD_SECONDS });
  useKeys([{ key: "r", does: "load the page anew", act: load.again }]);
  return [
    el.div(
      { class: "head" },
      el.div(
        null,
        el.h1(null, "Load"),
        el.div({ class: "under" }, ["what triggers make due, without retries and runs on request", `hours of ${whoLooks().zone}`, load.data && estimate(load.data)].filter(Boolean).join(" · ")),
      ),
    ),
    shown(load, (data) => h(Ahead, { load: data, at: query.get("at") }), { rows: 12 }),
    h(Ran, { query }),
  ];
}

/** @param {{load: Load, at: string | null}} props */
function Ahead({ load, at }) {
  const { dates, week, days } = useMemo(() => daysAhead(load), [load]);
  const asked = load.hours.find((hour) => at !== null && Date.parse(hour.at) === Date.parse(at));
  const hour = asked ?? fullest(load);
  const row = dates.indexOf(hour?.at.slice(0, 10) ?? "");
  const pick = (/** @type {string | undefined} */ time) => time && change({ at: time });
  const end = Date.parse(load.begins) + HOUR_MS;
  return [
    el.div(
      { class: "split lead" },
      el.section(
        { class: "card" },
        el.div({ class: "title" }, el.h2(null, "The week ahead"), el.span({ class: "dim" }, "runs in each hour; choose one")),
        h(Heat, {
          week, days, picked: hour && [row, Number(hour.at.slice(11, 13))], pick: (n, of) => pick(hourAt(load, dates[n], of)?.at),
          label: "runs in each hour ahead; arrow keys move, Enter chooses",
        }),
        el.p({ class: "hint" }, busiestHour(load)),
        el.p({ class: "hint" }, el.b(null, "When is it quiet? "), whenQuiet(load)),
      ),
      el.div(
        null,
        el.section(
          { class: "card" },
          el.div({ class: "title" }, el.h2(null, "Next hour"), el.span({ class: "dim" }, "runs per minute")),
          h(Bars, { values: load.hour, label: `runs in each of the next 60 minutes. ${busiestMinute(load)}`, titles: minuteTitles(load) }),
          el.div({ class: "scale num" }, ...[load.begins, end - HOUR_MS / 2, end].map((time) => el.span(null, clock(time, false)))),
          el.p({ class: "hint" }, busiestMinute(load)),
        ),
        h(Peaks, { load, picked: hour, pick }),
      ),
    ),
    hour ? h(Made, { load, hour }) : null,
  ];
}

/** A table that is scrolled where there is no room. @param {Parameters<typeof el.table>} parts */
const scrolled = (...parts) => el.div({ class: "scroll" }, el.table(...parts));

/** The fullest hours. @param {{load: Load, picked: Hour | undefined, pick: (at: string) => void}} props */
function Peaks({ load, picked, pick }) {
  const usually = usual(load);
  const peaks = load.peaks.slice(0, 6).map(({ at, runs }) => {
    const hour = load.hours.find((each) => each.at === at);
    return { at, runs, most: hour && triggersOf(load, hour)[0] };
  });
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Fullest hours"), el.span({ class: "dim" }, `the usual hour has ${counted(Math.round(usually), "run")}`)),
    load.peaks.length
      ? scrolled(
          { class: "plain" },
          el.thead(null, el.tr(null, el.th({ scope: "col" }, "Hour"), el.th({ scope: "col", class: "r" }, "Runs"), el.th({ scope: "col", class: "r" }, "Usual"), el.th({ scope: "col" }, "Fuller by"))),
          el.tbody(
            null,
            ...peaks.map(({ at, runs, most }) =>
              el.tr(
                { key: at },
                el.td({ class: "num" }, el.button({ class: "quiet tight", "aria-pressed": picked?.at === at, onClick: () => pick(at) }, hourWords(at))),
                el.td({ class: "r num" }, rough(runs)),
                el.td({ class: "r num dim" }, usually > 0 ? `${(runs / usually).toFixed(1)} ×` : "–"),
                el.td({ class: "dim" }, most?.extra ? `${most.schedule}, ${counted(most.jobs, "job")}: +${rough(most.extra)}` : "nothing that other hours have not"),
              ),
            ),
          ),
        )
      : nothing("Nothing is due"),
  );
}

/** The triggers that make an hour. @param {{load: Load, hour: Hour}} props */
function Made({ load, hour }) {
  const made = triggersOf(load, hour);
  const told = made.reduce((all, { runs }) => all + runs, 0);
  return el.section(
    { class: "card", "aria-live": "polite" },
    el.div(
      { class: "title" },
      el.h2(null, `What makes ${hourWords(hour.at)}`),
      el.span({ class: "dim" }, `${counted(Math.round(hour.runs), "run")}${hour.runs > told + 1 ? `, ${rough(hour.runs - told)} of them by other triggers` : ""}`),
    ),
    made.length
      ? [
          el.div(
            { class: "scroll" },
            el.table(
              { class: "plain" },
              el.thead(null, el.tr(null, el.th({ scope: "col" }, "Trigger"), ...["Jobs", "Runs", "Extra"].map((word) => el.th({ scope: "col", class: "r" }, word)), el.th({ scope: "col" }, "For example"))),
              el.tbody(
                null,
                ...made.map(({ trigger, schedule, jobs, runs, extra, examples }) =>
                  el.tr(
                    { key: trigger },
                    el.td({ class: "sched", title: trigger }, schedule),
                    el.td({ class: "r num" }, count(jobs)),
                    el.td({ class: "r num" }, rough(runs)),
                    el.td({ class: `r num ${extra ? "" : "dim"}` }, extra ? `+${rough(extra)}` : "0"),
                    el.td(null, ...examples.flatMap((id, n) => [n ? ", " : "", jobLink(id)]), jobs > examples.length ? el.span({ class: "dim" }, ` and ${count(jobs - examples.length)} more`) : null),
                  ),
                ),
              ),
            ),
          ),
          el.p({ class: "hint" }, "Extra are the runs beyond those that the trigger makes in every hour: they make this hour fuller than others."),
          ...hintsFor(made).map((hint) => el.p({ class: "hint" }, hint)),
        ]
      : nothing("Nothing is due in this hour"),
  );
}

/** How the jobs can be moved, for the kinds of triggers that there are. @param {{trigger: string, jobs: number}[]} made */
function hintsFor(made) {
  const hints = [];
  const has = (/** @type {RegExp} */ kind) => made.some(({ trigger, jobs }) => jobs > 1 && kind.test(trigger));
  if (has(/^(?!interval|date)/)) {
    hints.push(["To move jobs with one expression apart, edit them: ", el.code(null, 'spread="1h"'), " delays each job by a time of its own below an hour, always the same; ", el.code(null, "jitter"), " delays each run by another time."]);
  }
  if (has(/^interval/)) {
    hints.push(["Intervals that begin together are moved apart by ", el.code(null, "spread=True"), ", for jobs that are there by ", el.code(null, "gsched job respread"), ". An interval of an hour or less makes all hours alike: only a longer interval makes this hour emptier."]);
  }
  if (has(/^date/)) hints.push(["Jobs that run once move with a run date of their own."]);
  if (!hints.length) hints.push(["One job alone moves with another trigger: edit it, and look at its next runs before you save."]);
  return hints;
}

/** What ran. @param {{query: URLSearchParams}} props */
function Ran({ query }) {
  const [period, , step, word] = PERIODS.find(([name]) => name === query.get("period")) ?? PERIODS[1];
  const answer = useAnswer("rates", { since: period, step }, { every: RATES_SECONDS });
  return el.section(
    { class: "card" },
    el.div(
      { class: "title" },
      el.h2(null, "What ran"),
      Range({ label: "Period", value: period, options: PERIODS, pick: (name) => change({ period: name }) }),
      el.span({ class: "dim" }, `per ${word}`),
    ),
    unknownValue({ what: "period", value: query.get("period"), options: PERIODS, used: period }),
    shown(answer, ({ rates }) => (rates.some(({ outcomes }) => Object.keys(outcomes).length) ? h(History, { rates, period, word }) : nothing("Nothing ran in this time", "Choose a longer one. The minute that goes on is not counted yet."))),
  );
}

/** @param {{rates: Rate[], period: string, word: string}} props */
function History({ rates, period, word }) {
  const at = useMemo(() => rates.map((rate) => Date.parse(rate.at) / 1000), [rates]);
  const of = (/** @type {(rate: Rate) => number | null} */ read) => rates.map(read);
  const runs = useMemo(() => [at, of((rate) => rate.runs)], [rates]);
  const trouble = useMemo(() => [at, of((rate) => rate.failures), of((rate) => rate.skips), of((rate) => rate.misses)], [rates]);
  const late = useMemo(() => [at, ...(/** @type {const} */ (["p50", "p95", "p99"])).map((share) => of((rate) => rate.lateness[share]))], [rates]);
  const total = (/** @type {"runs" | "failures" | "skips" | "misses"} */ what) => rates.reduce((all, rate) => all + rate[what], 0);
  const [ran, failed, skipped, missed] = [total("runs"), total("failures"), total("skips"), total("misses")];
  const worst = rates.reduce((last, rate) => ((rate.lateness.p99 ?? 0) > (last?.lateness.p99 ?? 0) ? rate : last), rates[0]);
  const words = `${counted(ran, "run")}, ${count(failed)} failed (${percent(failed, ran)}), ${counted(skipped, "instant")} skipped, ${count(missed)} missed.`;
  const latest = worst?.lateness.p99 == null ? "" : ` Runs were latest ${period === "1h" ? "at" : `in the ${word} from`} ${period === "14d" ? `${day(worst.at)} ` : ""}${clock(worst.at, false)}: p99 ${duration(worst.lateness.p99)}.`;
  return [
    el.div(
      { class: "split thirds" },
      h(Part, { title: "Runs", keys: [["c1", "runs"]], children: h(Chart, { data: runs, series: [{ label: "runs", color: "--c1", isBars: true }], height: 180, format: rough, label: `runs in each ${word}: ${words}` }) }),
      h(Part, {
        title: "Failures, skips, misses", keys: [["bad", "failed"], ["c3", "skipped"], ["c2", "missed"]],
        children: h(Chart, {
          data: trouble, height: 180, format: rough, label: `failures, skips and misses in each ${word}: ${words}`,
          series: [{ label: "failed", color: "--bad" }, { label: "skipped", color: "--c3" }, { label: "missed", color: "--c2" }],
        }),
      }),
      h(Part, {
        title: "Lateness", keys: [["c3", "p99"], ["c2", "p95"], ["c1", "p50"]],
        children: h(Chart, {
          data: late, height: 180, isLog: true, label: `lateness of runs in each ${word}.${latest}`,
          series: [{ label: "p50", color: "--c1" }, { label: "p95", color: "--c2" }, { label: "p99", color: "--c3" }],
        }),
      }),
    ),
    el.p({ class: "hint" }, words, latest, " ", failed ? link("failures", { since: period }, {}, "The failures") : null),
  ];
}

/** @param {{title: string, keys: [string, string][], children: import("../html.js").Children}} props */
const Part = ({ title, keys, children }) =>
  el.div(
    null,
    el.div({ class: "legend" }, el.span(null, title), ...(keys.length > 1 ? keys.map(([kind, word]) => el.span({ class: `key ${kind}` }, word)) : [])),
    children,
  );
