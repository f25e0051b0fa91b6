// Short messages at the foot of the page.

import { useEffect, useState } from "../vendor/hooks.js";
import { el } from "../html.js";

const SHOWN_MS = 5000;

/** @type {(text: string) => void} */
let show = () => undefined;

/** @param {string} text */
export const say = (text) => show(text);

export function Toast() {
  const [text, set] = useState("");
  show = set;
  useEffect(() => {
    const timer = text ? setTimeout(() => set(""), SHOWN_MS) : undefined;
    return () => clearTimeout(timer);
  }, [text]);
  return el.div({ class: "toast", role: "status", hidden: !text }, text);
}
