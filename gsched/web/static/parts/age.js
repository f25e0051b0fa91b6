// How long a run has gone on, as a bar against the time that it may take.

import { useNow } from "../clock.js";
import { el } from "../html.js";
import { duration, exact } from "../words.js";

const NEARLY = 0.8; // of the timeout
const MUCH = 3; // times the usual duration

/**
 * @param {{since: string, timeout: number | null, usual: number | null}} props
 *   `usual` is the duration that 95 % of the last runs did not exceed
 */
export function AgeBar({ since, timeout, usual }) {
  const exactly = Math.max(0, (useNow() - Date.parse(since)) / 1000);
  const seconds = exactly < 1 ? exactly : Math.round(exactly);
  const most = timeout ?? (usual && usual * MUCH);
  const share = most ? Math.min(1, seconds / most) : 0;
  const isMuch = timeout ? share >= NEARLY : !!most && share === 1;
  const against = timeout ? `of ${duration(timeout)} timeout` : usual ? `usually ${duration(usual)}` : "no timeout";
  return el.span(
    { class: "age-bar", title: `since ${exact(since)}` },
    most
      ? el.svg(
          { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": true },
          el.rect({ class: "all", width: 100, height: 8 }),
          el.rect({ class: isMuch ? "much" : "", width: Math.max(1, 100 * share), height: 8 }),
        )
      : null,
    el.span({ class: `num ${isMuch ? "warn" : ""}` }, duration(seconds)),
    el.span({ class: "dim num" }, ` ${against}${isMuch && !timeout ? ", long" : ""}`),
  );
}
