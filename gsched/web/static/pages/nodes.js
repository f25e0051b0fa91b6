// Who runs the jobs, how the store is, and what the doctor has found.

import { useState } from "../vendor/hooks.js";
import { useAnswer, useSoon } from "../data.js";
import { el, h } from "../html.js";
import { useKeys } from "../keys.js";
import { useFrames, useLive } from "../live.js";
import { may, whoLooks } from "../me.js";
import { draining, useQuestions } from "../parts/actions.js";
import { Figure } from "../parts/figures.js";
import { NodeState, isShared, storeLooked } from "../parts/nodes.js";
import { table, useSameOrder } from "../parts/rows.js";
import { nothing, sentence, shown, withCode } from "../parts/shown.js";
import { timeAgo } from "../parts/times.js";
import { link } from "../place.js";
import { clock, count, counted, duration, exact, rough } from "../words.js";

/** @typedef {import("../answers.d.ts").Schemas["Node"]} Node */
/** @typedef {import("../answers.d.ts").Schemas["NodeAtAGlance"]} Glance */
/** @typedef {import("../answers.d.ts").Schemas["Overview"]} OverviewAnswer */

const EVERY_SECONDS = 5;
const SELDOM_SECONDS = 60;
const SLOTS = 256;
const BEHIND = 5; // seconds, as from here a watermark stands out
const ENDED = "dead";

/** @type {[title: string, isRight?: boolean][]} */
const COLUMNS = [
  ["State"], ["Node"], ["Host"], ["Pid", true], ["Slots", true], [""], ["Watermark", true], ["Beat", true], ["In progress", true],
  ["Runs/s", true], ["Late p99", true], ["Started"], ["Ended"],
];

export function Nodes() {
  const nodes = useAnswer("nodes", {}, { every: EVERY_SECONDS });
  const overview = useAnswer("overview", {}, { every: EVERY_SECONDS });
  const doctor = useAnswer("doctor", {}, { every: SELDOM_SECONDS });
  const [turn, setTurn] = useState(0);
  const again = () => [nodes.again(), overview.again(), doctor.again()];
  const soon = useSoon(again, 300);
  const { ask, dialog } = useQuestions(again);
  useFrames((kind, fact) => {
    if (kind === "reset" || (kind === "fact" && fact.event.startsWith("node."))) soon();
  });
  useKeys([{ key: "r", does: "load the page anew", act: () => [setTurn(turn + 1), again()] }]);
  return [
    el.div({ class: "head" }, el.div(null, el.h1(null, "Nodes"), el.div({ class: "under" }, isShared() ? "the schedulers that share the store; the store divides its jobs into 256 slots" : "one process runs all jobs"))),
    isShared()
      ? shown(nodes, ({ nodes: each, as_of }) => h(Table, { nodes: each, as_of, glances: overview.data?.nodes ?? [], turn, ask }), { rows: 4 })
      : shown(overview, (data) => h(Alone, { overview: data })),
    el.div({ class: "split lead above" }, h(Doctor, { doctor }), h(Health, { overview })),
    dialog,
  ];
}

/** A scheduler whose jobs are in its own memory. @param {{overview: OverviewAnswer}} props */
function Alone({ overview: { running, waiting, pool_size, runs_per_second, lateness, alarms } }) {
  const paused = alarms.some((alarm) => / is paused: /.test(alarm));
  const word = !whoLooks().running ? "stopped" : paused ? "paused" : "alive";
  return [
    el.p({ class: "notice" }, "The jobs are in the memory of this process. It runs all of them, and they end with it. With a SQLite file or a MongoDB, several processes share the jobs, and each is a node on this page."),
    el.div(
      { class: "figures flat" },
      Figure({ label: "This process", value: NodeState({ state: word }) }),
      Figure({ label: "In progress", value: count(running), note: `of ${count(pool_size)}` }),
      Figure({ label: "Waiting for a worker", value: count(waiting), kind: waiting ? "warn" : "" }),
      Figure({ label: "Runs", value: rough(runs_per_second), unit: "/s" }),
      Figure({ label: "Lateness p99", value: duration(lateness.p99), note: `p50 ${duration(lateness.p50)}` }),
    ),
  ];
}

/**
 * @param {{nodes: Node[], as_of: string, glances: Glance[], turn: number,
 *   ask: (question: import("../parts/dialog.js").Question) => void}} props
 */
function Table({ nodes, as_of, glances, turn, ask }) {
  const sorted = [...nodes].sort((a, b) => Number(a.state === ENDED) - Number(b.state === ENDED) || Date.parse(b.ended_at ?? b.started_at) - Date.parse(a.ended_at ?? a.started_at));
  const ordered = useSameOrder(sorted, ({ id }) => id, turn);
  const known = new Map(glances.map((glance) => [glance.id, glance]));
  const mayDrain = may("drain");
  if (!nodes.length) return nothing("No node is there, and none ended within the last day", "Jobs run only while a runner is alive: start ", el.code(null, "gsched run"), " with the same store.");
  const alive = nodes.filter(({ state }) => state !== ENDED).length;
  return [
    alive ? null : el.p({ class: "notice bad" }, "No runner is alive: nothing runs until ", el.code(null, "gsched run"), " is started."),
    table(
      "Nodes",
      mayDrain ? [...COLUMNS, ["Actions"]] : COLUMNS,
      ...ordered.map((node) => h(Row, { key: node.id, node, glance: known.get(node.id), as_of, mayDrain, ask })),
    ),
    el.p({ class: "foot" }, `${counted(alive, "node is", "nodes are")} alive; those that ended within the last day follow. Ages are by the database's clock.`),
  ];
}

