// Failures: when they were, which are alike, whom they hit, and what is still tried again.

import { useEffect } from "../vendor/hooks.js";
import { useAnswer, useLater } from "../data.js";
import { el, h } from "../html.js";
import { now } from "../clock.js";
import { useKeys } from "../keys.js";
import { may } from "../me.js";
import { questionOf, useQuestions } from "../parts/actions.js";
import { Stack } from "../parts/stack.js";
import { Figure } from "../parts/figures.js";
import { Range, TagPick, filterBy } from "../parts/filters.js";
import { jobLink, outcomeWord } from "../parts/marks.js";
import { useCursor } from "../parts/rows.js";
import { nothing, shown } from "../parts/shown.js";
import { inTime, timeAgo } from "../parts/times.js";
import { unknownValue } from "../parts/unknown.js";
import { go, link } from "../place.js";
import { clock, count, counted, day, moment, nodeName, outcome, percent } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["ErrorGroup"]} ErrorGroup */
/** @typedef {import("../answers.d.ts").Schemas["Rate"]} Rate */

const PERIODS = /** @type {const} */ ([["1h", "1 h"], ["24h", "24 h"], ["14d", "14 d"]]);
const STEPS = { "1h": "1m", "24h": "1h", "14d": "6h" };
const STEP_WORDS = { "1h": "minute", "24h": "hour", "14d": "six hours" };
const BY = /** @type {const} */ ([["error", "By error"], ["job", "By job"], ["node", "By node"]]);
const BAD = ["failed", "timed_out", "lost", "cancelled"];
const EVERY_SECONDS = 15;
const MOST_RECORDS = 2000;
const NAMED = 3; // jobs of a group
const MOST_RETRIES = 8;

/** @param {import("../app.js").PageProps} props */
export function Failures({ query }) {
  const since = PERIODS.find(([name]) => name === query.get("since"))?.[0] ?? "24h";
  const by = BY.find(([name]) => name === query.get("by"))?.[0] ?? "error";
  const tag = query.get("tag") ?? "";
  const errors = useAnswer("errors", { since, by, tag });
  const isLater = useLater(EVERY_SECONDS, [since, by, tag]);
  const newer = useAnswer("errors", isLater ? { since, by, tag } : null, { every: EVERY_SECONDS });
  useEffect(() => {
    const fresh = new Map((newer.data?.groups ?? []).map((group) => [keyOf(group), group]));
    errors.set((last) => ({ ...last, groups: last.groups.map((group) => fresh.get(keyOf(group)) ?? group) }));
  }, [newer.data]);
  const groups = errors.data?.groups ?? [];
  const known = new Set(groups.map(keyOf));
  const added = newer.at > errors.at ? (newer.data?.groups ?? []).filter((group) => !known.has(keyOf(group))).length : 0;
  const { ask, dialog } = useQuestions(errors.again);
  const at = useCursor(groups.length, (n) => groups[n] && go("run", { id: groups[n].example }));
  useKeys([{ key: "r", does: "load the groups anew", act: errors.again }]);
  return [
    el.div(
      { class: "bar" },
      el.h1(null, "Failures"),
      Range({ label: "Period", value: since, options: PERIODS, pick: (value) => filterBy("since", value) }),
      h(TagPick, { tag }),
      el.span({ class: "grow" }),
    ),
    unknownValue({ what: "period", value: query.get("since"), options: PERIODS, used: since }),
    unknownValue({ what: "grouping", value: query.get("by"), options: BY, used: by }),
    h(When, { since, tag, key: since }),
    el.div({ class: "split lead" }, h(Retries, { tag }), h(Tags, { tag })),
    el.div(
      { class: "bar" },
      Range({ label: "Groups", value: by, options: BY, pick: (value) => filterBy("by", value) }),
      errors.data && groups.length ? el.span({ class: "dim" }, windowOf(errors.data.window, since, tag)) : null,
      el.span({ class: "grow" }),
      el.span({ role: "status" }, added ? el.button({ class: "more", onClick: errors.again }, `${counted(added, "new group")}: load`) : null),
    ),
    shown(errors, ({ groups }) =>
      groups.length
        ? el.div(
            { class: "wide", tabIndex: 0, role: "region", "aria-label": "Groups of failures" },
            el.table(
              { class: "rows groups" },
              el.thead(null, head(by)),
              el.tbody(null, ...groups.map((group, n) => h(Row, { key: keyOf(group), group, by, tag, since, n, isAt: n === at, ask }))),
            ),
          )
        : nothing(
            `Nothing failed in the last ${periodWord(since)}${tag ? `, of jobs tagged ${tag}` : ""}`,
            "No run on record failed, timed out, was lost or cancelled, and no instant was missed or skipped. ",
            since === "14d" ? "" : "Look at a longer time, or ", link("runs", {}, {}, "at all records"), ".",
          ), { rows: 8 }),
    dialog,
  ];
}

/** @param {ErrorGroup} group */
const keyOf = (group) => JSON.stringify(group.job_id || group.node ? [group.job_id, group.node] : [group.outcome, group.error_type, group.message]);

