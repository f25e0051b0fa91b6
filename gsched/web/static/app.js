// The frame of all pages: the bar at the top, the keys, and the page that the address names.

import { render } from "./vendor/preact.js";
import { useEffect, useState } from "./vendor/hooks.js";
import { useNow } from "./clock.js";
import { el, h } from "./html.js";
import { knownKeys, useKeys } from "./keys.js";
import { connect, useLive } from "./live.js";
import { jobstores, learnMe, whoLooks } from "./me.js";
import { Audit } from "./pages/audit.js";
import { Failures } from "./pages/failures.js";
import { Job } from "./pages/job.js";
import { Jobs } from "./pages/jobs.js";
import { Load } from "./pages/load.js";
import { Nodes } from "./pages/nodes.js";
import { Overview } from "./pages/overview.js";
import { Run } from "./pages/run.js";
import { Runs } from "./pages/runs.js";
import { ActionNews } from "./parts/actions.js";
import { Dialog } from "./parts/dialog.js";
import { Refused } from "./parts/shown.js";
import { Toast } from "./parts/toast.js";
import { go, link, usePlace } from "./place.js";
import { THEMES, beginTheme, chooseTheme, chosenTheme, useTheme } from "./theme.js";
import { clock, count, exact, zoneWord } from "./words.js";

/** @typedef {{query: URLSearchParams}} PageProps */

/** @type {Record<string, {title: string, show: (props: PageProps) => any, tab: string}>} */
const PAGES = {
  overview: { title: "Overview", show: Overview, tab: "overview" },
  jobs: { title: "Jobs", show: Jobs, tab: "jobs" },
  job: { title: "Job", show: Job, tab: "jobs" },
  runs: { title: "Runs", show: Runs, tab: "runs" },
  run: { title: "Run", show: Run, tab: "runs" },
  failures: { title: "Failures", show: Failures, tab: "failures" },
  load: { title: "Load", show: Load, tab: "load" },
  nodes: { title: "Nodes", show: Nodes, tab: "nodes" },
  audit: { title: "Audit", show: Audit, tab: "audit" },
};
const TABS = /** @type {const} */ (["overview", "jobs", "runs", "failures", "load", "nodes", "audit"]);

function App() {
  const { page, query } = usePlace();
  const [isHelp, setHelp] = useState(false);
  const known = PAGES[page] ?? PAGES["overview"];
  const id = query.get("id");
  useKeys([
    { key: "/", does: "search jobs", act: search },
    ...TABS.map((tab) => ({ key: `g ${tab[0]}`, does: titleOf(tab), act: () => go(tab) })),
    { key: "t", does: "the next theme", act: nextTheme },
    { key: "?", does: "this list", act: () => setHelp(true) },
  ]);
  useEffect(() => {
    const about = id ? `${id} · ` : "";
    document.title = `${about}${known?.title} · gsched${whoLooks().title ? ` ${whoLooks().title}` : ""}`;
  }, [page, id]);
  return [
    el.a({ class: "skip", href: "#main", onClick: skip }, "Skip to the content"),
    h(Top, { tab: known?.tab ?? "" }),
    h(Away, null),
    el.main({ id: "main", tabIndex: -1 }, known && h(known.show, { query, key: `${page} ${id} ${query.get("jobstore")}` })),
    h(ActionNews, null),
    h(Toast, null),
    isHelp ? h(Help, { close: () => setHelp(false) }) : null,
  ];
}

/** @param {typeof TABS[number]} tab */
const titleOf = (tab) => PAGES[tab]?.title ?? tab;

/** @param {MouseEvent} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** The search is on the page of jobs. */
function search() {
  const field = document.getElementById("search");
  if (field) field.focus();
  else {
    go("jobs");
    requestAnimationFrame(() => document.getElementById("search")?.focus());
  }
}

function nextTheme() {
  chooseTheme(THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length] ?? "auto");
}

/** @param {{tab: string}} props */
function Top({ tab }) {
  const { connection, pulse } = useLive();
  const { title } = whoLooks();
  const theme = useTheme();
  return el.header(
    { class: "top" },
    link("overview", {}, { class: "brand" }, el.b(null, "gsched"), el.span(null, title)),
    el.nav(
      { "aria-label": "Pages" },
      ...TABS.map((name) =>
        link(
          name, {}, { "aria-current": tab === name ? "page" : undefined },
          titleOf(name),
          name === "failures" && pulse?.failures ? el.span({ class: "badge bad", title: "in the last minute" }, count(pulse.failures)) : null,
        ),
      ),
    ),
    el.span({ class: "grow" }),
    h(StorePick, null),
    el.span({ class: `live ${connection}`, role: "status" }, el.i(null), connection),
    h(Clock, null),
    el.button(
      { class: "quiet", title: `theme: ${chosenTheme()}`, "aria-label": `theme: ${chosenTheme()}`, onClick: nextTheme },
      theme === "dark" ? "☾" : "☀",
    ),
    el.button({ class: "quiet", title: "keys", "aria-label": "keys", onClick: () => dispatchEvent(new KeyboardEvent("keydown", { key: "?" })) }, "?"),
  );
}

function Clock() {
  const now = useNow();
  return el.time({ class: "clock num", title: `the server's clock: ${exact(now)}` }, clock(now), el.span(null, ` ${zoneWord()}`));
}

/** Which of several stores is looked at. */
function StorePick() {
  const { page, query } = usePlace();
  const all = jobstores();
  if (all.length < 2) return null;
  return el.label(
    { class: "pick" },
    el.span({ class: "sr" }, "Store"),
    el.select(
      { value: query.get("jobstore") ?? all[0], onChange: (event) => go(page in PAGES && !query.get("id") ? page : "jobs", { jobstore: event.currentTarget.value }) },
      ...all.map((alias) => el.option({ value: alias }, alias)),
    ),
  );
}

/** What the stream says while the store does not answer. */
function Away() {
  const { isAway, pulse } = useLive();
  if (!isAway) return null;
  const since = pulse ? `As of ${clock(pulse.as_of)}: ` : "";
  return el.div({ class: "stale whole", role: "alert" }, `${since}the store does not answer. ${isAway}`);
}

/** @param {{close: () => void}} props */
function Help({ close }) {
  const rows = knownKeys().map(({ key, does }) =>
    el.tr(null, el.td(null, ...key.split(" ").flatMap((part) => [el.kbd(null, part), " "])), el.td(null, does)),
  );
  return h(
    Dialog, { title: "Keys", close, children: null },
    el.table({ class: "plain" }, el.tbody(null, ...rows)),
    el.form({ method: "dialog", class: "foot" }, el.span({ class: "grow" }), el.button({ class: "strong" }, "Close")),
  );
}

/** Nothing is known before the server has said who looks. */
function Start() {
  const [state, set] = useState(/** @type {{isReady: boolean, error: any}} */ ({ isReady: false, error: null }));
  const begin = async () => {
    try {
      await learnMe();
      connect();
      set({ isReady: true, error: null });
    } catch (error) {
      set({ isReady: false, error });
      setTimeout(begin, 5000);
    }
  };
  useEffect(() => void begin(), []);
  if (state.isReady) return h(App, null);
  return el.main({ id: "main" }, state.error ? h(Refused, { error: state.error, again: begin }) : null);
}

beginTheme();
const place = /** @type {Element} */ (document.getElementById("app"));
place.textContent = "";
render(h(Start, null), place);
