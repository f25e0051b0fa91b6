// What happens now: one stream for all tabs of a browser, which has six connections in all.
//
// The tab that holds a lock reads the stream and passes the frames on to the others; when it closes, another takes over.

import { useEffect, useState } from "./vendor/hooks.js";
import { API, ask } from "./api.js";
import { setClock } from "./clock.js";
import { jobstore, jobstores } from "./me.js";

/** @typedef {"connecting" | "live" | "reconnecting" | "polling"} Connection */
/** @typedef {(kind: string, data: any) => void} Listener */

const FRAMES = ["overview", "fact", "dropped", "action", "away", "reset"];
const POLL_MS = 10_000; // if the server has no room for another stream

/** @type {Set<Listener>} */
const listeners = new Set();
/** @type {Connection} */
let connection = "connecting";
/** The last pulse of each store, and why stores do not answer. @type {Map<string, any>} */
const pulses = new Map();
/** @type {Map<string, string>} */
const away = new Map();

/**
 * Hear of each frame of the stream.
 * @param {Listener} listener
 * @param {unknown[]} [with_] what the listener uses
 */
export function useFrames(listener, with_ = []) {
  useEffect(() => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, with_);
}

/** The store that is looked at. */
const looked = () => jobstore() ?? jobstores()[0] ?? "";

/** How the connection is, the last pulse of the store that is looked at, and why it does not answer ("" if it does). */
export function useLive() {
  const [, set] = useState(0);
  useFrames(() => set((turn) => turn + 1));
  return { connection, pulse: pulses.get(looked()) ?? null, awayReason: away.get(looked()) ?? "" };
}

/** @param {string} kind @param {any} data */
function tell(kind, data) {
  if (kind === "connection") connection = data;
  if (kind === "away") away.set(data.jobstore, data.reason);
  if (kind === "overview") {
    pulses.set(data.jobstore, data);
    away.delete(data.jobstore);
    setClock(data.as_of);
  }
  for (const listener of [...listeners]) listener(kind, data);
}

export function connect() {
  const name = new URL(`${API}events`, location.href).pathname;
  const channel = new BroadcastChannel(name);
  let isLeader = false;
  channel.onmessage = ({ data: [kind, data] }) => {
    if (kind !== "hello") tell(kind, data);
    else if (isLeader) {
      channel.postMessage(["connection", connection]);
      for (const pulse of pulses.values()) channel.postMessage(["overview", pulse]);
    }
  };
  const lead = () => {
    isLeader = true;
    read((kind, data) => {
      tell(kind, data);
      channel.postMessage([kind, data]);
    });
    return new Promise(() => undefined); // holds the lock until the tab is closed
  };
  // Browsers have locks only with TLS, and on the machine's own addresses.
  if (navigator.locks) navigator.locks.request(name, lead);
  else readWhileSeen(tell);
  channel.postMessage(["hello", null]);
}

/** @param {Listener} say @returns {() => void} ends it */
function read(say) {
  const source = new EventSource(`${API}events`);
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
  let end = () => {
    source.close();
    clearTimeout(timer);
  };
  source.onopen = () => say("connection", "live");
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return say("connection", "reconnecting");
    timer = setTimeout(async () => {
      await poll(say);
      end = read(say);
    }, POLL_MS);
    return undefined;
  };
  for (const kind of FRAMES) {
    source.addEventListener(kind, (event) => say(kind, JSON.parse(/** @type {MessageEvent} */ (event).data)));
  }
  return () => end();
}

/** @param {Listener} say */
async function poll(say) {
  try {
    const of = looked();
    say("overview", { ...(await ask("overview", { jobstore: jobstore() })), jobstore: of });
    say("connection", "polling");
  } catch {
    say("connection", "reconnecting");
  }
}

/** A stream of a tab of its own, which ends while the tab is hidden. @param {Listener} say */
function readWhileSeen(say) {
  /** @type {(() => void) | null} */ let end = null;
  const look = () => {
    if (document.hidden) {
      end?.();
      end = null;
    } else end ??= read(say);
  };
  document.addEventListener("visibilitychange", look);
  look();
}
