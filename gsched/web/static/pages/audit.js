// The audit: who did what, to what, why, and by which way.

import { useEffect } from "../vendor/hooks.js";
import { useAnswer, useLater, useSoon } from "../data.js";
import { el, h } from "../html.js";
import { now } from "../clock.js";
import { useKeys } from "../keys.js";
import { useFrames } from "../live.js";
import { Chip, Pick, Range, TextFilter, filterBy } from "../parts/filters.js";
import { useCursor } from "../parts/rows.js";
import { nothing, shown } from "../parts/shown.js";
import { atTime } from "../parts/times.js";
import { change, go, link } from "../place.js";
import { count, counted, exact, moment, nodeName } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["AuditEntry"]} Entry */

const ACTIONS = [
  "job.add", "job.change", "job.pause", "job.resume", "job.remove", "job.run", "run.cancel", "run.retry", "node.drain",
  "limit.set", "limit.remove", "group.pause", "group.resume",
];
const PERIODS = /** @type {const} */ ([["24h", "24 h"], ["14d", "14 d"], ["", "90 d"]]);
const PAGE = 100;
const EVERY_SECONDS = 15;
const LATER_SECONDS = 2;

/** @param {import("../app.js").PageProps} props */
export function Audit({ query }) {
  const part = (/** @type {string} */ name) => query.get(name) ?? "";
  const filter = { actor: part("actor"), action: part("action"), target: part("target"), since: part("since") };
  const before = part("before");
  const isFiltered = Object.values(filter).some(Boolean);
  const page = useAnswer("audit", { ...filter, before, limit: PAGE });
  const entries = page.data?.entries ?? [];
  const at = useCursor(entries.length, (n) => open(entries[n]));
  useKeys([{ key: "r", does: "load the list anew", act: page.again }]);
  return [
    el.div(
      { class: "bar" },
      el.h1(null, "Audit"),
      h(TextFilter, { label: "Who", name: "actor", value: filter.actor }),
      Pick({ label: "Action", name: "action", value: filter.action, any: "any action", options: ACTIONS.map((name) => [name, name]) }),
      h(TextFilter, { label: "Job, run or node id", name: "target", value: filter.target }),
      Range({ label: "Period", value: filter.since, options: PERIODS, pick: (since) => filterBy("since", since) }),
      PERIODS.some(([since]) => since === filter.since) ? null : Chip({ label: "from", name: "since", value: filter.since, shown: /^\d{4}-/.test(filter.since) ? moment(filter.since, now()) : `${filter.since} ago` }),
      isFiltered ? el.button({ class: "quiet", onClick: () => go("audit") }, "Clear") : null,
      el.span({ class: "grow" }),
      before ? null : h(Newer, { filter, page, key: JSON.stringify(filter) }),
    ),
    shown(page, ({ next }) =>
      entries.length
        ? [
            el.div(
              { class: "wide", tabIndex: 0, role: "region", "aria-label": "Audit" },
              el.table(
                { class: "rows audit" },
                el.thead(null, el.tr(null, ...["At", "Who", "Did", "To what", "From and to", "Why", "Through"].map((title) => el.th({ scope: "col" }, title)))),
                el.tbody(null, ...entries.map((entry, n) => h(Row, { key: entry.id, entry, n, isAt: n === at }))),
              ),
            ),
            el.div(
              { class: "foot" },
              el.span({ class: "num" }, `${counted(entries.length, "entry", "entries")}, the newest first; they are kept for 90 days`),
              el.span({ class: "grow" }),
              before ? el.button({ onClick: () => history.back() }, "‹ Newer") : null,
              next ? el.button({ onClick: () => change({ before: next }) }, "Older ›") : null,
            ),
          ]
        : isFiltered
          ? nothing("No entry matches", "Ids and names must be exactly so. ", link("audit", {}, {}, "Show all entries"), ".")
          : nothing("Nobody has done anything yet", "What people and programs do to jobs, runs and nodes is written down here for 90 days."), { rows: 12 }),
  ];
}

