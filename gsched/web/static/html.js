// Elements as typed functions: el.td({class: "num"}, "5"). Nothing is parsed or built, and tsc checks all of it.

import { h } from "./vendor/preact.js";

/** @typedef {import("preact").JSX.IntrinsicElements} Elements */
/** @typedef {import("preact").ComponentChildren} Children */
/** @typedef {import("preact").VNode<any>} Node */

/** @typedef {{[name: `data-${string}`]: unknown}} Data */

/** @type {{[Name in keyof Elements]: (props: (Elements[Name] & Data) | null, ...children: Children[]) => Node}} */
export const el = /** @type {any} */ (
  new Proxy(
    {},
    {
      get: (/** @type {Record<string, any>} */ made, /** @type {string} */ name) =>
        (made[name] ??= (/** @type {any} */ props, /** @type {any[]} */ ...children) => h(name, props, ...children)),
    },
  )
);

export { h };
