// An answer in each of its states: not there yet, there, old because the server does not answer, refused.

import { useEffect, useState } from "../vendor/hooks.js";
import { el, h } from "../html.js";
import { clock } from "../words.js";

const SKELETON_MS = 300;

/**
 * @template T
 * @param {import("../data.js").Answered<T>} answer
 * @param {(data: T) => import("../html.js").Children} show
 * @param {{rows?: number}} [size] of the skeleton
 */
export function shown(answer, show, { rows = 3 } = {}) {
  if (answer.data === null) {
    return answer.error ? h(Refused, { error: answer.error, again: answer.again }) : h(Skeleton, { rows });
  }
  return [
    answer.error ? h(Stale, { error: answer.error, at: answer.at, again: answer.again }) : null,
    el.div({ class: answer.error ? "stale-data" : "fresh" }, show(answer.data)),
  ];
}

/** @param {{rows: number}} props */
function Skeleton({ rows }) {
  const [isSlow, set] = useState(false);
  useEffect(() => {
    const timer = setTimeout(set, SKELETON_MS, true);
    return () => clearTimeout(timer);
  }, []);
  if (!isSlow) return el.div({ class: "soon", "aria-busy": true });
  const bars = Array.from({ length: rows }, () => el.i(null));
  return el.div({ class: "skeleton", "aria-busy": true }, el.span({ class: "sr" }, "Loading"), ...bars);
}

/** @param {{error: import("../api.js").Refusal, again: () => void}} props */
export function Refused({ error, again }) {
  return el.div(
    { class: "refused", role: "alert" },
    el.b(null, error.isDenied ? "You may not see this" : sentence(error.message)),
    el.p(null, error.isDenied ? sentence(error.message) : "", error.remedy ? ` ${sentence(error.remedy)}` : ""),
    el.button({ onClick: again }, "Try again"),
  );
}

/** @param {{error: import("../api.js").Refusal, at: number, again: () => void}} props */
function Stale({ error, at, again }) {
  return el.div(
    { class: "stale", role: "status" },
    el.span(null, `As of ${clock(at)}: ${error.message}`),
    el.button({ class: "quiet", onClick: again }, "Try again"),
  );
}

/** What there is to say where there is nothing. @param {string} title @param {import("../html.js").Children[]} text */
export const nothing = (title, ...text) => el.div({ class: "nothing" }, el.b(null, title), el.p(null, ...text));

/** A sentence, with what is in backticks as code. @param {string} text */
export const withCode = (text) => sentence(text).split("`").map((part, n) => (n % 2 ? el.code(null, part) : part));

/** @param {string} text */
export const sentence = (text) => text && text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
