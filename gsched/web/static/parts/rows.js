// Tables whose rows can be gone through by keys.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { el } from "../html.js";
import { useKeys } from "../keys.js";

/**
 * A cursor over rows: j and k move it, Enter opens the row.
 * @param {number} length
 * @param {(number: number) => void} open
 * @param {(number: number) => import("../keys.js").Key[]} [more] keys for the row
 */
export function useCursor(length, open, more = () => []) {
  const [at, set] = useState(0);
  const last = Math.max(0, Math.min(at, length - 1));
  const move = (/** @type {number} */ to) => {
    const next = Math.max(0, Math.min(length - 1, to));
    set(next);
    document.querySelector(`[data-row="${next}"]`)?.scrollIntoView({ block: "nearest" });
  };
  useEffect(() => set(0), [length === 0]);
  useKeys(
    length
      ? [
          { key: "j", does: "the next row", act: () => move(last + 1) },
          { key: "k", does: "the row before", act: () => move(last - 1) },
          { key: "Enter", does: "open the row", act: () => open(last) },
          ...more(last),
        ]
      : [],
  );
  return last;
}

/**
 * What is shown stays as it is while the pointer is on it: nothing moves away from under it.
 * @template T
 * @param {T} value
 * @returns {[T, {onPointerEnter: () => void, onPointerLeave: () => void}]} the value to show, and props for its box
 */
export function useHeld(value) {
  const [isHeld, hold] = useState(false);
  const kept = useRef(value);
  if (!isHeld) kept.current = value;
  return [kept.current, { onPointerEnter: () => hold(true), onPointerLeave: () => hold(false) }];
}

/**
 * Items in the order in which they came first; new ones follow.
 * @template T
 * @param {T[]} items
 * @param {(item: T) => string} name
 * @param {unknown} anew a change of it gives the order of the items
 */
export function useSameOrder(items, name, anew) {
  const order = useRef(/** @type {Map<string, number>} */ (new Map()));
  const last = useRef(anew);
  if (last.current !== anew) order.current.clear();
  last.current = anew;
  for (const item of items) if (!order.current.has(name(item))) order.current.set(name(item), order.current.size);
  return [...items].sort((a, b) => (order.current.get(name(a)) ?? 0) - (order.current.get(name(b)) ?? 0));
}

/**
 * @param {string} label
 * @param {[title: string, isRight?: boolean][]} columns
 * @param {import("../html.js").Children[]} rows
 */
export const table = (label, columns, ...rows) =>
  el.div(
    { class: "wide", tabIndex: 0, role: "region", "aria-label": label },
    el.table(
      { class: "rows" },
      el.thead(null, el.tr(null, ...columns.map(([title, isRight]) => el.th({ scope: "col", class: isRight ? "r" : "" }, title)))),
      el.tbody(null, ...rows),
    ),
  );
