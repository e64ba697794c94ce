// The places where the requests of a server are at the moment: the queue, a thread, or neither.

import { setText } from "./dom.js";
import { duration } from "./format.js";

/** Number of requests that a place shows; the others are counted. */
const MAX_TOKENS = 3;

/** The places of one server. */
export class Places {
  #places;

  /** `element` has the places; a server that cannot await has only two of them. */
  constructor(element, canAwait) {
    const place = (name) => ({ tokens: element.querySelector(`.${name}-place .tokens`), drawn: null });
    this.#places = [place("queue"), place("thread"), place("free")];
    element.querySelector(".free-place").hidden = !canAwait;
    this.show([], [], []);
  }

  /** Shows the requests `{key, route, arrived}` in each place at `now`. `more` of the awaiting have no details. */
  show(queued, held, awaiting, now = 0, more = 0) {
    [[queued, 0], [held, 0], [awaiting, more]].forEach(([requests, others], i) => {
      fill(this.#places[i], requests, others, now);
    });
  }
}

/** Requests that stay keep their elements; only the time of the oldest one changes. */
function fill(place, requests, others, now) {
  const shown = requests.slice(0, MAX_TOKENS);
  const rest = requests.length - shown.length + others;
  const drawn = [...shown.map(({ key }) => key), rest].join();
  if (drawn !== place.drawn) {
    place.drawn = drawn;
    const tokens = shown.map(({ route }) => token(route));
    if (rest > 0) tokens.push(token(shown.length > 0 ? `+ ${rest}` : String(rest)));
    place.tokens.replaceChildren(...tokens);
  }
  if (shown.length > 0) setText(place.tokens.firstChild, `${shown[0].route} ${duration(Math.max(0, now - shown[0].arrived))}`);
}

function token(text) {
  const element = document.createElement("span");
  element.className = "token";
  element.textContent = text;
  return element;
}
