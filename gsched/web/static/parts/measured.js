// What the last runs of a job took: its figures, and a chart.

import { useMemo } from "../vendor/hooks.js";
import { el, h } from "../html.js";
import { count, counted, duration, exact, isNextStart, percent } from "../words.js";
import { Chart } from "./charts.js";
import { Figure } from "./figures.js";
import { hasRun } from "./marks.js";
import { nothing } from "./shown.js";
import { inTime } from "./times.js";

/** @typedef {import("../answers.d.ts").Schemas["Job"]} JobAnswer */

/** @param {{job: JobAnswer}} props */
export function Figures({ job }) {
  const due = job.next_run_time;
  const took = job.recent.filter(hasRun);
  const bad = took.filter((each) => each.outcome !== "succeeded").length;
  const rank = (/** @type {"lateness" | "duration"} */ what, /** @type {number} */ share) => {
    const all = took.map((each) => each[what]).sort((a, b) => a - b);
    return all[Math.ceil(share * all.length) - 1];
  };
  return el.div(
    { class: "figures flat" },
    Figure({ label: "Next run", value: inTime(due), note: due && !isNextStart(due) ? exact(due) : null }),
    Figure({ label: `Success, last ${took.length}`, value: percent(took.length - bad, took.length), kind: bad ? "bad" : "" }),
    Figure({ label: "Duration p50", value: duration(rank("duration", 0.5)), note: `p95 ${duration(rank("duration", 0.95))}` }),
    Figure({ label: "Lateness p50", value: duration(rank("lateness", 0.5)), note: `p95 ${duration(rank("lateness", 0.95))}` }),
    Figure({ label: "Runs", value: count(job.runs), note: job.failures ? `${count(job.failures)} failed` : "none failed" }),
  );
}

/** @param {{job: JobAnswer}} props */
export function Durations({ job }) {
  const data = useMemo(() => {
    const ran = job.recent.filter(hasRun);
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