/** @param {string} since */
const periodWord = (since) => ({ "1h": "hour", "24h": "24 hours", "14d": "14 days" })[since] ?? since;

/** What was looked at. @param {{records: number, since: string}} window @param {string} since @param {string} tag */
function windowOf({ records, since: from }, since, tag) {
  const of = tag ? `records of jobs tagged ${tag}` : "records without success";
  if (records < MOST_RECORDS) return `of ${count(records)} ${of}, in the last ${periodWord(since)}`;
  return `of the newest ${count(records)} ${of}, since ${moment(from, now())}: there are more before`;
}

/** How many, and when. @param {{since: "1h" | "24h" | "14d", tag: string}} props */
function When({ since, tag }) {
  const answer = useAnswer("rates", { since, step: STEPS[since] }, { every: 60 });
  return shown(answer, ({ rates }) => {
    const sum = (/** @type {string[]} */ names) => rates.reduce((all, rate) => all + of(rate, names), 0);
    const runs = rates.reduce((all, rate) => all + rate.runs, 0);
    const failures = sum(BAD);
    const bars = rates.map((rate) => ({
      values: [of(rate, BAD), of(rate, ["skipped", "missed"])],
      title: `${day(rate.at)} ${clock(rate.at, false)}: ${BAD.map((name) => [name, of(rate, [name])]).concat([["skipped", of(rate, ["skipped"])], ["missed", of(rate, ["missed"])]]).filter(([, n]) => n).map(([name, n]) => `${count(/** @type {number} */ (n))} ${String(name).replace("_", " ")}`).join(", ") || "none"} of ${counted(rate.runs, "run")}`,
    }));
    const worst = rates.reduce((/** @type {Rate | undefined} */ most, rate) => (of(rate, BAD) > (most ? of(most, BAD) : 0) ? rate : most), undefined);
    const step = STEP_WORDS[since];
    const label = `failures by ${step}: ${worst ? `most at ${day(worst.at)} ${clock(worst.at, false)}, ${count(of(worst, BAD))}` : "none"}`;
    return el.section(
      { class: "pulse when", "aria-label": "When" },
      el.div(
        { class: "figures" },
        Figure({ label: "Failures", value: count(failures), kind: failures ? "bad" : "", note: runs ? `${percent(failures, Math.max(runs, failures))} of ${count(runs)} runs` : "nothing ran" }),
        Figure({ label: "Timed out, lost", value: count(sum(["timed_out", "lost"])), note: `${count(sum(["cancelled"]))} cancelled` }),
        Figure({ label: "Skipped", value: count(sum(["skipped"])), note: "no run for it" }),
        Figure({ label: "Missed", value: count(sum(["missed"])), note: "too late to run" }),
        Figure({ label: "Retried", value: count(sum(["retried"])), note: "and tried again" }),
      ),
      el.div(
        { class: "lateness" },
        el.div({ class: "legend" }, el.span(null, `By ${step}${tag ? ", all tags" : ""}`), el.span({ class: "key bad" }, "failed"), el.span({ class: "key hollow" }, "skipped or missed")),
        h(Stack, { bars, kinds: ["bad", "warn"], label }),
        el.div({ class: "scale num" }, ...[rates[0], rates[rates.length >> 1], rates.at(-1)].map((rate) => el.span(null, rate && (since === "14d" ? day(rate.at) : moment(rate.at, now(), false))))),
      ),
    );
  });
}

/** @param {Rate} rate @param {readonly string[]} names of outcomes */
const of = (rate, names) => names.reduce((all, name) => all + (rate.outcomes[name] ?? 0), 0);

/** Attempts that failed, and are tried again. @param {{tag: string}} props */
function Retries({ tag }) {
  const answer = useAnswer("runs", { outcome: "waiting", tag, limit: 100 }, { every: 5 });
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Retries that go on"), link("runs", { outcome: "retried", tag }, {}, "attempts that were retried")),
    shown(answer, ({ runs, next }) => {
      const retries = runs.filter((run) => run.attempt > 1).sort((a, b) => Date.parse(a.due_at) - Date.parse(b.due_at));
      if (!retries.length) return nothing("No attempt waits for another", "Groups below are of runs that failed for good.");
      return [
        el.table(
          { class: "plain" },
          el.tbody(
            null,
            ...retries.slice(0, MOST_RETRIES).map((run) =>
              el.tr({ key: run.run_id }, el.td(null, jobLink(run.job_id)), el.td(null, link("run", { id: run.run_id }, {}, `attempt ${run.attempt}`)), el.td({ class: "num dim" }, inTime(run.due_at))),
            ),
          ),
        ),
        retries.length > MOST_RETRIES || next ? el.p({ class: "dim" }, `${count(retries.length)}${next ? " or more" : ""} in all. `, link("runs", { outcome: "waiting", tag }, {}, "All that wait")) : null,
      ];
    }),
  );
}

