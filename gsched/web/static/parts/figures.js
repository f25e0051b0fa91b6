// Figures, and the pulse: what the last minutes were like.

import { useEffect, useState } from "../vendor/hooks.js";
import { useAnswer } from "../data.js";
import { el, h } from "../html.js";
import { useFrames, useLive } from "../live.js";
import { jobstore, jobstores } from "../me.js";
import { count, duration, percent, rough } from "../words.js";
import { Chart } from "./charts.js";

/**
 * @param {{label: string, value: import("../html.js").Children, unit?: string, kind?: "bad" | "warn" | "",
 *   note?: import("../html.js").Children, title?: string}} props
 */
export const Figure = ({ label, value, unit, kind = "", note, title }) =>
  el.div(
    { class: `figure ${kind}`, title },
    el.span(null, label),
    el.b({ class: "num" }, value, unit ? el.small(null, ` ${unit}`) : null),
    note ? el.em(null, note) : null,
  );

const SAMPLES = 150; // five minutes, one each two seconds
const LINES = /** @type {const} */ (["p99", "p95", "p50"]);
const COLOURS = { p50: "c1", p95: "c2", p99: "c3" };

export function Pulse() {
  const answer = useAnswer("overview", {});
  const { pulse } = useLive();
  const [series, set] = useState(/** @type {import("../answers.d.ts").Schemas["Overview"]["series"] | null} */ (null));
  useEffect(() => {
    if (answer.data) set(answer.data.series);
  }, [answer.data]);
  useFrames((kind, data) => {
    if (kind !== "overview" || data.series || data.jobstore !== (jobstore() ?? data.jobstore)) return;
    const sample = { at: data.as_of, runs_per_second: data.runs_per_second, failures: data.failures, ...data.lateness };
    set((last) => last && /** @type {any} */ (grown(last, sample)));
  });
  const now = pulse ?? answer.data;
  const bad = now ? now.failures : 0;
  const runs = now ? now.runs_per_second * 60 : 0;
  return el.section(
    { class: "pulse", "aria-label": "The last minutes" },
    el.div(
      { class: "figures" },
      Figure({ label: "Runs", value: rough(now?.runs_per_second), unit: "/s" }),
      Figure({ label: "Lateness p99", value: duration(now?.lateness.p99), note: now && `p50 ${duration(now.lateness.p50)}` }),
      Figure({
        label: "Failures, 1 min", value: count(now?.failures), kind: bad ? "bad" : "",
        note: bad && runs ? percent(bad, Math.max(bad, runs)) : "",
      }),
      Figure({
        label: "In progress", value: count(now?.running),
        note: now && [`of ${count(now.pool_size)}`, now.waiting ? `, ${count(now.waiting)} wait` : ""],
      }),
      Figure({ label: "Due in 1 min", value: count(now?.due_soon) }),
    ),
    jobstores().length > 1
      ? el.p({ class: "of" }, "A process counts its runs of all stores together: these are the figures of the processes that share this store.")
      : null,
    el.div(
      { class: "lateness" },
      el.div(
        { class: "legend" },
        el.span(null, "Lateness, 5 min"),
        ...LINES.map((name) => el.span({ class: `key ${COLOURS[name]}` }, name)),
      ),
      h(Chart, {
        data: [series?.at.map((at) => Date.parse(at) / 1000) ?? [], ...LINES.map((name) => series?.[name] ?? [])],
        series: LINES.map((name) => ({ label: name, color: `--${COLOURS[name]}` })),
        height: 92, isLog: true, label: `lateness of runs over the last five minutes: p99 ${duration(now?.lateness.p99)}`,
      }),
    ),
  );
}

/** @param {Record<string, any[]>} columns @param {Record<string, any>} sample */
const grown = (columns, sample) =>
  Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, [...values.slice(1 - SAMPLES), sample[name]]]));
