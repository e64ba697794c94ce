// One server's part of the page.

import { isOwn, waiting } from "./ask.js";
import { Bars, leftOut } from "./bars.js";
import { cloneOf, setText } from "./dom.js";
import { History, WINDOW } from "./history.js";
import { Lane } from "./lane.js";
import { STATES, swatch } from "./states.js";
import { percent } from "./words.js";

/** The table of one server: its requests, and its threads with their lanes and shares. */
export class ServerView {
  #lanes = [];
  #bars;

  constructor(name, title) {
    this.name = name;
    this.history = new History();
    this.element = cloneOf("server");
    this.#find("h2").textContent = title;
    this.element.ariaLabel = title;
    this.asking = cloneOf("asking-server");
    this.asking.querySelector("h2").textContent = `Ask the ${title.toLowerCase()} server`;
    this.#find("table").ariaLabel = `${title}: requests and threads over the last 60 s`;
    this.#find(".bars").ariaLabel = `Requests of the ${name} server, the arrow keys move among them`;
    this.#find("thead tr").append(...STATES.map(({ name: state }, i) => header(state, i)));
    this.#bars = new Bars(this.#find(".bars"), this.#find(".detail"), (thread) => `${name}-${thread}`);
    this.#setRows(1);
  }

  /** Takes an event, and shows what does not slide. */
  news(event) {
    const again = event.began !== undefined;
    this.history.apply(event, performance.now());
    if (again) this.#bars.clear();
    if (this.#lanes.length !== this.history.threads.length) this.#addLanes();
    this.connected(true);
    setText(this.#find(".active"), String(this.history.active));
    const { queue } = this.history;
    setText(this.#find(".queue"), queue ? `${queue.length} of ${queue.limit}` : "not known");
    for (const { row, thread } of this.#lanes) {
      setText(row.querySelector(".now"), thread.state ?? "ended");
    }
    this.#showBars();
  }

  /** Says whether there is news of the server. */
  connected(is) {
    setText(this.#find(".connection"), is ? connectedTo(this.history.replicas) : "Connection lost, trying again…");
    this.element.classList.toggle("stale", !is);
  }

  /** Shows each thread's shares of the window. */
  showShares() {
    for (const { thread, cells } of this.#lanes) {
      const shares = this.history.shares(thread);
      cells.forEach((cell, i) => {
        cell.dataset.share = shares[i];
        setText(cell, percent(shares[i]));
      });
    }
    this.element.dataset.known = this.history.known();
  }

  /** Draws the window up to the present. */
  draw(at) {
    const edge = this.history.edge(at);
    if (edge === null) return;
    this.#bars.slide(edge);
    for (const { lane, thread } of this.#lanes) lane.draw(thread.stretches, edge);
  }

  /** How many of the requests known are not this tab's. */
  others() {
    return [...this.history.requests.values()].filter(({ mark }) => !isOwn(mark)).length;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  #addLanes() {
    this.#lanes = this.history.threads.map((thread) => laneRow(this.name, thread));
    this.#find(".threads").replaceChildren(...this.#lanes.map(({ row }) => row));
    this.#setRows(this.#lanes.length);
  }

  /** More threads hold more requests, and have lower lanes. */
  #setRows(threads) {
    this.rows = threads > 4 ? 12 : 4;
    this.element.style.setProperty("--rows", this.rows);
    this.element.classList.toggle("many", threads > 4);
  }

  #showBars() {
    const at = performance.now();
    const told = [...this.history.requests.values()];
    const known = new Set(told.map(({ mark }) => mark));
    const queued = this.#queued(known, at);
    const requests = [...told.map(withKey), ...queued].sort((one, other) => one.arrived - other.arrived);
    const noRoom = this.#bars.show(requests, this.history.edge(at), this.rows);
    const inFlight = told.filter(({ ended }) => ended === undefined).length;
    const untold = told.length < this.history.mostRequests ? 0 : this.history.active - inFlight;
    setText(this.#find(".hidden-requests"), leftOut(noRoom, untold));
  }

  /**
   * What waits in the accept queue. The server knows no more of it than its number; the page knows its
   * own, and takes the rest for requests of others. Its own may wait elsewhere, too: for another
   * replica of the server, say.
   */
  #queued(known, at) {
    const length = this.history.queuedSince.length;
    const unknown = [...waiting].filter(({ server, mark }) => server === this.name && !known.has(mark));
    const own = unknown.slice(0, length);
    const offset = at - this.history.serverTime(at);
    const bars = own.map(({ mark, route, sentAt }) => ({ key: mark, route, arrived: sentAt - offset }));
    const others = this.history.queuedSince.slice(0, length - own.length);
    return bars.concat(others.map((since) => ({ key: `queued at ${since}`, route: "not read yet", arrived: since })));
  }
}

/** Whom the page has news of: the front gives it one replica, and requests to all of them. */
function connectedTo(replicas) {
  return replicas > 1 ? `Connected to one of ${replicas} replicas; what the others do is not shown` : "Connected";
}

/** A bar keeps its place when a request of this page's is first heard of by a server. */
function withKey(request) {
  request.key ??= isOwn(request.mark) ? request.mark : request.number;
  return request;
}

function header(state, i) {
  const cell = document.createElement("th");
  cell.scope = "col";
  cell.setAttribute("role", "columnheader");
  cell.append(swatch(i), state);
  return cell;
}

/** The row of a thread: its name, its lane and its shares. */
function laneRow(server, thread) {
  const row = cloneOf("thread");
  const name = `${server}-${thread.name}`;
  row.querySelector(".name").textContent = name;
  const canvas = row.querySelector("canvas");
  canvas.ariaLabel = `The states of ${name} over the last ${WINDOW / 1000} s`;
  const cells = STATES.map(({ name: state }) => {
    const cell = document.createElement("td");
    cell.setAttribute("role", "cell");
    cell.dataset.state = state;
    cell.textContent = "–";
    return cell;
  });
  row.append(...cells);
  return { row, lane: new Lane(canvas), cells, thread };
}
