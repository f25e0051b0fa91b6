// The frame of all pages: the bar at the top, the keys, and the page that the address names.

import { render } from "./vendor/preact.js";
import { useEffect, useLayoutEffect, useState } from "./vendor/hooks.js";
import { useNow } from "./clock.js";
import { el, h } from "./html.js";
import { knownKeys, useKeys } from "./keys.js";
import { connect, useLive } from "./live.js";
import { jobstores, learnMe, whoLooks } from "./me.js";
import { ActionNews } from "./parts/actions.js";
import { Dialog } from "./parts/dialog.js";
import { Refused, nothing } from "./parts/shown.js";
import { Toast } from "./parts/toast.js";
import { go, here, link, usePlace } from "./place.js";
import { THEMES, beginTheme, chooseTheme, chosenTheme, useTheme } from "./theme.js";
import { clock, count, exact, zoneWord } from "./words.js";

/** @typedef {{query: URLSearchParams}} PageProps */

/** @typedef {(props: PageProps) => any} Show */

/** The pages: a module is loaded when its page is first opened. @type {Record<string, {title: string, tab: string, load: () => Promise<Show>}>} */
const PAGES = {
  overview: { title: "Overview", tab: "overview", load: async () => (await import("./pages/overview.js")).Overview },
  jobs: { title: "Jobs", tab: "jobs", load: async () => (await import("./pages/jobs.js")).Jobs },
  job: { title: "Job", tab: "jobs", load: async () => (await import("./pages/job.js")).Job },
  runs: { title: "Runs", tab: "runs", load: async () => (await import("./pages/runs.js")).Runs },
  run: { title: "Run", tab: "runs", load: async () => (await import("./pages/run.js")).Run },
  failures: { title: "Failures", tab: "failures", load: async () => (await import("./pages/failures.js")).Failures },
  load: { title: "Load", tab: "load", load: async () => (await import("./pages/load.js")).Load },
  nodes: { title: "Nodes", tab: "nodes", load: async () => (await import("./pages/nodes.js")).Nodes },
  audit: { title: "Audit", tab: "audit", load: async () => (await import("./pages/audit.js")).Audit },
};
const SEARCH_MS = 5000; // to wait for the page of jobs
const TABS = /** @type {const} */ (["overview", "jobs", "runs", "failures", "load", "nodes", "audit"]);

function App() {
  const { page, query } = usePlace();
  const [isHelp, setHelp] = useState(false);
  const name = Object.hasOwn(PAGES, page) ? page : "";
  const known = PAGES[name];
  const id = query.get("id");
  useKeys([
    { key: "/", does: "search jobs", act: search },
    ...TABS.map((tab) => ({ key: `g ${tab[0]}`, does: titleOf(tab), act: () => go(tab) })),
    { key: "t", does: "the next theme", act: nextTheme },
    { key: "?", does: "this list", act: () => setHelp(true) },
  ]);
  useEffect(() => {
    const about = id ? `${id} · ` : "";
    document.title = `${about}${known?.title ?? "No such page"} · gsched${whoLooks().title ? ` ${whoLooks().title}` : ""}`;
  }, [page, id]);
  return [
    el.a({ class: "skip", href: "#main", onClick: skip }, "Skip to the content"),
    h(Top, { tab: known?.tab ?? "", help: () => setHelp(true) }),
    h(Away, null),
    el.main({ id: "main", tabIndex: -1 }, known ? h(Page, { name, query, key: `${name} ${id} ${query.get("jobstore")}` }) : nothing("There is no such page", "Begin with the ", link("overview", {}, {}, "overview"), ".")),
    h(ActionNews, null),
    h(Toast, null),
    isHelp ? h(Help, { close: () => setHelp(false) }) : null,
  ];
}

/** @type {Map<string, Show>} */
const loaded = new Map();

/** @param {string} name */
async function load(name) {
  const show = await PAGES[name]?.load();
  if (show) loaded.set(name, show);
}

/** A page, once its module is there. @param {{name: string, query: URLSearchParams}} props */
function Page({ name, query }) {
  const [error, setError] = useState(false);
  const [, setLoaded] = useState(0);
  const show = loaded.get(name);
  useEffect(() => {
    if (show) return;
    load(name).then(
      () => setLoaded(Date.now()),
      () => setError(true), // the server has other files by now
    );
  }, [name]);
  if (error) return el.div({ class: "refused", role: "alert" }, el.b(null, "This page is of another version."), el.p(null), el.button({ onClick: () => location.reload() }, "Load it again"));
  return show ? h(show, { query }) : el.div({ class: "soon", "aria-busy": true });
}

/** @param {typeof TABS[number]} tab */
const titleOf = (tab) => PAGES[tab]?.title ?? tab;

/** @param {MouseEvent} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** The search is on the page of jobs. What is typed before the page is there is searched, and is no key of a page. */
function search() {
  const field = document.getElementById("search");
  if (field) return field.focus();
  go("jobs");
  let typed = "";
  const until = Date.now() + SEARCH_MS;
  const keep = (/** @type {KeyboardEvent} */ event) => {
    if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    typed += event.key;
  };
  const look = () => {
    const field = /** @type {HTMLInputElement | null} */ (document.getElementById("search"));
    if (!field && Date.now() < until) return void requestAnimationFrame(look);
    removeEventListener("keydown", keep, true);
    field?.focus();
    if (!field || !typed) return undefined;
    field.value = typed;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return undefined;
  };
  addEventListener("keydown", keep, true);
  look();
  return undefined;
}

function nextTheme() {
  chooseTheme(THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length] ?? "auto");
}

/** @param {{tab: string, help: () => void}} props */
function Top({ tab, help }) {
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
    el.span({ class: `connection ${connection}`, role: "status" }, el.i(null), connection),
    h(Clock, null),
    el.button(
      { class: "quiet", title: `theme: ${chosenTheme()}`, "aria-label": `theme: ${chosenTheme()}`, onClick: nextTheme },
      theme === "dark" ? "☾" : "☀",
    ),
    el.button({ class: "quiet", title: "keys", "aria-label": "keys", onClick: help }, "?"),
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
  const { awayReason, pulse } = useLive();
  if (!awayReason) return null;
  const since = pulse ? `As of ${clock(pulse.as_of)}: ` : "";
  return el.div({ class: "stale whole", role: "alert" }, `${since}the store does not answer. ${awayReason}`);
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
      const first = load(here().page).catch(() => undefined); // the page itself says so
      await learnMe();
      await first;
      connect();
      set({ isReady: true, error: null });
    } catch (error) {
      set({ isReady: false, error });
      setTimeout(begin, 5000);
    }
  };
  useLayoutEffect(() => void begin(), []); // before anything is painted
  if (state.isReady) return h(App, null);
  return [
    el.header({ class: "top" }, el.span({ class: "brand" }, el.b(null, "gsched"))), // as in index.html
    el.main({ id: "main" }, state.error ? h(Refused, { error: state.error, again: begin }) : null),
  ];
}

beginTheme();
const place = /** @type {Element} */ (document.getElementById("app"));
place.textContent = "";
render(h(Start, null), place);
