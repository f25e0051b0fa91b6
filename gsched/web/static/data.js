// Answers of the server for components: they come, stay while newer ones are asked for, and go stale in sight.

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
import { ask, searchOf } from "./api.js";
import { jobstore } from "./me.js";

/** @typedef {import("./api.js").Refusal} Refusal */

/**
 * An answer. `data` is the last one that came, `at` says when; `error` is why there is no newer one.
 * @template T
 * @typedef {{data: T | null, error: Refusal | null, at: number, again: () => void, set: (change: (data: T) => T) => void}} Answered
 */

const RETRY_MS = 5000;

/**
 * Ask the server, and again whenever the question changes.
 * @template {keyof import("./api.js").Answers} Path
 * @param {Path} path
 * @param {import("./api.js").Query | null} query null: nothing is asked
 * @param {{every?: number}} [how] ask again every so many seconds, while somebody looks
 * @returns {Answered<import("./api.js").Answers[Path]>}
 */
export function useAnswer(path, query, { every = 0 } = {}) {
  const [state, set] = useState(/** @type {any} */ ({ data: null, error: null, at: 0 }));
  const [turn, setTurn] = useState(0);
  const store = jobstore();
  const question = query && path + searchOf({ jobstore: store, ...query });
  // Asked before the page is painted, not after.
  useLayoutEffect(() => {
    if (query === null) return undefined;
    const stop = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
    const later = (/** @type {number} */ ms) => {
      timer = setTimeout(() => (document.hidden ? later(ms) : answer()), ms);
    };
    const answer = async () => {
      try {
        const data = await ask(path, { jobstore: store, ...query }, stop.signal);
        if (stop.signal.aborted) return;
        set({ data, error: null, at: Date.now() });
        if (every) later(every * 1000);
      } catch (error) {
        if (stop.signal.aborted) return;
        set((/** @type {any} */ last) => ({ ...last, error }));
        const refusal = /** @type {Refusal} */ (error);
        if (refusal.status === 0 || refusal.status >= 500) later(RETRY_MS);
      }
    };
    answer();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [question, turn, every]);
  const again = useCallback(() => setTurn((last) => last + 1), []);
  const change = useCallback(
    (/** @type {(data: any) => any} */ by) =>
      set((/** @type {any} */ last) => (last.data === null ? last : { ...last, data: by(last.data) })),
    [],
  );
  return { ...state, again, set: change };
}

/**
 * Call a function soon, and once for many reasons that come together.
 * @param {() => void} act
 * @param {number} ms
 */
export function useSoon(act, ms) {
  const last = useRef(act);
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | null} */ (null));
  last.current = act;
  useEffect(() => () => void (timer.current && clearTimeout(timer.current)), []);
  return useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = null;
      last.current();
    }, ms);
  }, [ms]);
}

/**
 * True after some time, and false again when what it is for changes: what is there needs no second question at once.
 * @param {number} seconds
 * @param {unknown[]} [with_]
 */
export function useLater(seconds, with_ = []) {
  const [isLater, set] = useState(false);
  useEffect(() => {
    set(false);
    const timer = setTimeout(set, seconds * 1000, true);
    return () => clearTimeout(timer);
  }, with_);
  return isLater;
}
