// Questions before an action: what it does, why, and for many jobs the number typed.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { el, h } from "../html.js";
import { count } from "../words.js";
import { sentence } from "./shown.js";

/** @typedef {import("../api.js").Refusal} Refusal */

/**
 * A dialog is open while the component is there.
 * @param {{title: string, close: () => void, wide?: boolean, children: import("../html.js").Children}} props
 */
export function Dialog({ title, close, wide = false, children }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    box.current?.showModal();
    return () => before?.focus();
  }, []);
  return el.dialog(
    { ref: box, class: wide ? "ask wide-ask" : "ask", onClose: close, "aria-labelledby": "dialog-title" },
    el.h2({ id: "dialog-title" }, title),
    children,
  );
}

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text what will happen
 * @property {string} verb on the button
 * @property {boolean} [isDangerous]
 * @property {boolean} [needsReason]
 * @property {boolean} [asksUntil] for how long, or until when
 * @property {number} [typed] the number that the user types to confirm
 * @property {(answer: {reason: string | null, until?: string}) => Promise<string>} act gives what to say afterwards
 */

/**
 * @param {{question: Question, close: () => void, done: (text: string) => void}} props
 */
export function Ask({ question, close, done }) {
  const { title, text, verb, isDangerous, needsReason, asksUntil, typed, act } = question;
  const [error, setError] = useState(/** @type {Refusal | null} */ (null));
  const [isBusy, setBusy] = useState(false);
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (isBusy) return;
    const fields = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const field = (/** @type {string} */ name) => String(fields.get(name) ?? "").trim();
    if (typed && field("typed").replaceAll(/[, ]/g, "") !== String(typed)) {
      setError(/** @type {any} */ ({ message: `type ${typed} to confirm`, remedy: null }));
      return;
    }
    setBusy(true);
    setError(null);
    try {
      done(await act({ reason: field("reason") || null, ...(field("until") && { until: field("until") }) }));
    } catch (refusal) {
      setError(/** @type {Refusal} */ (refusal));
      setBusy(false);
    }
  };
  return h(
    Dialog,
    { title, close, children: null },
    el.form(
      { onSubmit: submit },
      el.p(null, text),
      el.label(
        null,
        needsReason ? "Reason" : "Reason (optional)",
        el.input({ name: "reason", required: !!needsReason, maxLength: 500, placeholder: "for those who see it later" }),
      ),
      asksUntil ? el.label(null, "Until (optional)", el.input({ name: "until", placeholder: "2h, or 2026-12-01 08:00" })) : null,
      typed ? el.label(null, `Type ${count(typed)} to confirm`, el.input({ name: "typed", inputMode: "numeric", autoComplete: "off", required: true })) : null,
      problem(error),
      el.div(
        { class: "foot" },
        el.span({ class: "grow" }),
        el.button({ type: "button", onClick: close }, "Cancel"),
        el.button({ class: isDangerous ? "danger" : "strong", disabled: isBusy }, isBusy ? "Sending" : verb),
      ),
    ),
  );
}

/** Why the server has refused. @param {Pick<Refusal, "message" | "remedy"> | null} error */
export const problem = (error) =>
  error && el.p({ class: "problem", role: "alert" }, sentence(error.message), error.remedy ? ` ${sentence(error.remedy)}` : "");