/** Which tags suffer most. @param {{tag: string}} props */
function Tags({ tag }) {
  const answer = useAnswer("overview", {}, { every: EVERY_SECONDS });
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Tags that suffer most"), el.span({ class: "dim" }, "last 10 min, newest 1,000 records")),
    shown(answer, ({ groups }) => {
      /** @type {Map<string, number>} */
      const sums = new Map();
      for (const group of groups) sums.set(group.tag, (sums.get(group.tag) ?? 0) + group.count);
      const all = [...sums].sort((a, b) => b[1] - a[1]).slice(0, 6);
      const most = all[0]?.[1] ?? 1;
      if (!all.length) return nothing("None");
      return el.table(
        { class: "plain tags" },
        el.tbody(
          null,
          ...all.map(([name, n]) =>
            el.tr(
              { key: name },
              el.td(null, name ? el.button({ class: "tag", "aria-pressed": name === tag, onClick: () => filterBy("tag", name === tag ? null : name) }, name) : el.span({ class: "dim" }, "no tag")),
              el.td({ class: "share" }, shareBar(n / most)),
              el.td({ class: "num r" }, count(n)),
            ),
          ),
        ),
      );
    }),
  );
}

/** @param {number} share 0-1 */
const shareBar = (share) =>
  el.svg({ class: "share-bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": true }, el.rect({ class: "all", width: 100, height: 8 }), el.rect({ width: Math.max(1, 100 * share), height: 8 }));

/** @param {string} by */
const head = (by) =>
  el.tr(
    null,
    el.th({ scope: "col", class: "r" }, "Count"),
    el.th({ scope: "col" }, "Share"),
    ...(by === "job" ? ["Job", "Newest outcome", "Newest error"] : by === "node" ? ["Node", "Newest outcome", "Newest error"] : ["Outcome", "Error, # for what differs"]).map((title) => el.th({ scope: "col" }, title)),
    ...(by === "job" ? [] : [el.th({ scope: "col" }, "Jobs")]),
    ...["First", "Last", "Example"].map((title) => el.th({ scope: "col" }, title)),
    ...(may("pause") ? [el.th({ scope: "col" }, el.span({ class: "sr" }, "Actions"))] : []),
  );

/** Pause those jobs of a group that the server names. @param {ErrorGroup} group */
function pausing({ job_ids, jobs }) {
  const question = questionOf("pause", { ids: job_ids });
  if (jobs === 1) return question;
  const named = `${job_ids.slice(0, NAMED).join(", ")}${job_ids.length > NAMED ? ` and ${counted(job_ids.length - NAMED, "other")}` : ""}`;
  const which = jobs > job_ids.length ? `Of the ${count(jobs)} jobs of this group, the ${count(job_ids.length)} that failed last: ${named}. ` : `${named}. `;
  return { ...question, text: which + question.text };
}

/**
 * @param {{group: ErrorGroup, by: string, tag: string, since: string, n: number, isAt: boolean,
 *   ask: (question: import("../parts/dialog.js").Question) => void}} props
 */
function Row({ group, by, tag, since, n, isAt, ask }) {
  const { job_id, job_ids, jobs, node } = group;
  const isAll = job_ids.length >= jobs;
  const pause = () => ask(pausing(group));
  const runs = { outcome: by === "error" ? group.outcome : "", job: job_id ?? "", node: node ?? "", tag, since };
  return el.tr(
    { class: isAt ? "at" : "", "data-row": n },
    el.td({ class: "r num n" }, link("runs", runs, { title: "the runs on record" }, count(group.count))),
    el.td({ class: "share" }, shareBar(group.share), el.span({ class: "num dim" }, percent(group.share, 1))),
    by === "job" ? el.td({ class: "id" }, job_id ? jobLink(job_id) : "–") : null,
    by === "node" ? el.td({ class: "node" }, node ? el.span({ class: "mono", title: node }, nodeName(node)) : "none") : null,
    el.td({ class: "st" }, outcomeWord(group.outcome)),
    el.td({ class: "said-alike" }, group.error_type ? el.b(null, group.error_type) : null, group.error_type && group.message ? ": " : "", el.span({ class: "dim" }, group.message || (group.error_type ? "" : outcome(group.outcome).means))),
    by === "job" ? null : el.td({ class: "who" }, el.span({ class: "num" }, counted(jobs, "job"), ": "), ...job_ids.slice(0, NAMED).flatMap((id, k) => [k ? ", " : "", jobLink(id)]), jobs > NAMED ? el.span({ class: "dim", title: job_ids.slice(NAMED).join(", ") }, ` and ${count(jobs - NAMED)} more`) : null),
    el.td({ class: "num dim first" }, timeAgo(group.first)),
    el.td({ class: "num dim last" }, timeAgo(group.last)),
    el.td({ class: "example" }, link("run", { id: group.example }, { title: group.example }, "newest run", el.span({ class: "sr" }, `, ${group.example}`))),
    may("pause")
      ? el.td({ class: "r does" }, job_ids.length ? el.button({ class: "small", onClick: pause }, jobs === 1 ? "Pause…" : isAll ? `Pause ${counted(jobs, "job")}…` : `Pause the first ${count(job_ids.length)}…`) : null)
      : null,
  );
}
