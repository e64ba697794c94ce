// The page's own requests: real ones, through the front.

/**
 * Browsers keep at most six connections to a host over HTTP/1.1, and the streams take two. One
 * request more would wait in the browser, and that wait would be taken for the server's.
 */
export const MAX_WAITING = 4;

/** Requests sent and not answered yet: `{mark, server, route, sentAt}`. */
export const waiting = new Set();

/** Where the tab keeps what its marks begin with: after a reload it still knows its requests. */
const KEPT_AS = "mark";
const tab = tabMark();

const changed = new EventTarget();

/** Calls `listener` whenever a request was sent or answered. */
export function onChange(listener) {
  changed.addEventListener("change", listener);
}

/** Whether the request that bears this mark, if any, is one of this tab's. */
export function isOwn(mark) {
  return mark?.startsWith(tab) ?? false;
}

/**
 * Asks `server` for `path`. Returns how long it took in milliseconds, the status, or `null` if there
 * was no proper answer, and what was said. Never rejects.
 */
export async function ask(server, path) {
  const mark = tab + randomDigits();
  const sentAt = performance.now();
  const request = { mark, server, route: `/${path.split("?")[0]}`, sentAt };
  waiting.add(request);
  changed.dispatchEvent(new Event("change"));
  const [status, message] = await fetchOutcome(`/${server}/${path}`, mark);
  waiting.delete(request);
  changed.dispatchEvent(new Event("change"));
  return { took: performance.now() - sentAt, status, message };
}

async function fetchOutcome(url, mark) {
  try {
    // A cache would hold back the second of two equal requests until the first is answered.
    const response = await fetch(url, { cache: "no-store", headers: { "X-Request-ID": mark } });
    const { message, detail } = await response.json();
    return [response.status, message ?? detail];
  } catch (error) {
    return [null, error.message];
  }
}

/** The first half of this tab's marks. */
function tabMark() {
  try {
    sessionStorage[KEPT_AS] ??= randomDigits();
    return sessionStorage[KEPT_AS];
  } catch {
    // The browser forbids to keep anything: then the page knows its own only until it is reloaded.
    return randomDigits();
  }
}

/** 8 hexadecimal digits. */
function randomDigits() {
  const [word] = crypto.getRandomValues(new Uint32Array(1));
  return word.toString(16).padStart(8, "0");
}
