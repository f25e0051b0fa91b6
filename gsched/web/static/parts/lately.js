// What happened to a job lately: its runs on record, and who did what.

import { useEffect } from "../vendor/hooks.js";
import { useAnswer, useSoon } from "../data.js";
import { el } from "../html.js";
import { link } from "../place.js";
import { duration, exact } from "../words.js";
import { outcomeWord } from "./marks.js";
import { nothing, shown } from "./shown.js";
import { atTime, timeAgo } from "./times.js";

/** @typedef {import("../answers.d.ts").Schemas["Job"]} JobAnswer */

const EVERY_SECONDS = 10;

/** @param {{job: JobAnswer}} props */
export function Recorded({ job }) {
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
export function Changes({ job }) {
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
