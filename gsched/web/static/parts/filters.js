// What lists are filtered by: each filter is a part of the address. Choosing adds a step for "back", typing does not.

import { useEffect, useRef } from "../vendor/hooks.js";
import { useAnswer } from "../data.js";
import { el } from "../html.js";
import { change } from "../place.js";
import { count } from "../words.js";

const TYPING_MS = 400;

/**
 * The address without the place in a list: another filter begins at its first page.
 * @param {string} name
 * @param {string | null} value
 * @param {{replace?: boolean}} [how]
 */
export const filterBy = (name, value, how) => change({ [name]: value, before: null, after: null }, how);

/** @param {{tag: string}} props */
export function TagPick({ tag }) {
  const { data } = useAnswer("tags", {});
  const tags = data?.tags ?? [];
  if (!tags.length && !tag) return null;
  const all = tag && !tags.some((each) => each.tag === tag) ? [{ tag, jobs: 0 }, ...tags] : tags;
  return Pick({
    label: "Tag", name: "tag", value: tag, any: "any tag",
    options: all.map((each) => [each.tag, each.jobs ? `${each.tag} (${count(each.jobs)})` : each.tag]),
  });
}

/**
 * One of several values, or any.
 * @param {{label: string, name: string, value: string, any: string, options: readonly (readonly [value: string, word: string])[]}} props
 */
export const Pick = ({ label, name, value, any, options }) =>
  el.label(
    { class: "pick" },
    el.span({ class: "sr" }, label),
    el.select(
      { value, onChange: (event) => filterBy(name, event.currentTarget.value) },
      el.option({ value: "" }, any),
      ...(value && !options.some(([known]) => known === value) ? [el.option({ value }, value)] : []),
      ...options.map(([each, word]) => el.option({ value: each }, word)),
    ),
  );

/**
 * A text that must be exactly so.
 * @param {{label: string, name: string, value: string}} props
 */
export function TextFilter({ label, name, value }) {
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const sent = useRef(value);
  useEffect(() => {
    // The address has changed by another way, such as "back".
    if (field.current && value !== sent.current) field.current.value = sent.current = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const send = () => {
    clearTimeout(timer.current);
    const typed = field.current?.value.trim() ?? "";
    if (typed === sent.current) return;
    sent.current = typed;
    filterBy(name, typed, { replace: true });
  };
  return el.label(
    { class: "search small" },
    el.span({ class: "sr" }, label),
    el.input({
      ref: field, type: "search", placeholder: label, defaultValue: value, autoComplete: "off", spellcheck: false,
      onInput: () => {
        clearTimeout(timer.current);
        timer.current = setTimeout(send, TYPING_MS);
      },
      onChange: send,
    }),
  );
}

/**
 * A few values side by side.
 * @param {{label: string, value: string, options: readonly (readonly [value: string, word: string, ...unknown[]])[], pick: (value: string) => void}} props
 */
export const Range = ({ label, value, options, pick }) =>
  el.span(
    { class: "range", role: "group", "aria-label": label },
    ...options.map(([each, word]) => el.button({ "aria-pressed": each === value, onClick: () => pick(each) }, word)),
  );

/**
 * A filter that other pages set: it can only be taken away.
 * @param {{label: string, name: string, value: string, shown?: string}} props
 */
export const Chip = ({ label, name, value, shown = value }) =>
  value
    ? el.button({ class: "chip", title: `${label} ${value}: show all`, onClick: () => filterBy(name, null) }, el.span(null, `${label} ${shown}`), el.span({ "aria-hidden": true }, " ✕"))
    : null;
