// Values in an address that a page does not know.

import { el } from "../html.js";

/**
 * What there is to say where an address has a value that is none of the options.
 * @param {{what: string, value: string | null, options: readonly (readonly [value: string, word: string, ...unknown[]])[], used: string}} props used: which option is used instead
 */
export function unknownValue({ what, value, options, used }) {
  if (value === null || options.some(([each]) => each === value)) return null;
  const words = options.map(([, word]) => word).join(", ");
  const instead = options.find(([each]) => each === used)?.[1] ?? used;
  return el.p({ class: "notice warn", role: "status" }, `The ${what} “${value}” is unknown: it is one of ${words}. You see ${instead}.`);
}
