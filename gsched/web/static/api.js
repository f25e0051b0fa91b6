// Questions to the server, and actions. Addresses are relative to the page: nobody has to know where it is mounted.

/** @typedef {import("./answers.d.ts").Answers} Answers */
/** @typedef {Record<string, string | number | boolean | string[] | null | undefined>} Query */

export const API = "api/v1/";

/** What the server says instead of an answer. `status` is 0 if it does not answer at all. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {string | null} remedy
   * @param {Record<string, any>} known what else the server says, such as the number of jobs that match
   */
  constructor(status, code, message, remedy, known = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.remedy = remedy;
    this.known = known;
  }

  /** True if the user may not do that, however often they try. */
  get isDenied() {
    return this.status === 401 || this.status === 403;
  }
}

/**
 * @template {keyof Answers} Path
 * @param {Path} path
 * @param {Query} [query] without what is null, undefined or ""
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answers[Path]>}
 */
export function ask(path, query = {}, signal) {
  return request(path, query, { signal: signal ?? null });
}

/**
 * @param {"POST" | "PATCH"} method
 * @param {string} path
 * @param {Record<string, unknown>} body
 * @param {{query?: Query, headers?: Record<string, string>}} [more]
 * @returns {Promise<any>}
 */
export function act(method, path, body, { query = {}, headers = {} } = {}) {
  const sent = { "Content-Type": "application/json", "X-Gsched": "1", ...headers };
  return request(path, query, { method, headers: sent, body: JSON.stringify(body) });
}

/** A name for one action: the server does it once, however often it is sent. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {Query} query */
export function searchOf(query) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) {
      if (each !== undefined && each !== null && each !== "" && each !== false) {
        params.append(name, each === true ? "1" : String(each));
      }
    }
  }
  const text = params.toString();
  return text && `?${text}`;
}

/**
 * @param {string} path
 * @param {Query} query
 * @param {RequestInit} options
 */
async function request(path, query, options) {
  let response, body;
  try {
    response = await fetch(API + path + searchOf(query), { credentials: "same-origin", ...options });
    body = await response.json();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const status = response?.status ?? 0;
    const message = status ? `the server answers ${status}` : "the server does not answer";
    const isQuestion = !options.method;
    throw new Refusal(status, "no_answer", message, isQuestion ? "the page tries again by itself" : "look whether the change was made before you try again");
  }
  if (response.ok) return body;
  const { code = "failed", message = response.statusText, remedy = null } = body.error ?? {};
  throw new Refusal(response.status, code, message, remedy, body);
}
