// Copying text. Browsers have a clipboard only with TLS and on the machine's own addresses: elsewhere the text is selected.

import { el } from "../html.js";
import { say } from "./toast.js";

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say(copyByHand(text) ? "Copied" : "The browser does not let pages copy: select the text");
  }
}

/** As pages copied before there was a clipboard. @param {string} text */
function copyByHand(text) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr";
  document.body.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
    before?.focus();
  }
}

/** @param {{text: string, label: string}} props `label` says what is copied */
export const Copy = ({ text, label }) => el.button({ class: "small", "aria-label": `copy ${label}`, onClick: () => copy(text) }, "Copy");
