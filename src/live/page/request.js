// The page's own requests, sent through the front like those of any client.

/**
 * Maximum number of requests in flight. Browsers open at most six connections to a host over HTTP/1.1,
 * and the event streams use two. Another request would wait in the browser, and that time would look
 * like time in the server's queue.
 */
export const MAX_WAITING = 4;

/** Requests without a response yet: `{tag, server, route, sentAt}`. */
export const waiting = new Set();

/** The latest requests that got a response or failed: the same with `endedAt` and `status`. */
export const finished = [];

/** Maximum number of finished requests that are kept. */
const MAX_FINISHED = 100;

/** Key of the session storage for the prefix of this tab's tags: after a reload the tab still knows its requests. */
const STORAGE_KEY = "tag";
const tabPrefix = newTabPrefix();

const changed = new EventTarget();

/** Calls `listener` whenever a request was sent or got its response. */
export function onChange(listener) {
  changed.addEventListener("change", listener);
}

/** Returns whether the request with this tag, if it has one, was sent by this browser tab. */
export function isOwn(tag) {
  return tag?.startsWith(tabPrefix) ?? false;
}

/**
 * Sends `GET path` to `server`. Returns the duration in milliseconds, the status (`null` without a valid
 * response), the message of the response or error, and the milliseconds in the queue (`null` if the server
 * does not report them). Never rejects.
 */
export async function send(server, path) {
  const tag = tabPrefix + randomDigits();
  const sentAt = performance.now();
  const request = { tag, server, route: `/${path.split("?")[0]}`, sentAt };
  waiting.add(request);
  changed.dispatchEvent(new Event("change"));
  const [status, message, queued] = await fetchOutcome(`/${server}/${path}`, tag);
  waiting.delete(request);
  finished.push(Object.assign(request, { endedAt: performance.now(), status: status ?? 0 }));
  if (finished.length > MAX_FINISHED) finished.shift();
  changed.dispatchEvent(new Event("change"));
  return { took: performance.now() - sentAt, status, message, queued };
}

async function fetchOutcome(url, tag) {
  try {
    // With a cache, the browser would hold back the second of two equal requests until the first has
    // its response.
    const response = await fetch(url, { cache: "no-store", headers: { "X-Request-ID": tag } });
    const { message, detail } = await response.json();
    const queued = /\bqueue;dur=([\d.]+)/.exec(response.headers.get("Server-Timing"))?.[1];
    return [response.status, message ?? detail, queued === undefined ? null : Number(queued)];
  } catch (error) {
    return [null, error.message, null];
  }
}

/** Returns the first half of this tab's tags. */
function newTabPrefix() {
  try {
    sessionStorage[STORAGE_KEY] ??= randomDigits();
    return sessionStorage[STORAGE_KEY];
  } catch {
    // Storage is blocked: the page knows its requests only until it is reloaded.
    return randomDigits();
  }
}

/** Returns 8 random hexadecimal digits. */
function randomDigits() {
  const [word] = crypto.getRandomValues(new Uint32Array(1));
  return word.toString(16).padStart(8, "0");
}
