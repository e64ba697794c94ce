// Connection to the event stream of a server.

/**
 * Checks, one a second, without an event before them after which a stream is opened again. They are counted rather than
 * the time: on a busy machine the browser may not run the page for seconds, and its events arrive unread.
 */
const SILENT_CHECKS = 3;

/**
 * Connects to `/live/NAME` while the page is visible; a hidden page would take connections away from
 * visible ones. Calls `received(event)` for each event and `lost()` when the connection is lost.
 *
 * Opens the stream again whenever it is silent, because `EventSource` does not reconnect after an
 * error response, which the front sends while a server is down.
 */
export function follow(name, { received, lost }) {
  let stream, silent;
  const open = () => {
    silent = 0;
    stream = new EventSource(`/live/${name}`);
    stream.onmessage = (message) => {
      silent = 0;
      received(JSON.parse(message.data));
    };
    stream.onerror = lost;
  };
  setInterval(() => {
    if (document.hidden) return;
    silent += 1;
    if (silent <= SILENT_CHECKS) return;
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
