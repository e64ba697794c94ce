// Follows a server's events.

/** A stream that says nothing for this long, in milliseconds, is opened anew. */
const SILENCE = 3000;

/**
 * Follows `/live/NAME` for as long as the page is visible: a hidden one would take connections from
 * those that are seen. Calls `news(event)` for each event, and `lost()` when there is none.
 *
 * Opens the stream anew whenever it falls silent, because a browser gives up for good when a server
 * that is down is answered for with an error.
 */
export function follow(name, { news, lost }) {
  let stream, lastNews;
  const open = () => {
    lastNews = performance.now();
    stream = new EventSource(`/live/${name}`);
    stream.onmessage = (message) => {
      lastNews = performance.now();
      news(JSON.parse(message.data));
    };
    stream.onerror = lost;
  };
  setInterval(() => {
    if (document.hidden || performance.now() - lastNews < SILENCE) return;
    lost();
    stream.close();
    open();
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    stream?.close();
    if (!document.hidden) open();
  });
  if (!document.hidden) open();
}
