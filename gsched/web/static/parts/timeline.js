// The attempts at a run on one axis of time: due, begun, ended.

import { useNow } from "../clock.js";
import { el } from "../html.js";
import { clock, duration, outcome } from "../words.js";

/** @typedef {import("../api.js").Answers["run"]["attempts"][number]} Attempt */

const LEAST = 0.4; // per cent of the width, so that the shortest is seen
const ROW = 18;
const BAR = 10;

/** @param {{attempts: Attempt[]}} props in their order */
export function Timeline({ attempts }) {
  const now = useNow();
  const spans = attempts.map((each) => spanOf(each, now));
  const begin = Math.min(...spans.map((span) => span.due));
  const end = Math.max(...spans.map((span) => span.ended), begin + 1);
  const x = (/** @type {number} */ time) => (100 * (time - begin)) / (end - begin);
  const rect = (/** @type {string} */ name, /** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ y, /** @type {number} */ height) => {
    const width = Math.max(LEAST, x(to) - x(from));
    return el.rect({ class: name, x: Math.min(x(from), 100 - width), y, width, height });
  };
  const words = spans.map(({ each, due, started, ended }) => `attempt ${each.attempt || 1} ${outcome(each.outcome).word}: due ${clock(due)}${started === null ? "" : `, started ${duration((started - due) / 1000)} late, ${each.finished_at ? "took" : "for"} ${duration((ended - started) / 1000)}`}`);
  return el.div(
    { class: "timeline" },
    el.svg(
      { viewBox: `0 0 100 ${ROW * spans.length}`, preserveAspectRatio: "none", role: "img", "aria-label": words.join("; "), height: ROW * spans.length },
      ...spans.flatMap(({ each, due, started, ended }, n) => {
        const middle = n * ROW + ROW / 2;
        const begun = started ?? ended;
        return [
          el.rect({ class: "axis", x: 0, y: middle - 0.5, width: 100, height: 1 }),
          begun > due ? rect("late", due, begun, middle - 2, 4) : null,
          started === null ? rect("mark", due, due, middle - BAR / 2, BAR) : rect(outcome(each.outcome).kind, started, ended, middle - BAR / 2, BAR),
        ];
      }),
    ),
    el.div({ class: "scale num" }, el.span(null, clock(begin)), el.span(null, duration((end - begin) / 1000)), el.span(null, clock(end))),
  );
}

/**
 * @param {Attempt} each
 * @param {number} now
 */
function spanOf(each, now) {
  const due = Date.parse(each.due_at);
  const isRunning = each.outcome === "running";
  const started = each.started_at ? Date.parse(each.started_at) : isRunning ? due : null;
  const ended = each.finished_at ? Date.parse(each.finished_at) : isRunning ? Math.max(now, due) : (started ?? due);
  return { each, due, started, ended };
}
