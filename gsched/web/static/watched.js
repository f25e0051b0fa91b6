// A value outside of the components that show it.

import { useEffect, useState } from "./vendor/hooks.js";

/**
 * `use` is a hook that gives the value; `tell` gives all that use it the value that it has now.
 * @template T
 * @param {() => T} read
 */
export function watched(read) {
  /** @type {Set<(value: T) => void>} */
  const watchers = new Set();
  return {
    use() {
      const [value, set] = useState(read);
      useEffect(() => {
        watchers.add(set);
        return () => void watchers.delete(set);
      }, []);
      return value;
    },
    tell() {
      const value = read();
      for (const watch of watchers) watch(value);
    },
  };
}
