// Charts: uPlot for lines and points, and small ones of our own.

import { useEffect, useRef } from "../vendor/hooks.js";
import uPlot from "../vendor/uplot.js";
import { el } from "../html.js";
import { zoneName } from "../clock.js";
import { useTheme } from "../theme.js";
import { clock, day, duration, outcome, rough } from "../words.js";

const FONT = "11px Inter, system-ui, sans-serif";
const DECADES = [0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000, 100_000];
const A_DAY = 86_400;
const TEN_MINUTES = 600;
const SPARSE = 12; // points of a line, up to which each is marked

/** @param {string} name of a custom property */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Lines or points over time.
 * @param {{data: (number | null)[][], series: {label: string, color: string, isPoints?: boolean, isBars?: boolean}[],
 *   height: number, isLog?: boolean, format?: (value: number) => string, label: string}} props
 *   `data` has the times in seconds first
 */
export function Chart({ data, series, height, isLog = false, format = duration, label }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const made = useRef(/** @type {uPlot | null} */ (null));
  const theme = useTheme();
  useEffect(() => {
    const place = /** @type {HTMLDivElement} */ (box.current);
    const drawn = new uPlot(options(series, place.clientWidth, height, isLog, format), /** @type {any} */ (data), place);
    made.current = drawn;
    const watch = new ResizeObserver(() => drawn.setSize({ width: place.clientWidth, height }));
    watch.observe(place);
    return () => {
      watch.disconnect();
      drawn.destroy();
      made.current = null;
    };
  }, [theme, height, series.length, isLog]);
  useEffect(() => made.current?.setData(/** @type {any} */ (data)), [data]);
  return el.div({ class: "chart", ref: box, role: "img", "aria-label": label });
}

/**
 * @param {Parameters<typeof Chart>[0]["series"]} series
 * @param {number} width
 * @param {number} height
 * @param {boolean} isLog
 * @param {(value: number) => string} format
 * @returns {uPlot.Options}
 */
function options(series, width, height, isLog, format) {
  const axis = { stroke: colour("--text-3"), font: FONT, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const times = (/** @type {uPlot} */ plot, /** @type {number[]} */ splits) => {
    const length = (plot.scales["x"]?.max ?? 0) - (plot.scales["x"]?.min ?? 0);
    return splits.map((at) => (length > 2 * A_DAY ? day(at * 1000) : clock(at * 1000, length < TEN_MINUTES)));
  };
  const decades = (/** @type {uPlot} */ _plot, /** @type {number} */ _axis, /** @type {number} */ low, /** @type {number} */ high) =>
    DECADES.filter((value) => value >= low && value <= high);
  return {
    width, height,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zoneName()),
    scales: {
      x: { time: true, range: (plot, low, high) => (plot.data[0].length === 1 ? [low - 60, low + 60] : [low, high]) }, // of one point uPlot makes years
      y: isLog
        ? { distr: 3, range: (_plot, low, high) => [Math.max(0.0001, (low || 0.001) / 1.5), Math.max((high || 0) * 1.6, 0.02)] }
        : { range: (_plot, _low, high) => [0, (high || 1) * 1.15] },
    },
    axes: [
      { ...axis, size: 24, gap: 4, space: 70, values: times, grid: { show: false } },
      {
        ...axis, size: 56, gap: 6, space: 26, ...(isLog && { splits: decades }),
        values: (_plot, splits) => splits.map((value) => (value == null ? "" : format(value))),
      },
    ],
    series: [{}, ...series.map(drawnSeries)],
  };
}

/** @param {Parameters<typeof Chart>[0]["series"][number]} series @returns {uPlot.Series} */
function drawnSeries({ label, color, isPoints, isBars }) {
  const stroke = colour(color);
  if (isPoints) return { label, stroke, paths: () => null, points: { show: true, size: 5, width: 0, fill: stroke } };
  if (isBars) return { label, fill: stroke, width: 0, points: { show: false }, paths: /** @type {any} */ (uPlot.paths.bars)({ size: [0.7, 40] }) };
  const isSparse = (/** @type {uPlot} */ plot, /** @type {number} */ n) => (plot.data[n] ?? []).filter((value) => value != null).length <= SPARSE;
  return { label, stroke, width: 1.5, points: { show: isSparse, size: 4, width: 0, fill: stroke } };
}

/** @typedef {{at: string, until: string, name: string, took: number | null, count: number, title: string}} Bar */

const LEVELS = 10;

/**
 * What became of each instant, or of each stretch of time: arrow keys move.
 * @param {{bars: Bar[], picked: number | null, pick: (number: number) => void}} props
 */