/** @param {Entry | undefined} entry */
function open(entry) {
  const place = entry && placeOf(entry);
  if (place) go(place[0], place[1]);
}

/**
 * The page of what was acted on, if it is one thing.
 * @param {Entry} entry
 * @returns {[page: string, query: Record<string, string>] | null}
 */
function placeOf({ action, target, count }) {
  if (count !== 1) return null;
  if (action.startsWith("job.")) return target === "all jobs" ? null : ["job", { id: target }];
  if (action.startsWith("run.")) return ["run", { id: target }];
  return action.startsWith("node.") ? ["nodes", {}] : null;
}

/**
 * How many entries have come since.
 * @param {{filter: Record<string, string>, page: import("../data.js").Answered<import("../api.js").Answers["audit"]>}} props
 */
function Newer({ filter, page }) {
  const isLater = useLater(LATER_SECONDS, [page.at]);
  const newest = useAnswer("audit", isLater ? { ...filter, limit: PAGE } : null, { every: EVERY_SECONDS });
  const soon = useSoon(newest.again, 1500);
  useFrames((kind, fact) => {
    if (kind === "action" || kind === "reset" || (kind === "fact" && /^(job|jobs|node)\./.test(fact.event))) soon();
  });
  const first = page.data?.entries[0]?.id ?? "";
  const newer = newest.at > page.at ? (newest.data?.entries ?? []).filter(({ id }) => id > first).length : 0;
  useEffect(() => {
    if (newer && !first) page.again(); // nothing moves in an empty list
  }, [newer, first]);
  return el.span(
    { role: "status" },
    newer ? el.button({ class: "more", onClick: page.again }, `${count(newer)}${newer >= PAGE ? " or more" : ""} newer: load`) : null,
  );
}

/** @param {{entry: Entry, n: number, isAt: boolean}} props */
function Row({ entry, n, isAt }) {
  const { actor, action, via, address, reason } = entry;
  const [kind = "", verb = action] = action.split(".");
  return el.tr(
    { class: isAt ? "at" : "", "data-row": n },
    el.td({ class: "num when" }, atTime(entry.at)),
    el.td({ class: "who" }, actor ? el.button({ class: "quiet small", title: `only what ${actor} did`, onClick: () => filterBy("actor", actor) }, el.b(null, actor)) : el.span({ class: "dim" }, "not known")),
    el.td({ class: "st" }, verb, el.span({ class: "dim" }, ` ${kind}`)),
    el.td({ class: "id" }, targetOf(entry)),
    el.td({ class: "diff" }, h(Diff, { before: entry.before, after: entry.after })),
    el.td({ class: "because dim" }, reason ?? ""),
    el.td({ class: "via", title: address ? `from ${address}, ${exact(entry.at)}` : exact(entry.at) }, via ?? el.span({ class: "dim" }, "–"), address ? el.span({ class: "sr" }, ` from ${address}`) : null),
  );
}

/** @param {Entry} entry */
function targetOf(entry) {
  const place = placeOf(entry);
  const word = entry.action.startsWith("node.") ? nodeName(entry.target) : entry.target;
  if (place) return link(place[0], place[1], { title: entry.target }, word);
  const many = counted(entry.count, entry.action.startsWith("run.") ? "run" : "job");
  return [el.span({ class: "mono" }, word), entry.count === 1 || word === `${entry.count} jobs` ? null : el.span({ class: "dim num" }, ` ${many}`)];
}

/** What differs, an option a line. @param {{before: Record<string, string>, after: Record<string, string>}} props */
function Diff({ before, after }) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.map((name) => {
    const [from, to] = [before[name] ?? "-", after[name] ?? "-"];
    return el.div(
      { key: name },
      el.span({ class: "dim" }, `${name.replaceAll("_", " ")} `),
      from === to ? el.span(null, to) : [el.del(null, valueOf(from)), " → ", el.ins(null, valueOf(to))],
    );
  });
}

/** @param {string} text a time is shown in the server's zone, to the second */
const valueOf = (text) => (text === "-" ? "none" : /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*[+-]\d\d:\d\d$/.test(text) ? moment(text.replace(" ", "T"), now()) : text);
