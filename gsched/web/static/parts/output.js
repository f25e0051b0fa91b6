// What the attempts of a run have printed, as it comes.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { useAnswer } from "../data.js";
import { el, h } from "../html.js";
import { counted } from "../words.js";
import { Copy } from "./copy.js";

/** @typedef {import("../api.js").Answers["run"]} RunAnswer */

const EVERY_SECONDS = 1;
const AT_END = 40; // pixels: a reader who is so near the end wants to see what comes

/** Nothing at all if nothing was kept. @param {{run: RunAnswer}} props */
export function Output({ run }) {
  const ran = run.attempts.filter((each) => each.attempt > 0 && each.outcome !== "waiting").map((each) => each.attempt);
  const [chosen, choose] = useState(/** @type {number | null} */ (null));
  const attempt = chosen ?? ran[0]; // the last one is the first
  const [isLive, setLive] = useState(true);
  const output = useAnswer("run/output", attempt ? { id: run.run_id, attempt } : null, { every: isLive ? EVERY_SECONDS : 0 });
  const found = output.data?.attempt === attempt ? output.data : null;
  const goesOn = found?.going_on ?? true;
  useEffect(() => setLive(goesOn), [goesOn]);
  const text = useRef(/** @type {HTMLPreElement | null} */ (null));
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (text.current && isAtEnd.current && goesOn) text.current.scrollTop = text.current.scrollHeight;
  }, [found?.text]);
  if (!found?.text && (chosen === null || ran.length < 2)) return null;
  return el.section(
    { class: "card", "aria-label": "Output" },
    el.div(
      { class: "title" },
      el.h2(null, "Output"),
      el.span({ class: "dim" }, goesOn ? "as it comes" : found ? counted(found.text.trimEnd().split("\n").length, "line") : "", found?.truncated ? ", its beginning and its end" : ""),
      el.span({ class: "grow" }),
      ran.length > 1
        ? el.select(
            { "aria-label": "Attempt", value: String(attempt), onChange: (event) => choose(Number(event.currentTarget.value)) },
            ...ran.map((each) => el.option({ value: String(each) }, `attempt ${each}`)),
          )
        : null,
      found ? h(Copy, { text: found.text, label: `the output of attempt ${attempt}` }) : null,
    ),
    el.pre(
      {
        class: "raw", tabIndex: 0, role: "region", "aria-label": `output of attempt ${attempt}`, ref: text,
        onScroll: ({ currentTarget: it }) => {
          isAtEnd.current = it.scrollHeight - it.scrollTop - it.clientHeight < AT_END;
        },
      },
      found ? found.text || "It has printed nothing." : "…",
    ),
  );
}
