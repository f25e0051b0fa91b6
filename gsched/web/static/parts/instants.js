// What became of each instant of a job, and why.

import { useEffect, useMemo, useState } from "../vendor/hooks.js";
import { now } from "../clock.js";
import { useAnswer } from "../data.js";
import { el, h } from "../html.js";
import { change, link } from "../place.js";
import { clock, counted, day, duration, exact, moment, outcome } from "../words.js";
import { History } from "./charts.js";
import { Range } from "./filters.js";
import { outcomeWord } from "./marks.js";
import { nothing, sentence, shown } from "./shown.js";
import { unknownValue } from "./unknown.js";

/** @typedef {import("../answers.d.ts").Schemas["Job"]} JobAnswer */
/** @typedef {import("../answers.d.ts").Schemas["Instant"]} Instant */
/** @typedef {import("./charts.js").Bar & {instant: Instant}} Stretch */
/** @typedef {Pick<Instant, "at" | "outcome" | "recorded" | "sentence" | "reason" | "run_id">} Shown */

const PERIODS = /** @type {const} */ ([["1h", "1 h"], ["24h", "24 h"], ["14d", "14 d"]]);
const EVERY_SECONDS = 10;

/** @param {{job: JobAnswer, query: URLSearchParams}} props */
export function Instants({ job, query }) {
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
      Range({ label: "Period", value: period, options: PERIODS, pick: (name) => change({ period: name, at: null }) }),
      el.span(
        { class: "legend" },
        ...[["ok", "succeeded"], ["bad", "failed"], ["warn", "skipped or missed"], ["idle", "coalesced"]].map(([kind, word]) => el.span({ class: `key ${kind}` }, word)),
      ),
    ),
    unknownValue({ what: "period", value: query.get("period"), options: PERIODS, used: period }),
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