export function History({ bars, picked, pick }) {
  const longest = Math.max(0.02, ...bars.map((bar) => bar.took ?? 0));
  const level = (/** @type {number | null} */ took) => {
    const share = Math.log10(Math.max(took ?? 0, 0.01) / 0.01) / Math.log10(longest / 0.01);
    return Math.max(2, Math.min(LEVELS, Math.round(LEVELS * share)));
  };
  const move = (/** @type {KeyboardEvent} */ event) => {
    const from = picked ?? bars.length - 1;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    pick(Math.max(0, Math.min(bars.length - 1, to)));
  };
  return el.div(
    {
      class: "history", role: "listbox", tabIndex: 0, "aria-label": "instants, the oldest first", onKeyDown: move,
      "aria-activedescendant": picked === null ? undefined : `bar${picked}`,
    },
    ...bars.map((bar, number) => {
      const { kind } = outcome(bar.name);
      const height = kind === "bad" ? LEVELS : kind === "ok" ? level(bar.took) : 4;
      return el.i({
        id: `bar${number}`, role: "option", class: `${kind} h${height}`, "aria-selected": picked === number,
        "aria-label": bar.title, title: bar.title, onClick: () => pick(number),
      });
    }),
  );
}

const EVEN = 0.9; // of the most: if no hour has less, none stands out
const EVEN_SHADE = 3;

/**
 * Shades from 0 to 8, by the square root of what is beyond the least. The least is paler the less it is of the most.
 * @param {number[]} values
 * @returns {(value: number) => number}
 */
function shades(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (most > 0 && least >= EVEN * most) return () => EVEN_SHADE;
  const palest = most > 0 ? Math.ceil((EVEN_SHADE * least) / most) : 0;
  const darker = (/** @type {number} */ value) => Math.sqrt((value - least) / (most - least || 1));
  return (value) => (value <= 0 ? 0 : Math.max(1, Math.round(palest + (8 - palest) * darker(value))));
}

/** How the arrow keys move in it: days, hours. @type {Record<string, [number, number]>} */
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * The runs of each hour of some days: each hour is a button, and arrow keys move between them. Hours without a number
 * are left out.
 * @param {{week: (number | null)[][], days: string[], label: string, picked?: [number, number] | null,
 *   pick: (day: number, hour: number) => void}} props
 */
export function Heat({ week, days, label, picked, pick }) {
  const table = useRef(/** @type {HTMLTableElement | null} */ (null));
  const known = week.flat().filter((value) => value !== null);
  const shade = shades(known);
  const hours = Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, "0"));
  const first = [0, (week[0] ?? []).findIndex((value) => value !== null)];
  const [row, hour] = picked ?? (first[1] === -1 ? [1, 0] : first);
  const move = (/** @type {KeyboardEvent} */ event) => {
    const by = MOVES[event.key];
    const from = /** @type {HTMLElement} */ (event.target).dataset["cell"]?.split(" ").map(Number);
    if (!by || !from) return;
    event.preventDefault();
    const to = [(from[0] ?? 0) + by[0], (from[1] ?? 0) + by[1]].join(" ");
    /** @type {HTMLElement | null} */ (table.current?.querySelector(`[data-cell="${to}"]`) ?? null)?.focus();
  };
  const cell = (/** @type {number | null} */ value, /** @type {number} */ at, /** @type {number} */ n) => {
    if (value === null) return el.td(null);
    const words = `${days[at]} ${hours[n]}:00, ${rough(value)} runs`;
    const isPicked = picked?.[0] === at && picked[1] === n;
    return el.td(
      null,
      el.button({
        class: `q${shade(value)}`, title: words, "aria-label": words, "aria-pressed": isPicked, "data-cell": `${at} ${n}`,
        tabIndex: at === row && n === hour ? 0 : -1, onClick: () => pick(at, n),
      }),
    );
  };
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const scale = [0, 0.25, 0.5, 0.75, 1].map((part) => el.i({ class: `q${shade(least + part * (most - least))}` }));
  const body = el.div(
    { class: "scroll" },
    el.table(
      { class: "heat", ref: table, "aria-label": label, onKeyDown: move },
      el.thead(null, el.tr(null, el.td(null), ...hours.map((word, n) => el.th({ scope: "col" }, el.span({ class: n % 3 ? "sr" : "" }, word))))),
      el.tbody(null, ...week.map((values, at) => el.tr(null, el.th({ scope: "row" }, days[at]), ...values.map((value, n) => cell(value, at, n))))),
    ),
  );
  return [body, el.div({ class: "scale shades num" }, el.span(null, rough(least)), ...scale, el.span(null, `${rough(most)} runs an hour`))];
}

/**
 * Bars, the highest marked.
 * @param {{values: number[], label: string, titles?: string[]}} props
 */
export function Bars({ values, label, titles = [] }) {
  const most = Math.max(...values) || 1;
  const isEven = Math.min(...values) >= EVEN * most;
  const width = 100 / values.length;
  const bar = (/** @type {number} */ value, /** @type {number} */ n) => {
    const height = (38 * value) / most;
    const place = { x: n * width + width * 0.12, y: 40 - height, width: width * 0.76, height };
    return el.rect({ ...place, class: value > 0.75 * most && !isEven ? "peak" : "" }, el.title(null, titles[n] ?? rough(value)));
  };
  return el.svg({ class: "bars", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": label }, ...values.map(bar));
}
