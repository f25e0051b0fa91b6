// Bars of two kinds, one upon the other: the first is filled, the second hollow.

import { el } from "../html.js";
import { count } from "../words.js";

const HEIGHT = 60;

/**
 * @param {{bars: {values: number[], title: string}[], kinds: string[], label: string}} props `kinds` are classes
 */
export function Stack({ bars, kinds, label }) {
  const most = Math.max(1, ...bars.map(({ values }) => values.reduce((sum, value) => sum + value, 0)));
  const width = 100 / (bars.length || 1);
  const scaled = (/** @type {number} */ value) => (value ? Math.max(1.5, (HEIGHT * value) / most) : 0);
  return el.div(
    { class: "stack-box" },
    el.span({ class: "most num", "aria-hidden": true }, count(most)),
    el.svg(
      { class: "stack", viewBox: `0 0 100 ${HEIGHT + 2}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      ...bars.map(({ values, title }, n) => {
        let top = HEIGHT + 2;
        const parts = values.map((value, kind) => {
          const height = scaled(value);
          top -= height;
          return value ? el.rect({ class: kinds[kind], x: n * width + width * 0.15, y: top, width: width * 0.7, height }) : null;
        });
        return el.g(null, el.title(null, title), el.rect({ class: "hit", x: n * width, y: 0, width, height: HEIGHT + 2 }), ...parts);
      }),
    ),
  );
}
