// Connection to the event stream of a server.

/** Milliseconds without an event after which a stream is opened again. */
const SILENCE = 3000;

/**
 * Connects to `/live/NAME` while the page is visible; a hidden page would take connections away from
 * visible ones. Calls `received(event)` for each event and `lost()` when the connection is lost.
 *
 * Opens the stream again whenever it is silent, because `EventSource` does not reconnect after an
 * error response, which the front sends while a server is down.
 */
export function follow(name, { received, lost }) {
  let stream, lastEvent;
  const open = () => {
    lastEvent = performance.now();
    stream = new EventSource(`/live/${name}`);
    stream.onmessage = (message) => {
      lastEvent = performance.now();
      received(JSON.parse(message.data));
    };
    stream.onerror = lost;
  };
  setInterval(() => {
    if (document.hidden || performance.now() - lastEvent < SILENCE) return;
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