/**
 * @param {{node: Node, glance: Glance | undefined, as_of: string, mayDrain: boolean,
 *   ask: (question: import("../parts/dialog.js").Question) => void}} props
 */
function Row({ node, glance, mayDrain, ask }) {
  const { id, state, host, pid, slots, watermark_age, beat_age, started_at, ended_at, left, drain_requested } = node;
  const isOver = state === ENDED;
  const pool = glance?.pool_size == null ? "" : ` of ${count(glance.pool_size)}`;
  const waits = glance?.waiting ? el.span({ class: "warn" }, `, ${count(glance.waiting)} wait`) : null;
  return el.tr(
    { class: isOver ? "past" : "" },
    el.td(null, NodeState({ state, paused: glance?.paused ?? false, drain_requested })),
    el.td(null, link("runs", { node: id }, { class: "mono", title: "its runs on record" }, id)),
    el.td(null, host),
    el.td({ class: "r num" }, pid ?? "–"),
    el.td({ class: "r num" }, count(slots)),
    el.td(null, h(Slots, { slots })),
    el.td({ class: `r num ${!isOver && watermark_age > BEHIND ? "warn" : ""}` }, isOver ? "–" : age(watermark_age)),
    el.td({ class: "r num" }, isOver || beat_age == null ? "–" : `${age(beat_age)} ago`),
    el.td({ class: "r num" }, glance?.running == null ? "–" : [count(glance.running), el.span({ class: "dim" }, pool), waits]),
    el.td({ class: "r num" }, rough(glance?.runs_per_second)),
    el.td({ class: "r num" }, duration(glance?.lateness?.p99)),
    el.td({ class: "num dim" }, timeAgo(started_at)),
    el.td({ class: "num" }, ended_at ? [timeAgo(ended_at), el.span({ class: "dim" }, left ? ", by itself" : ", declared dead by another node")] : "–"),
    mayDrain
      ? el.td(null, state === "alive" && !drain_requested ? el.button({ "aria-label": `drain ${id}`, onClick: () => ask(draining({ id, running: glance?.running ?? null })) }, "Drain…") : el.span({ class: "dim" }, drain_requested && !isOver ? ["asked ", timeAgo(drain_requested)] : ""))
      : null,
  );
}

/** Clocks differ by some ms: an age may be below zero. @param {number} seconds */
const age = (seconds) => duration(Math.max(0, seconds));

/** The slots of a node as a part of all; their number is beside it. @param {{slots: number}} props */
const Slots = ({ slots }) =>
  el.svg({ class: "meter", viewBox: `0 0 ${SLOTS} 8`, preserveAspectRatio: "none", "aria-hidden": true }, el.rect({ width: slots, height: 8 }));

/** @type {Record<string, ["bad" | "warn" | "ok", string]>} */
const VERDICTS = { problem: ["bad", "problem"], warning: ["warn", "warning"], ok: ["ok", "ok"] };

/** @param {{doctor: ReturnType<typeof useAnswer<"doctor">>}} props */
function Doctor({ doctor }) {
  const order = Object.keys(VERDICTS);
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Findings of the doctor"), el.span({ class: "dim" }, "about the store; gsched doctor checks the machine, too")),
    shown(doctor, ({ findings }) =>
      findings.length
        ? el.table(
            { class: "plain" },
            el.thead(null, el.tr(null, ...["Verdict", "Check", "Found"].map((word) => el.th({ scope: "col" }, word)))),
            el.tbody(
              null,
              ...[...findings]
                .sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict))
                .map(({ check, verdict, found, remedy }) =>
                  el.tr(
                    { key: check },
                    el.td(null, el.span({ class: `outcome ${VERDICTS[verdict]?.[0] ?? "warn"}` }, VERDICTS[verdict]?.[1] ?? verdict)),
                    el.td({ class: "word" }, check),
                    el.td(null, sentence(found), remedy ? el.div({ class: "dim" }, withCode(remedy)) : null),
                  ),
                ),
            ),
          )
        : nothing("Nothing was checked"),
    ),
  );
}

const FEED = {
  live: "live: changes are here within milliseconds",
  connecting: "connecting",
  reconnecting: "broken; this page connects again by itself",
  polling: "the server has no room for another stream; this page asks every 10 s",
};

/** @param {{overview: ReturnType<typeof useAnswer<"overview">>}} props */
function Health({ overview }) {
  const { connection, pulse, awayReason } = useLive();
  const store = storeLooked();
  const last = pulse?.as_of ?? overview.data?.as_of;
  const rows = [
    ["store", store ? `${store.kind}${store.jobstore === "default" ? "" : `, ${store.jobstore}`}` : "–"],
    ["shared by processes", isShared() ? "yes" : "no"],
    ["answers", awayReason ? el.span({ class: "bad" }, last ? `no, since ${clock(last)}` : "no") : "yes"],
    ["last answer", last ? el.time({ title: exact(last) }, clock(last)) : "–"],
    ["stream to this page", FEED[connection]],
    ["server of the dashboard", `gsched ${whoLooks().version}, ${whoLooks().running ? "runs jobs" : "runs no jobs itself"}`],
  ];
  return el.section(
    { class: "card" },
    el.div({ class: "title" }, el.h2(null, "Store")),
    awayReason ? el.p({ class: "notice bad" }, sentence(awayReason)) : null,
    el.dl({ class: "options" }, ...rows.flatMap(([name, value]) => [el.dt(null, name), el.dd({ class: "num" }, value)])),
  );
}
