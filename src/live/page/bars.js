// The requests as bars above the lanes, from arrival to response.
//
// They are elements rather than drawn, so that keyboards and screen readers can reach them. They keep
// their positions in a list that is as wide as the lane and slides; only those in flight grow.

import { cloneOf } from "./dom.js";
import { count, duration } from "./format.js";

/** Room that a bar with a label takes up from its start, as a share of the lane. */
const LABEL = 0.12;
/** Room that a bar without a label takes up at least. */
const SHORTEST = 0.008;
/** Number of bars in a row above which they are shown without labels. */
const DENSE = 6;

/** Shorter times in the queue are not drawn: the front reports the arrival only to the millisecond. */
const SHORT = 5;

/** The bars of one server. */
export class Bars {
  #list;
  #detail;
  #threadName;
  #rows;
  #room = LABEL;
  #bars = new Map();
  #epoch = null;
  #span = 0;
  /** Width of the lane in CSS pixels. */
  #width = 0;

  constructor(list, detail, threadName) {
    this.#list = list;
    this.#detail = detail;
    this.#threadName = threadName;
    list.addEventListener("keydown", (event) => this.#move(event));
    // Observed, because reading widths in each frame would force a layout in each frame.
    new ResizeObserver(([{ contentRect }]) => {
      this.#width = contentRect.width;
      for (const bar of this.#bars.values()) bar.labelWidth = bar.label.offsetWidth;
    }).observe(list);
  }

  /**
   * Shows those of the requests `{key, route, arrived, started, ended…}` that were there between `from` and `to`, up to
   * `edge`. Returns the number of those without room.
   */
  show(requests, range, rows) {
    const { from, to, edge } = range;
    if (to - from !== this.#span) this.clear();
    this.#span = to - from;
    this.#rows = rows;
    const dense = requests.length > DENSE * rows;
    this.#room = (dense ? SHORTEST : LABEL) * this.#span;
    this.#list.classList.toggle("dense", dense);
    this.#epoch ??= from;
    const seen = new Set();
    let left = 0;
    for (const request of requests) {
      if (request.ended < from || request.arrived > Math.min(edge, to)) continue;
      seen.add(request.key);
      if (!this.#place(request)) left += 1;
    }
    for (const [key, bar] of this.#bars) {
      if (!seen.has(key)) this.#remove(key, bar);
    }
    this.#restoreFocus();
    this.#keepOneTabStop();
    this.slide(range);
    return left;
  }

  /** Slides the list to `from`; bars of requests in flight grow up to `edge`, and labels stay within the lane. */
  slide({ from, edge }) {
    if (this.#epoch === null) return;
    this.#list.style.transform = `translateX(${-100 * (from - this.#epoch) / this.#span}%)`;
    for (const bar of this.#bars.values()) {
      if (bar.request.ended === undefined) shape(bar, edge, this.#span);
      this.#keepLabelInside(bar, from, edge);
    }
  }

  #keepLabelInside(bar, from, edge) {
    const x = (time) => ((time - from) / this.#span) * this.#width;
    const left = x(bar.request.arrived);
    const room = Math.max(0, x(bar.request.ended ?? edge) - left - bar.labelWidth);
    const shift = Math.round(left < 0 ? Math.min(-left, room) : Math.min(0, this.#width - bar.labelWidth - left));
    if (shift === bar.shift) return;
    bar.shift = shift;
    bar.label.style.transform = shift ? `translateX(${shift}px)` : "";
  }

  /** Removes all bars. */
  clear() {
    for (const [key, bar] of this.#bars) {
      if (bar.button === document.activeElement) this.#focused = key;
      this.#remove(key, bar);
    }
    this.#epoch = null;
  }

  /** Key of the bar that had the focus when all were removed. */
  #focused = null;

  #restoreFocus() {
    if (this.#focused === null) return;
    this.#bars.get(this.#focused)?.button.focus({ preventScroll: true });
    this.#focused = null;
  }

  #place(request) {
    let bar = this.#bars.get(request.key);
    if (!bar) {
      const row = request.leftOut ? -1 : this.#freeRow(request);
      if (row < 0) {
        request.leftOut = request.ended !== undefined;
        return false;
      }
      bar = this.#add(request, row);
    }
    if (bar.request !== request) {
      bar.request = request;
      this.#update(bar);
    }
    return true;
  }

  #freeRow({ arrived, ended = Infinity }) {
    const taken = new Set();
    const until = (from, to) => Math.max(to, from + this.#room);
    for (const { row, request } of this.#bars.values()) {
      const other = until(request.arrived, request.ended ?? Infinity);
      const overlaps = arrived < other && request.arrived < until(arrived, ended);
      if (overlaps) taken.add(row);
    }
    for (let row = 0; row < this.#rows; row += 1) {
      if (!taken.has(row)) return row;
    }
    return -1;
  }

  #add(request, row) {
    const element = cloneOf("bar");
    const button = element.firstElementChild;
    const bar = { element, row, request: null, button, label: button.querySelector(".label"), labelWidth: 0, shift: 0 };
    element.style.setProperty("--row", row);
    bar.button.tabIndex = -1;
    bar.button.addEventListener("focus", () => this.#describe(bar));
    bar.button.addEventListener("pointerenter", () => this.#describe(bar));
    bar.button.addEventListener("click", () => this.#describe(bar));
    this.#bars.set(request.key, bar);
    this.#list.append(element);
    return bar;
  }

  #remove(key, { element }) {
    element.remove();
    this.#bars.delete(key);
  }

  #update(bar) {
    const { element, request, button } = bar;
    element.style.left = `${100 * (request.arrived - this.#epoch) / this.#span}%`;
    const took = request.ended === undefined ? "" : ` ${duration(request.ended - request.arrived)}`;
    bar.label.textContent = request.route + took;
    bar.labelWidth = bar.label.offsetWidth;
    button.ariaLabel = sentence(request, took, this.#threadName);
    const body = button.querySelector(".part:last-child");
    body.className = `part ${request.awaits ? "awaited" : "held"}`;
    if (request.ended !== undefined) shape(bar, request.ended, this.#span);
    if (bar === this.#described) this.#describe(bar);
  }

  #described = null;

  #describe(bar) {
    this.#described = bar;
    this.#detail.textContent = bar.button.ariaLabel;
  }

  /** The list is one tab stop; the arrow keys, Home and End move within it. */
  #move(event) {
    const buttons = [...this.#list.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus({ preventScroll: true });
  }

  #keepOneTabStop() {
    if (this.#list.querySelector("button[tabindex='0']")) return;
    const last = this.#list.querySelector("li:last-child button");
    if (last) last.tabIndex = 0;
  }
}

/** Makes a bar end at `end`, and its queued part end where a thread started the request. */
function shape({ button, element, request }, end, span) {
  const length = Math.max(0, end - request.arrived);
  const queued = Math.max(0, Math.min(request.started ?? end, end) - request.arrived);
  element.style.width = `${100 * length / span}%`;
  button.querySelector(".queued").style.width = `${queued > SHORT ? 100 * queued / length : 0}%`;
}

/** Describes a request in words. */
function sentence(request, took, threadName) {
  const { route, arrived, started, ended, status, awaits, awaited, thread } = request;
  if (started === undefined) return `${route}: queued, not started by a thread yet`;
  const by = thread === undefined ? "" : ` on ${threadName(thread)}`;
  const queued = `queued ${duration(started - arrived)}`;
  if (ended === undefined) return `${route}${by}: ${queued}, now ${awaits ? "awaited" : "held"}`;
  const held = ended - started - awaited;
  const parts = [queued, `held ${duration(held)}`];
  if (awaits) parts.push(`awaited ${duration(awaited)}`);
  return `${route}${took}${by}: ${parts.join(", ")}, status ${status}`;
}

/** Describes requests that are not drawn; empty if all are. */
export function leftOut(noRoom, unknown) {
  const parts = [];
  if (noRoom > 0) parts.push(`no room for ${count(noRoom, "more request")}`);
  if (unknown > 0) parts.push(`${count(unknown, "request")} in flight without details`);
  return parts.join("; ");
}
